"""Fixtures and settings of all tests."""

import fcntl
import os
import shutil
from pathlib import Path

import hypothesis
import pytest

from factories.workflow import ROOT, copy_workflow, small_study, snakemake, write_cohort, write_study

# Before anything imports TensorFlow: quiet, and without a GPU, because results are compared bit for bit.
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["CUDA_VISIBLE_DEVICES"] = ""

# Whether a property holds does not depend on how busy the machine is, and a change is not blamed for an example that was never
# tried before: the examples are the same each time. `pytest --hypothesis-profile explore` tries others.
hypothesis.settings.register_profile("project", deadline=None, derandomize=True)
hypothesis.settings.register_profile("explore", deadline=None)
hypothesis.settings.load_profile("project")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real images next to the repository, whose terms do not allow a copy in it."""
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"the real images are not at {folder}; they are not part of the project")
    return folder


# Files of tests in the order in which workers take them: long ones first, so that no worker waits at the end for another.
LONG = ("workflow/test_reruns", "end_to_end/", "unit/training/", "workflow/")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the long tests first, each file's together."""

    def rank(item: pytest.Item) -> int:
        return next((place for place, part in enumerate(LONG) if part in item.nodeid), len(LONG))

    items.sort(key=rank)


@pytest.fixture(scope="session")
def finished(tmp_path_factory, worker_id) -> Path:
    """A folder in which a small study was run to its end, once for all workers. Tests copy it before they change anything."""
    base = tmp_path_factory.getbasetemp()
    folder = (base if worker_id == "master" else base.parent) / "finished"
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "results/small/report/results.html").exists():
            shutil.rmtree(folder, ignore_errors=True)
            copy_workflow(folder)
            write_cohort(folder / "cohort", 4, slices=2)
            study = write_study(folder, small_study("cohort/sessions.tsv", split={"folds": 2}))
            run = snakemake(folder, "--configfile", study.name, "--cores", "2", "--set-threads", "train_network=1")
            assert run.status == 0, run.output[-4000:]
    return folder


@pytest.fixture
def again(finished, tmp_path) -> Path:
    """A copy of the finished study that a test may change. Paths in it are relative, times are kept."""
    return Path(shutil.copytree(finished, tmp_path / "workflow", symlinks=True))
