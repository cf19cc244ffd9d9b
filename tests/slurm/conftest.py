"""A small study on the test cluster: prepared once, run undisturbed once, and copied for each test that disturbs it."""

import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from checkouts import TARGET, Checkout, study
from factories.workflow import copy_workflow, write_cohort


@pytest.fixture(scope="session")
def shared(tmp_path_factory) -> Path:
    """A folder that all workers of pytest see."""
    if "SLURM_CONF" not in os.environ:
        pytest.skip("no cluster here; `make test-slurm` starts one")
    base = tmp_path_factory.getbasetemp()
    return base.parent if "PYTEST_XDIST_WORKER" in os.environ else base


def once(shared: Path, name: str, make: Callable[[Path], None]) -> Path:
    """A folder that the first worker makes and the others wait for."""
    with (shared / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        folder, done = shared / name, shared / f"{name}.done"
        assert done.exists() or not folder.exists(), f"{name} could not be made; another test says why"
        if not done.exists():
            make(folder)
            done.touch()
    return folder


@pytest.fixture(scope="session")
def prepared(shared) -> Path:
    """The workflow in a folder, with a cohort of six whose patches are made."""

    def make(folder: Path) -> None:
        copy_workflow(folder)
        write_cohort(folder / "cohort", 6)
        (folder / "my_study.yaml").write_text(yaml.safe_dump(study()))
        command = [sys.executable, "-m", "snakemake", "patch", "split", "--configfile", "my_study.yaml", "--cores", "2"]
        subprocess.run(command, cwd=folder, check=True, capture_output=True, timeout=500)

    return once(shared, "prepared", make)


@pytest.fixture
def checkout(prepared, tmp_path) -> Iterator[Checkout]:
    """A copy of the prepared folder. No test leaves jobs behind, however it ends."""
    made = Checkout(Path(shutil.copytree(prepared, tmp_path / "study", symlinks=True)))
    yield made
    if left := made.jobs():
        subprocess.run(["scancel", *left], check=False)


@pytest.fixture(scope="session")
def undisturbed(shared, prepared) -> Callable[[], Path]:
    """Gives the results of a training to which nothing happened. It is done when it is first asked for."""

    def make(folder: Path) -> None:
        shutil.copytree(prepared, folder, symlinks=True)
        Checkout(folder).run(TARGET)

    return lambda: once(shared, "undisturbed", make) / "results/small"
