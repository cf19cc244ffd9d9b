"""A run that is killed: what was trained is not lost."""

import os
import signal
import subprocess
import sys
import time

from factories.workflow import copy_workflow, small_study, snakemake, write_cohort, write_study


def test_training_that_is_killed_goes_on_from_its_last_epoch(tmp_path):
    folder = copy_workflow(tmp_path / "workflow")
    write_cohort(folder / "cohort", 3, slices=2)
    study = small_study("cohort/sessions.tsv", split={"folds": 2})
    study["training"]["epochs"] = 60
    write_study(folder, study)
    target = "results/small/networks/UD/fold-1/network.keras"
    log = folder / "results/small/logs/train_network/UD_fold-1.log"
    command = [sys.executable, "-m", "snakemake", "--configfile", "my_study.yaml", "--cores", "2", target]
    with subprocess.Popen(
        command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    ) as process:
        while not log.exists() or log.read_text().count("epoch ") < 3:
            assert process.poll() is None
            time.sleep(0.02)
        os.killpg(process.pid, signal.SIGKILL)
    # The lock of a killed run stays, as after any kill of snakemake.
    assert snakemake(folder, "--configfile", "my_study.yaml", "--unlock").status == 0
    run = snakemake(folder, "--configfile", "my_study.yaml", "--cores", "2", target)
    assert run.status == 0, run.output[-3000:]
    assert "continuing from epoch" in log.read_text()
    assert "epoch 60/60" in log.read_text()
    assert len((folder / "results/small/networks/UD/fold-1/history.csv").read_text().splitlines()) == 61
