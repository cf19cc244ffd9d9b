"""The plan of this run, and what all rules use. Nothing heavy is imported: each cluster job reads this again."""

import os
import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError
from snakemake.logging import logger

SCRIPTS = Path(workflow.basedir) / "workflow_scripts"
# The library of this checkout, whatever is installed.
sys.path.insert(0, str(SCRIPTS))

from lumbarseg.config.reading import require_unambiguous  # noqa: E402
from lumbarseg.config.study import Study  # noqa: E402
from lumbarseg.errors import InputError  # noqa: E402
from lumbarseg.temporary_files import remove_abandoned_parts, remove_abandoned_scratch  # noqa: E402
from lumbarseg.user_files import require_place  # noqa: E402
from lumbarseg.workflow import slurm  # noqa: E402
from lumbarseg.workflow.library_inputs import library_inputs as modules_of  # noqa: E402
from lumbarseg.workflow.new_patients import session_outcomes  # noqa: E402
from lumbarseg.workflow.paths import LABEL, RUNS, ids_of, of_sessions  # noqa: E402
from lumbarseg.workflow.plan import Plan, apply_bundle  # noqa: E402
from lumbarseg.workflow.report import Report  # noqa: E402
from lumbarseg.workflow.runs import RunRecorder, shorten_input_error  # noqa: E402

logger.addFilter(shorten_input_error)
# TensorFlow's start-up lines would fill the logs; errors are still shown.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")


def require_results_place(paths, writable=False):
    """Stop if results and records of runs have no place."""
    for folder in (paths.result(""), RUNS):
        require_place(folder, writable=writable)


def read_plan():
    """Check the config and read the sheet; a mistake in either ends the run here, before any job."""
    home = Path(workflow.basedir)
    files = [home / "config.yaml", *map(Path, workflow.overwrite_configfiles)]
    try:
        if workflow.is_main_process:
            for file in files:
                require_unambiguous(file)
        apply_bundle(config)
        study = Study(config, files)
        # Rules and scripts read the complete config from Snakemake's own `config`.
        config.clear()
        config.update(study.as_dict())
        plan = Plan(study)
        require_results_place(plan.paths)
        return plan, Report(study, plan.paths)
    except InputError as error:
        raise WorkflowError(str(error)) from None


plan, results = read_plan()
paths = plan.paths
# What would stop planned jobs: a dry run reports it, a run does not begin.
planning_problems = []
if config["training"]["device"] == "cpu":
    os.environ.update(CUDA_VISIBLE_DEVICES="-1")


wildcard_constraints:
    participant="[A-Za-z0-9]+",
    session="[A-Za-z0-9]+",
    contrast="T[12]w",
    topology="[A-Za-z0-9]+",
    model=r"[A-Za-z0-9]+(\+[A-Za-z]+)?",
    trial=r"[A-Za-z0-9]+_[a-z]+_[0-9.e+-]+_[a-z]+",
    fold=r"\d+",
    contrasts="T2w(_T1w)?",
    part=r"(held-out|train|test)-\d+",
    experiment=r"[A-Za-z0-9]+(\+[A-Za-z]+){0,2}",
    figure="[^/]+",
    table="[^/]+",


def library_inputs(script, unused=()):
    """A rule's script and the library modules that define its result, as inputs: an edit of them remakes it, no other.

    The paths are relative to where the run is, so that a moved or copied folder is as done as it was.
    """
    return [os.path.relpath(path) for path in modules_of(SCRIPTS / f"{script}.py", unused)]


def scale_with_attempt(amount):
    """A resource that grows with each attempt: a job that was killed for it gets more."""
    return lambda wildcards, attempt: amount * attempt


def moving_image(wildcards):
    """A session's T1w. A missing engine is reported once when the session is planned; `begin_run` stops then."""
    problem = plan.registration_problem(wildcards)
    if problem and problem not in planning_problems:
        planning_problems.append(problem)
        if workflow.is_main_process:
            logger.warning(problem)
    return paths.nifti("T1w").format(**wildcards)


def begin_run():
    """Record this run for `watch` and `resume`; stop if jobs cannot run, or if an earlier run still has jobs in SLURM.

    Incomplete files that killed runs left are removed.
    """
    if planning_problems:
        raise WorkflowError(planning_problems[0])
    epochs = {
        "train_network": config["training"]["epochs"],
        "stack_fold": config["stacking"]["epochs"],
        "search_network": config.get("search", {}).get("epochs"),
    }
    try:
        require_results_place(paths, writable=True)
        slurm.require_no_orphans(Path.cwd(), RUNS)
        remove_abandoned_scratch()
        for folder in [paths.result(""), RUNS]:
            remove_abandoned_parts(Path(folder), below=True)
        recorder.begin(RUNS, results=paths.result("").rstrip("/"), epochs=epochs)
    except InputError as error:
        raise WorkflowError(str(error)) from None


def report_sessions():
    """Print what became of each new session."""
    for line in session_outcomes(plan):
        print(line, file=sys.stderr)


recorder = RunRecorder()
if workflow.is_main_process:
    logger.addHandler(recorder)
    for warning in [*plan.study.warnings, *plan.warnings]:
        logger.warning(warning)
    for notice in filter(None, [*plan.rows_read, plan.notice]):
        logger.info(notice)
    if changed := plan.changed_folds():
        logger.info(
            f"the split of fold {', '.join(map(str, changed))} has changed; its networks will be retrained after `split` has run (a "
            "dry run does not list them yet)"
        )
else:
    slurm.keep_going(workflow)
