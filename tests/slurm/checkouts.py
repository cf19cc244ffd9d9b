"""A user's copy of the workflow on the test cluster, and what is asked of SLURM."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from factories.workflow import small_study

TRAINING = "networks/UD/fold-1"
TARGET = f"results/small/{TRAINING}/network.keras"
EPOCHS = 12
# One thread a job: there are fewer processors here than the nodes pretend, and a training is the same to the last bit only with
# as many threads.
RULES = ("train_network", "stack_fold", "threshold_fold", "reconstruct_fold")
OPTIONS = ["--configfile", "my_study.yaml", "--set-threads", *(f"{rule}=1" for rule in RULES)]
OPTIONS += ["--slurm-init-seconds-before-status-checks", "1"]
POLL = Path(__file__).with_name("often")
"""In this folder lies what makes the plugin look at its jobs every second; see there."""


def study() -> dict:
    """Two networks, two folds and an ensemble; epochs enough for a training to be caught in the middle."""
    content = small_study("cohort/sessions.tsv", split={"folds": 2, "test_patients": 1})
    content["training"] |= {"epochs": EPOCHS, "batch_size": 4}
    return content


class Checkout:
    """A user's copy of the workflow, with a study in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.results = folder / "results/small"

    def start(self, *arguments: str, retries: int = 3) -> subprocess.Popen:
        """Start the literal `snakemake --profile slurm`; only its looking at jobs is made to happen more often."""
        command = [
            sys.executable,
            "-m",
            "snakemake",
            "--profile",
            "slurm",
            *OPTIONS,
            "--retries",
            str(retries),
            *arguments,
        ]
        output = (self.folder / "output.txt").open("a")
        return subprocess.Popen(
            command, cwd=self.folder, env=self.environment, stdout=output, stderr=subprocess.STDOUT,
            start_new_session=True,
        )  # fmt: skip

    @property
    def environment(self) -> dict[str, str]:
        return os.environ | {"PYTHONPATH": str(POLL), "XDG_CACHE_HOME": str(self.folder / ".cache")}

    @property
    def output(self) -> str:
        return (self.folder / "output.txt").read_text()

    def run(self, *arguments: str, **how) -> None:
        """Run to the end, which has to be a good one."""
        assert self.finish(self.start(*arguments, **how)) == 0, self.output[-4000:]

    def finish(self, process: subprocess.Popen) -> int:
        try:
            return process.wait(1500)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            raise AssertionError(f"still running after 1500 s:\n{self.output[-4000:]}\n{ask('squeue')}") from None

    def end(self, process: subprocess.Popen) -> None:
        """End a run and its jobs; SIGTERM has Snakemake wait for them and send no more."""
        process.terminate()
        ask("scancel", *self.jobs())
        self.finish(process)
        wait_until(lambda: not self.jobs(), "end of its jobs", self)

    def log(self, name: str = "train_network/UD_fold-1") -> str:
        file = self.results / f"logs/{name}.log"
        return file.read_text() if file.exists() else ""

    def hold(self, training: str = TRAINING, epoch: int = 3) -> str:
        """Wait for an epoch of the training, then have its process stand still; give the job's number.

        So what is done to it next comes before its end, however fast this machine is. The signals that SLURM ends a job with
        make it go on.
        """
        _, topology, fold = training.split("/")
        log = f"train_network/{topology}_{fold}"
        wait_until(lambda: f"epoch {epoch}/" in self.log(log), f"epoch {epoch}", self)
        owner = json.loads((self.results / training / "state.lock").read_text())
        os.kill(owner["process"], signal.SIGSTOP)
        return owner["job"]

    def jobs(self, *states: str) -> list[str]:
        """The numbers of this folder's jobs in these states (those that wait or run)."""
        lines = ask("squeue", "--noheader", "--format=%i|%T|%Z", *([f"--states={','.join(states)}"] if states else []))
        rows = [line.split("|") for line in lines.splitlines()]
        return [number for number, _, folder in rows if Path(folder) == self.folder]


def ask(*command: str) -> str:
    """What a command of SLURM prints."""
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def wait_until(is_so: Callable[[], object], what: str, checkout: Checkout, seconds: float = 300) -> None:
    until = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < until, f"no {what} in {seconds} s:\n{checkout.output[-3000:]}\n{ask('squeue')}"
        time.sleep(0.1)


def same_training(one: Path, other: Path) -> None:
    """Compare two trainings: the network bit for bit, and every epoch but for the time it took."""
    import keras  # takes seconds, and not every worker compares

    networks = [keras.models.load_model(folder / "network.keras", compile=False) for folder in (one, other)]
    for first, second in zip(*(network.get_weights() for network in networks), strict=True):
        np.testing.assert_array_equal(first, second)
    clock = ["seconds", "patches_per_second"]
    histories = [pd.read_csv(folder / "history.csv").drop(columns=clock) for folder in (one, other)]
    pd.testing.assert_frame_equal(*histories)
    assert list(histories[0]["epoch"]) == list(range(1, EPOCHS + 1))
