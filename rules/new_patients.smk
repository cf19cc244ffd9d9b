"""Paths and functions of bundles and of new patients who are segmented with one."""

import json
from glob import glob

BUNDLE = result("bundle/{experiment}.zip")
SEGMENTED = result(f"{FOLDER}{LABEL}_dseg.nii.gz")
SEGMENTED_DICOM = result(f"{FOLDER}{LABEL}_dseg.dcm")
ENTROPY = result(f"{FOLDER}{LABEL}_desc-entropy_uncertainty.nii.gz")
MUTUAL_INFORMATION = result(f"{FOLDER}{LABEL}_desc-mutualinformation_uncertainty.nii.gz")
SESSION_RECORD = result(f"{FOLDER}{LABEL}_dseg.json")
MEASURES = result(f"{FOLDER}{LABEL}_measures.csv")
PAGE = with_endings(result(f"{FOLDER}{LABEL}_page"), "pdf", "png")
MEASURES_KEY = result("measures.json")


def models_of(experiment):
    """The models that may go into a bundle: that of an experiment, or all of the study, of which the best is chosen."""
    return [model for model in STUDY.models if experiment == "best" or experiment.rpartition("+")[0] == model.name]


def of_bundle(pattern):
    """An input function: a pattern for each fold and each model or topology that may go into the bundle."""

    def files(wildcards):
        models = models_of(wildcards.experiment)
        if wildcards.experiment not in ["best", *STUDY.experiments]:
            raise WorkflowError(
                f"the bundle of {wildcards.experiment}: expected `best` or an experiment of this study "
                f"({', '.join(STUDY.experiments[:12])}, …), found no such experiment; correct the name (`bundle_experiment` in the config)"
            )
        topologies = list(dict.fromkeys(name for model in models for name in model.networks))
        names = [model.name for model in models if model.is_stacked or pattern != META_LEARNER]
        return list(
            dict.fromkeys(
                pattern.format(fold=fold, model=model, topology=topology)
                for fold in STUDY.folds
                for model in (names if "{model}" in pattern else [""])
                for topology in (topologies if "{topology}" in pattern else [""])
            )
        )

    return files


def with_bundle(*paths):
    """An input function that gives these paths, or says that no bundle is named."""

    def files(wildcards):
        if not config["bundle"]:
            raise WorkflowError(
                "config: `segment` expects a bundle and a sheet of the new sessions, found no bundle; name both: "
                "snakemake segment --config bundle=FILE sessions=SHEET"
            )
        return with_sheet(*paths)(wildcards)

    return files


def all_segmentations():
    """Everything that is made of new sessions; a DICOM-SEG where the T2w came as DICOM."""
    of_dicom = [session for session in SESSIONS if os.path.isdir(session.t2w)]
    return [
        *of_sessions(SESSIONS, SEGMENTED, MEASURES, *PAGE),
        *of_sessions(of_dicom, SEGMENTED_DICOM),
        LABEL_DESCRIPTIONS,
        MEASURES_KEY,
    ]


def report_sessions():
    """Print what became of each new session: segmented, segmented but to be looked at, or not, and why."""
    for session in SESSIONS if config["bundle"] else []:
        record, *results = of_sessions([session], SESSION_RECORD, SEGMENTED, MEASURES)
        if all(map(os.path.exists, [record, *results])):
            flags = json.loads(Path(record).read_text(encoding="utf-8"))["flags"]
            said = "; ".join(["segmented", *flags])
        else:
            said = f"NOT segmented: {last_words(session)}"
        print(f"{session.label}: {said}", file=sys.stderr)


def last_words(session):
    """The sentence with which a session's last failed job ended."""
    logs = [Path(path) for path in glob(result(f"logs/*/{session.label}.log"))]
    for log in sorted(logs, key=lambda path: path.stat().st_mtime, reverse=True):
        lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
        stopped = [line.partition("stopped: ")[2] for line in lines if "stopped: " in line]
        if stopped:
            return stopped[-1]
    return "no job of it failed; it was not reached"
