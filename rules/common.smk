"""Study, sessions and folds; paths and functions that several rules use. Nothing heavy is imported: each cluster job reads this again."""

import os
import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError
from snakemake.logging import logger

SCRIPTS = Path(workflow.basedir) / "workflow_scripts"
sys.path.insert(0, str(SCRIPTS))

from lumbarseg.cohort import selection, sheet as cohort, split as folds  # noqa: E402
from lumbarseg.config import published  # noqa: E402
from lumbarseg.config.study import HYPER_PARAMETERS, Study  # noqa: E402
from lumbarseg.deployment.bundle import Bundle  # noqa: E402
from lumbarseg.errors import InputError  # noqa: E402
from lumbarseg.workflow import slurm  # noqa: E402
from lumbarseg.workflow.library_inputs import library_inputs as files_of_library  # noqa: E402

# TensorFlow's start-up lines would fill the logs; errors still show.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
if config.get("training", {}).get("device") == "cpu":
    os.environ.update(CUDA_VISIBLE_DEVICES="-1")


# ---- the study ---------------------------------------------------------------------------------------------------


def read_study():
    """The checked config; a mistake in it ends the run here, before any job.

    Where a bundle is named, new patients are segmented: what the bundle says of images and classes goes before the config, and
    the sessions are those of the sheet, never a phantom cohort.
    """
    home = Path(workflow.basedir)
    if config.get("bundle"):
        config.update(Bundle(config["bundle"]).settings)
        config.pop("phantom", None)
    files = [home / "config.yaml", *map(Path, workflow.overwrite_configfiles)]
    return Study(config, home / "rules/schemas/config.schema.yaml", files)


def read_sessions():
    """The sheet's sessions; those of the phantom cohort follow from the config, for its sheet is made by the run.

    A sheet that is not there is no mistake yet: `networks` needs none. Whatever does asks `with_sheet`.
    """
    if "phantom" not in config:
        is_there = Path(config["sessions"]).exists()
        may_lack = config["selection"]["missing_contrast"] == "exclude" and not config["bundle"]
        return cohort.read_sheet(config["sessions"], config["channels"], may_lack) if is_there else []
    if config["split"]["stratify"]:
        raise InputError(
            f"config: `split.stratify` expects a sheet of sessions, found a phantom cohort whose facts are not known "
            "before it is made; set `stratify: null`"
        )
    from lumbarseg.phantom.cohort import participant_ids

    return [
        cohort.Session(
            participant,
            "01",
            result(f"phantom/dicom/{participant}/T2w"),
            result(f"phantom/dicom/{participant}/T1w"),
            result(f"phantom/masks/{participant}_mask.nii.gz"),
        )
        for participant in participant_ids(config["phantom"]["patients"])
    ]


def read_assignments():
    """Which patient is in which subset of which fold: dealt anew, or read from the file the config names."""
    split = config["split"]
    if not SESSIONS:
        return []
    if split["file"]:
        return folds.read_folds(split["file"], LABELLED, split["folds"])
    return folds.split_patients(
        LABELLED,
        split["folds"],
        split["test_patients"],
        split["stratify"],
        split["seed"],
    )


def result(path):
    """A path below the study's results; new patients have a folder of their own there, by bundle."""
    folder = f"segmented/{Path(config['bundle']).stem}/" if config.get("bundle") else ""
    return f"results/{config['study']}/{folder}{path}"


def sheet():
    """The sheet of sessions."""
    return result("phantom/sessions.tsv") if "phantom" in config else config["sessions"]


def layout(wildcards):
    """A params function: how the folder of images is laid out, or what is missing in the config."""
    if "layout" not in config:
        raise WorkflowError(
            "config: `write_sheet` expects the section `layout`, found none; name kind and folder (docs/layouts/)"
        )
    return config["layout"]


def with_sheet(*paths):
    """An input function that gives these paths, or says that there is no sheet of sessions."""

    def files(wildcards):
        if not SESSIONS:
            raise WorkflowError(
                f"{config['sessions']}: expected the sheet of sessions, found no such file; write one "
                "(docs/your_own_data.md), have it written (snakemake write_sheet) or name it as `sessions` in the config"
            )
        return paths[0] if len(paths) == 1 else list(paths)

    return files


def with_split(path):
    """An input function that gives the sheet, or says why its patients cannot be split into folds."""

    def file(wildcards):
        if SPLIT_PROBLEM:
            raise WorkflowError(SPLIT_PROBLEM)
        return with_sheet(path)(wildcards)

    return file


def has_metrics_alone():
    """Whether the study's metrics are here without its sheet: copied from where it ran, to draw figures and tables anew."""
    return Path(result("metrics/iou.csv")).exists() and not Path(sheet()).exists()


try:
    STUDY = read_study()
    METRICS_ALONE = has_metrics_alone()
    ALL_SESSIONS = [] if METRICS_ALONE else read_sessions()
except InputError as error:
    raise WorkflowError(str(error)) from None

if METRICS_ALONE and workflow.is_main_process:
    logger.info(
        f"{result('metrics')}: found without the sheet {sheet()}; tables, figures and the page are made from the metrics alone"
    )

# ---- who is in it: of the sheet's sessions those with all images, of those with masks the selected ones -------------------

SELECTION = result("metrics/selection.csv")
FOLDS = result("folds.tsv")
MISSING_IMAGES = [
    (session.participant_id, session.session_id, contrast)
    for session in ALL_SESSIONS
    for contrast in config["channels"]
    if not getattr(session, contrast.lower())
]
SESSIONS = [
    session
    for session in ALL_SESSIONS
    if (session.participant_id, session.session_id) not in {row[:2] for row in MISSING_IMAGES}
]
WITH_MASKS = [session for session in SESSIONS if session.mask]
# What the last run found out: images are looked at in a job, and the graph is made before it. `split` compares the two.
LEFT_OUT = selection.left_out(SELECTION) if selection.excludes(config["selection"]) else set()
LABELLED = [session for session in WITH_MASKS if (session.participant_id, session.session_id) not in LEFT_OUT]

# Images of too few patients for folds can still be converted and cut into patches; `split` says what is missing.
try:
    SPLIT_PROBLEM, ASSIGNMENTS = "", read_assignments()
except InputError as error:
    if config["split"]["file"]:
        raise WorkflowError(str(error)) from None
    SPLIT_PROBLEM, ASSIGNMENTS = str(error), []

# The settings of training that change its result. The others are read from the config by the scripts: as parameters of the
# rules they would have every network trained anew by a change of them.
TRAINING = {key: value for key, value in config["training"].items() if key not in ("device", "tensorboard")}

CONTRASTS = config["channels"]
LABEL = "sub-{participant}_ses-{session}"
FOLDER = "sub-{participant}/ses-{session}/"
SESSION_BY_IDS = {(session.participant_id, session.session_id): session for session in SESSIONS}


wildcard_constraints:
    participant="[A-Za-z0-9]+",
    session="[A-Za-z0-9]+",
    contrast="T[12]w",
    topology="[A-Za-z0-9]+",
    model=r"[A-Za-z0-9]+(\+[A-Za-z]+)?",
    trial=r"[A-Za-z0-9]+_[a-z]+_[0-9.e+-]+_[a-z]+",
    fold=r"\d+",
    experiment=r"[A-Za-z0-9]+(\+[A-Za-z]+){0,2}",


# ---- runs ------------------------------------------------------------------------------------------------------------

# Of all studies of this folder, for SLURM's jobs are told apart by the folder they were sent from.
RUNS = Path("logs/runs")

if not workflow.is_main_process:
    slurm.keep_going(workflow)


def begin_run(logs):
    """Leave a record of this run, which `watch` and `resume` read; stop where an earlier one still has jobs at work."""
    try:
        left = slurm.orphans(Path.cwd(), RUNS)
        if left:
            raise InputError(
                f"SLURM: expected no jobs of earlier runs in this folder, found {', '.join(job.number for job in left)} of one "
                "that was killed; `make resume` ends them and goes on from where they were"
            )
        epochs = {
            "train_network": config["training"]["epochs"],
            "stack_fold": config["stacking"]["epochs"],
            "search_network": config.get("search", {}).get("epochs"),
        }
        slurm.begin(RUNS, logs[0], results=result("").rstrip("/"), epochs=epochs)
    except InputError as error:
        raise WorkflowError(str(error)) from None


def scale_with_attempt(amount):
    """A resource that grows with each attempt: a job that was killed for it gets more."""
    return lambda wildcards, attempt: amount * attempt


# ---- what the rules take -------------------------------------------------------------------------------------------


def library_inputs(script):
    """A rule's script and the library modules that define its result, as inputs: an edit of them remakes it, no other.

    The paths are relative to where the run is, so that a folder that was moved or copied is as done as it was.
    """
    return [os.path.relpath(path) for path in files_of_library(SCRIPTS / f"{script}.py")]


def source_image(wildcards):
    """The images of a session as the sheet names them; the phantom's come with its sheet."""
    session = SESSION_BY_IDS[wildcards.participant, wildcards.session]
    return sheet() if "phantom" in config else [getattr(session, contrast.lower()) for contrast in CONTRASTS]


def source_by_contrast(wildcards):
    """By contrast, the DICOM folder or the image file the sheet names."""
    session = SESSION_BY_IDS[wildcards.participant, wildcards.session]
    return {contrast: getattr(session, contrast.lower()) for contrast in CONTRASTS}


def mask_source(wildcards):
    """The mask of a session as the sheet names it."""
    return SESSION_BY_IDS[wildcards.participant, wildcards.session].mask


def with_endings(stem, *endings):
    """One file a format."""
    return [f"{stem}.{ending}" for ending in endings]


def nifti(contrast):
    """A converted image."""
    return result(f"nifti/{FOLDER}anat/{LABEL}_{contrast}.nii.gz")


def sidecar(contrast):
    """A converted image's description."""
    return result(f"nifti/{FOLDER}anat/{LABEL}_{contrast}.json")


LABEL_DESCRIPTIONS = result("nifti/labels.txt")
SERIES_SELECTION = result(f"conversion/{FOLDER}{LABEL}_series.json")
MASK = result(f"nifti/{FOLDER}anat/{LABEL}_dseg.nii.gz")
REGISTERED = result(f"registered/{FOLDER}{LABEL}_space-T2w_T1w.nii.gz")
MATRIX = result(f"registered/{FOLDER}{LABEL}_from-T1w_to-T2w_xfm.mat")
REGISTRATION = result(f"registered/{FOLDER}{LABEL}_from-T1w_to-T2w_xfm.json")
PATCHES = result(f"patches/{FOLDER}{LABEL}_patches.json")


def mask_if_there_is_one(wildcards):
    """The mask of a session, or nothing where it is only to be segmented."""
    return [MASK.format(**wildcards)] if mask_source(wildcards) else []


PICTURE = result(f"quality/{LABEL}_quality.png")
QUALITY_PAGE = result("quality/index.html")


def registration_settings():
    """The settings of registration that count: those of the other engine change nothing."""
    return {
        key: value
        for key, value in config["registration"].items()
        if key != "flirt" or config["registration"]["engine"] == "flirt"
    }


def aligned(contrast):
    """An image on the T2w grid."""
    return nifti("T2w") if contrast == "T2w" else REGISTERED


def normalised(contrast):
    """A z-scored image on the T2w grid."""
    return result(f"normalised/{FOLDER}{LABEL}_space-T2w_desc-normalised_{contrast}.nii.gz")


def of_sessions(sessions, *patterns):
    """Each pattern's path for each session."""
    return [
        pattern.format(participant=session.participant_id, session=session.session_id)
        for pattern in patterns
        for session in sessions
    ]


def ids_of(sessions):
    """(participant, session) of some sessions."""
    return [(session.participant_id, session.session_id) for session in sessions]


def ids_left_out():
    """(participant, session) of those with a mask that this run leaves out."""
    return sorted(set(ids_of(WITH_MASKS)) - set(ids_of(LABELLED)))


def subset(fold, *names):
    """The sessions of a fold's subsets (train, validation, test)."""
    patients = {row.participant_id for row in ASSIGNMENTS if row.fold == int(fold) and row.subset in names}
    return [session for session in LABELLED if session.participant_id in patients]


def tested_sessions():
    """The sessions that are test sessions of any fold; those of the paper's study are of every fold."""
    tested = {session for fold in STUDY.folds for session in subset(fold, "test")}
    return [session for session in LABELLED if session in tested]


def patches_of(*names):
    """An input function: the patches of a fold's subsets."""

    def files(wildcards):
        return of_sessions(subset(wildcards.fold, *names), PATCHES)

    return files


def masks_of(*names):
    """An input function: the masks of a fold's subsets."""

    def files(wildcards):
        return of_sessions(subset(wildcards.fold, *names), MASK)

    return files


def session_ids_of(*names):
    """A params function: (participant, session) of a fold's subsets, in the order of `patches_of` and `masks_of`."""

    def ids(wildcards):
        return [(session.participant_id, session.session_id) for session in subset(wildcards.fold, *names)]

    return ids


def class_names():
    """Class names in the order of their ids."""
    return [tissue["name"] for tissue in config["classes"]]


# ---- what the rules make ---------------------------------------------------------------------------------------------


NETWORK = result("networks/{topology}/fold-{fold}/network.keras")
HISTORY = result("networks/{topology}/fold-{fold}/history.csv")
HISTORIES = result("metrics/histories.csv")
TENSORBOARD = result("tensorboard/fold-{fold}")
TRIAL_HISTORY = result("search/{trial}/fold-{fold}/history.csv")
META_LEARNER = result("meta_learners/{model}/fold-{fold}/meta_learner.keras")
META_LEARNER_HISTORY = result("meta_learners/history_fold-{fold}.csv")
THRESHOLDS = result("thresholds/{model}/fold-{fold}.json")
THRESHOLD_CURVES = result("metrics/threshold_curves.csv")
COUNTS = result("counts/fold-{fold}.csv.gz")
CALIBRATION_SUMS = result("counts/calibration_fold-{fold}.csv.gz")
CALIBRATION = result("metrics/calibration.csv")
CALIBRATION_ERRORS = result("metrics/calibration_errors.csv")
DISTANCES = result("counts/surface_distances_fold-{fold}.csv")
CONFUSION = result("counts/confusion_fold-{fold}.csv")
EXAMPLES = result("metrics/slices/examples.npz")
PREPROCESSING_SLICES = result("metrics/slices/preprocessing.npz")
CASES = result("metrics/slices/cases.npz")
WORST_SLICES = result("metrics/slices/worst_{experiment}.npz")
UNCERTAIN_SLICES = result("metrics/slices/uncertainty.npz")


def masks_of_experiments():
    """The folders of every experiment's masks, with the fold left open."""
    return [result(f"masks/{experiment}/fold-{{fold}}") for experiment in STUDY.experiments]


def of_models(pattern, models):
    """A pattern for each of some models, with the fold left open."""
    return [pattern.replace("{model}", model.name) for model in models]


def networks_of_fold():
    """The trained networks of a fold."""
    return [NETWORK.replace("{topology}", name) for name in STUDY.networks]


def folds_to_stack(fold):
    """The folds whose networks a fold's meta-learners learn from: its own, and with out-of-fold scores the others."""
    return STUDY.folds if config["stacking"]["out_of_fold"] else [int(fold)]


def networks_to_stack(wildcards):
    """An input function: the networks a fold's meta-learners learn from."""
    return [path.format(fold=fold) for fold in folds_to_stack(wildcards.fold) for path in networks_of_fold()]


def folds_that_stack(wildcards):
    """A params function: for each training session of a fold, in the order of `patches_of`, the fold of its networks.

    With out-of-fold scores, that is the fold in which its patient is for the validation, so no network has seen it.
    """
    sessions = subset(wildcards.fold, "train")
    if not config["stacking"]["out_of_fold"]:
        return [int(wildcards.fold)] * len(sessions)
    unseen = {row.participant_id: row.fold for row in ASSIGNMENTS if row.subset == "validation"}
    missing = sorted({session.participant_id for session in sessions} - set(unseen))
    if missing:
        raise WorkflowError(
            f"{config['split']['file']}: expected each training patient for the validation in another fold, as "
            f"`stacking.out_of_fold` needs it, found none for {', '.join(missing[:5])}; mend the split, or set it to false"
        )
    return [unseen[session.participant_id] for session in sessions]


def uncertain_model():
    """The model whose uncertainty is mapped, or None."""
    experiment = config["uncertainty"]["experiment"]
    return experiment and experiment.rpartition("+")[0]


def uncertainty_of_fold():
    """The folder of the maps of uncertainty, with the fold left open; none where the config asks for none."""
    return [result(f"uncertainty/{uncertain_model()}/fold-{{fold}}")] if uncertain_model() else []


def of_folds(*patterns):
    """Each pattern for each fold (and topology, where it has one), fold by fold."""
    return [
        path
        for pattern in patterns
        for fold in STUDY.folds
        for path in dict.fromkeys(pattern.format(fold=fold, topology=topology) for topology in STUDY.networks)
    ]


def trials():
    """The trials of the hyper-parameter search, one a combination and fold: what stands in its table, in order."""
    return [
        {"trial": trial.name, "topology": trial.topology, **trial.hyper_parameters, "fold": fold}
        for trial in STUDY.trials.values()
        for fold in config["search"]["folds"]
    ]


def histories_of_trials(wildcards):
    """An input function: the histories of all trials, or what is missing in the config."""
    if not trials():
        raise WorkflowError(
            "config: `search` expects optimisers and learning rates to try, found no such section; write one (docs/search.md)"
        )
    return [TRIAL_HISTORY.format(**row) for row in trials()]


def benchmarks_by_rule():
    """By rule, the benchmark files of what a study's sessions and folds go through."""
    images = ["convert_session", "mask_session", "normalise_session", "patch_session"]
    images += ["register_session"] if "T1w" in CONTRASTS else []
    passes = ["stack_fold"] if STUDY.meta_learners else []
    passes += ["threshold_fold"] if "TH" in config["labellings"] else []
    return {
        **{name: of_sessions(LABELLED, result(f"benchmarks/{name}/{LABEL}.tsv")) for name in images},
        "train_network": of_folds(result("benchmarks/train_network/{topology}_fold-{fold}.tsv")),
        **{name: of_folds(result(f"benchmarks/{name}/fold-{{fold}}.tsv")) for name in [*passes, "reconstruct_fold"]},
    }
