"""Where files lie: one place that names every path below a study's results.

Patterns hold Snakemake's wildcards in braces: participant, session, topology, fold, model, experiment, trial. This module is read
each time Snakemake parses the workflow, so it imports nothing heavy.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from lumbarseg.cohort.sheet import Session

LABEL = "sub-{participant}_ses-{session}"
"""The BIDS label of a session."""

FOLDER = "sub-{participant}/ses-{session}/"
"""A session's folder within a kind of result."""

RUNS = Path("logs/runs")
"""Records of all runs in a working directory, of whatever study: SLURM jobs are identified by the directory they were submitted from."""


@dataclass(frozen=True)
class Paths:
    """The paths of a study's results.

    Attributes:
        study: the study's name.
        bundle: the bundle that new patients are segmented with; their results have a folder of its name.
    """

    study: str
    bundle: str | None = None

    def result(self, path: str) -> str:
        """Return a path below the study's results."""
        folder = f"segmented/{Path(self.bundle).stem}/" if self.bundle else ""
        return f"results/{self.study}/{folder}{path}"

    # ---- images ---------------------------------------------------------------------------------------------------

    def nifti(self, contrast: str) -> str:
        """Return a converted image."""
        return self.result(f"nifti/{FOLDER}anat/{LABEL}_{contrast}.nii.gz")

    def sidecar(self, contrast: str) -> str:
        """Return the description of a converted image."""
        return self.result(f"nifti/{FOLDER}anat/{LABEL}_{contrast}.json")

    def aligned(self, contrast: str) -> str:
        """Return an image on the T2w grid."""
        return self.nifti("T2w") if contrast == "T2w" else self.registered

    def normalised(self, contrast: str) -> str:
        """Return a z-scored image on the T2w grid."""
        return self.result(f"normalised/{FOLDER}{LABEL}_space-T2w_desc-normalised_{contrast}.nii.gz")

    @property
    def series_selection(self) -> str:
        """Which DICOM series were taken for a session, and why."""
        return self.result(f"conversion/{FOLDER}{LABEL}_series.json")

    @property
    def label_descriptions(self) -> str:
        """The label table as ITK-SNAP reads it."""
        return self.result("nifti/labels.txt")

    @property
    def mask(self) -> str:
        """A session's mask on the T2w grid."""
        return self.result(f"nifti/{FOLDER}anat/{LABEL}_dseg.nii.gz")

    @property
    def registered(self) -> str:
        """T1w on the T2w grid."""
        return self.result(f"registered/{FOLDER}{LABEL}_space-T2w_T1w.nii.gz")

    @property
    def registration_matrix(self) -> str:
        """The 4 × 4 matrix of a registration."""
        return self.result(f"registered/{FOLDER}{LABEL}_from-T1w_to-T2w_xfm.mat")

    @property
    def registration_report(self) -> str:
        """What is known of a registration."""
        return self.result(f"registered/{FOLDER}{LABEL}_from-T1w_to-T2w_xfm.json")

    @property
    def patches(self) -> str:
        """The description of a session's patches; the arrays lie next to it."""
        return self.result(f"patches/{FOLDER}{LABEL}_patches.json")

    def patch_arrays(self, kind: str) -> str:
        """Return the array of a session's `images` or `labels`, cut into patches."""
        return self.result(f"patches/{FOLDER}{LABEL}_{kind}.b2nd")

    @property
    def quality_picture(self) -> str:
        """A session's slices with contours and registration."""
        return self.result(f"quality/{LABEL}_quality.png")

    @property
    def quality_page(self) -> str:
        """Every session on one page."""
        return self.result("quality/index.html")

    # ---- cohort ---------------------------------------------------------------------------------------------------

    @property
    def selection(self) -> str:
        """Which sessions are used, and why others are left out."""
        return self.result("metrics/selection.csv")

    @property
    def folds(self) -> str:
        """The split: participant_id, fold, subset."""
        return self.result("folds.tsv")

    # ---- networks and ensembles -------------------------------------------------------------------------------------

    @property
    def network(self) -> str:
        """A trained network."""
        return self.result("networks/{topology}/fold-{fold}/network.keras")

    @property
    def history(self) -> str:
        """The epochs of a network's training."""
        return self.result("networks/{topology}/fold-{fold}/history.csv")

    @property
    def tensorboard(self) -> str:
        """The event files of a fold's trainings."""
        return self.result("tensorboard/fold-{fold}")

    @property
    def trial_history(self) -> str:
        """The epochs of a trial of the hyper-parameter search."""
        return self.result("search/{trial}/fold-{fold}/history.csv")

    @property
    def meta_learner(self) -> str:
        """A stacking model's trained meta-learner."""
        return self.result("meta_learners/{model}/fold-{fold}/meta_learner.keras")

    @property
    def meta_learner_history(self) -> str:
        """The epochs of the training of a fold's meta-learners."""
        return self.result("meta_learners/history_fold-{fold}.csv")

    @property
    def thresholds(self) -> str:
        """A model's threshold for each class."""
        return self.result("thresholds/{model}/fold-{fold}.json")

    @property
    def new_phantom(self) -> str:
        """The DICOM series of a phantom patient who is not in the cohort."""
        return self.result("new_patient/dicom")

    # ---- starter networks ------------------------------------------------------------------------------------------

    @property
    def starter_phantoms(self) -> str:
        """A folder of phantoms to train or test starter networks on."""
        return self.result("starter/phantoms/{part}")

    @property
    def starter_network(self) -> str:
        """A starter network."""
        return self.result("starter/{contrasts}/network.keras")

    @property
    def starter_history(self) -> str:
        """The epochs of a starter network's training."""
        return self.result("starter/{contrasts}/history.csv")

    @property
    def starter_bundle(self) -> str:
        """A starter network packed into one file."""
        return self.result("starter/starter_{contrasts}.zip")

    # ---- masks and counts -------------------------------------------------------------------------------------------

    def masks(self, experiment: str) -> str:
        """Return the folder of an experiment's masks, the fold left open."""
        return self.result(f"masks/{experiment}/fold-{{fold}}")

    def uncertainty(self, model: str) -> str:
        """Return the folder of a model's uncertainty maps, the fold left open."""
        return self.result(f"uncertainty/{model}/fold-{{fold}}")

    @property
    def counts(self) -> str:
        """Pixels of each test slice, class and experiment."""
        return self.result("counts/fold-{fold}.csv.gz")

    @property
    def calibration_sums(self) -> str:
        """Sums of scores from which calibration is computed."""
        return self.result("counts/calibration_fold-{fold}.csv.gz")

    @property
    def surface_distances(self) -> str:
        """Distances between contours."""
        return self.result("counts/surface_distances_fold-{fold}.csv")

    @property
    def confusion(self) -> str:
        """Confusion matrices."""
        return self.result("counts/confusion_fold-{fold}.csv")

    def metrics(self, name: str) -> str:
        """Return a table below `metrics/`, such as `iou.csv`."""
        return self.result(f"metrics/{name}")

    def slices(self, name: str) -> str:
        """Return a file of slices that figures show."""
        return self.result(f"metrics/slices/{name}.npz")

    # ---- new patients -------------------------------------------------------------------------------------------------

    @property
    def packed_bundle(self) -> str:
        """An experiment packed into one file."""
        return self.result("bundle/{experiment}.zip")

    @property
    def segmented(self) -> str:
        """A new session's labels."""
        return self.result(f"{FOLDER}{LABEL}_dseg.nii.gz")

    @property
    def segmented_dicom(self) -> str:
        """A new session's labels as DICOM-SEG."""
        return self.result(f"{FOLDER}{LABEL}_dseg.dcm")

    @property
    def segmentation_record(self) -> str:
        """How a new session was segmented, and its flags."""
        return self.result(f"{FOLDER}{LABEL}_dseg.json")

    @property
    def session_flags(self) -> str:
        """All flags of a new session."""
        return self.result(f"{FOLDER}{LABEL}_flags.json")

    def uncertainty_map(self, measure: str) -> str:
        """Return a new session's map of `entropy` or `mutualinformation`."""
        return self.result(f"{FOLDER}{LABEL}_desc-{measure}_uncertainty.nii.gz")

    @property
    def measures(self) -> str:
        """Areas, volumes and disc heights of a new session."""
        return self.result(f"{FOLDER}{LABEL}_measures.csv")

    @property
    def measures_key(self) -> str:
        """What the measures are."""
        return self.result("measures.json")

    @property
    def session_page(self) -> list[str]:
        """A new session on one page."""
        return with_endings(self.result(f"{FOLDER}{LABEL}_page"), "pdf", "png")

    # ---- drafts ---------------------------------------------------------------------------------------------------------

    def draft(self, name: str) -> str:
        """Return a file of a session's draft, such as `draft.nii.gz`."""
        return self.result(f"drafts/{FOLDER}{name}")

    @property
    def profile(self) -> str:
        """Values of a session's images, by which sessions are compared."""
        return self.result(f"drafts/profiles/{LABEL}_profile.json")

    @property
    def draft_list(self) -> list[str]:
        """Whom to draw next, and the commands that open the drafts."""
        return [self.result(f"drafts/{name}") for name in ("next.csv", "commands.sh")]

    @property
    def drafts_page(self) -> str:
        """Every draft on one page."""
        return self.result("drafts/drafts.html")

    # ---- tables, figures, logs ------------------------------------------------------------------------------------------

    def table(self, name: str) -> list[str]:
        """Return a table's three files."""
        return with_endings(self.result(f"tables/{name}"), "csv", "md", "tex")

    def printed_table(self, name: str) -> str:
        """Return a table as it is printed, cell by cell."""
        return self.result(f"tables/{name}.json")

    def figure(self, name: str) -> list[str]:
        """Return a figure's two files."""
        return with_endings(self.result(f"figures/{name}"), "svg", "png")

    def log(self, rule: str, *wildcards: str) -> str:
        """Return a rule's log; with wildcards, one for each job: `paths.log("train_network", "{topology}_fold-{fold}")`."""
        return self.result(f"logs/{'/'.join([rule, *wildcards])}.log")

    def benchmark(self, rule: str, *wildcards: str) -> str:
        """Return a rule's benchmark, named as its log."""
        return self.result(f"benchmarks/{'/'.join([rule, *wildcards])}.tsv")


def with_endings(stem: str, *endings: str) -> list[str]:
    """Return one file for each format."""
    return [f"{stem}.{ending}" for ending in endings]


def of_sessions(sessions: Iterable[Session], *patterns: str) -> list[str]:
    """Return each pattern's path for each session, pattern by pattern."""
    listed = list(sessions)
    return [
        pattern.format(participant=session.participant_id, session=session.session_id)
        for pattern in patterns
        for session in listed
    ]


def ids_of(sessions: Iterable[Session]) -> list[tuple[str, str]]:
    """Return (participant_id, session_id) of sessions."""
    return [(session.participant_id, session.session_id) for session in sessions]


def of_models(pattern: str, names: Sequence[str]) -> list[str]:
    """Return a pattern for each model, the other wildcards left open."""
    return [pattern.replace("{model}", name) for name in names]
