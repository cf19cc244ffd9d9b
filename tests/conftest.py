"""What the tests share."""

import os
import shutil
from pathlib import Path

import hypothesis
import pytest

from factories.workflow import ROOT, copy_workflow, small_study, snakemake, write_cohort, write_study

# Before anything imports TensorFlow: quiet, and without a GPU even where there is one, for results are compared bit for bit.
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["CUDA_VISIBLE_DEVICES"] = ""

# Whether a property holds does not depend on how busy the machine is, and a change is not blamed for an example that was never
# tried before: the examples are the same each time. `pytest --hypothesis-profile explore` tries others.
hypothesis.settings.register_profile("project", deadline=None, derandomize=True)
hypothesis.settings.register_profile("explore", deadline=None)
hypothesis.settings.load_profile("project")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real images beside the repository; its terms do not allow a copy here."""
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"the real images are not at {folder}; they are not part of the project")
    return folder


@pytest.fixture(scope="session")
def finished(tmp_path_factory) -> Path:
    """A folder in which a small study has been run to its end. Tests copy it before they change anything."""
    folder = copy_workflow(tmp_path_factory.mktemp("finished") / "workflow")
    write_cohort(folder / "cohort", 6)
    study = write_study(folder, small_study("cohort/sessions.tsv"))
    run = snakemake(folder, "--configfile", study.name, "--cores", "2", "--set-threads", "train_network=1")
    assert run.status == 0, run.output[-4000:]
    return folder


@pytest.fixture
def again(finished, tmp_path) -> Path:
    """A copy of the finished study that a test may change. Paths in it are relative, times are kept."""
    return Path(shutil.copytree(finished, tmp_path / "workflow", symlinks=True))
