"""How the workflow uses a cluster: the whole study, what is submitted, which card a training gets."""

import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pandas as pd

from checkouts import TRAINING, Checkout, same_training
from factories.workflow import ROOT, copy_workflow, small_study, write_cohort, write_study


def test_the_whole_study_runs_from_images_to_the_page_of_results(checkout, undisturbed):
    checkout.run()
    results = checkout.results
    assert (results / "report/results.html").stat().st_size > 10_000
    found = pd.read_csv(results / "metrics/iou.csv")
    assert {"U1+TH", "UD+MAP", "E2+Arith+TH", "E2+NAD+MAP"} <= set(found["experiment"])
    assert set(found.groupby("experiment").size()) == {2 * 3}  # folds × classes
    logs = sorted(results.glob("logs/train_network/*.log"))
    assert len(logs) == 4
    assert all(re.search(r"SLURM job \d+ on gpu[12], card [01]$", log.read_text(), re.MULTILINE) for log in logs)
    assert not list(results.glob("networks/*/*/state*"))
    same_training(results / TRAINING, undisturbed() / TRAINING)
    done = subprocess.run(
        [sys.executable, "-m", "lumbarseg", "watch"], cwd=checkout.folder, capture_output=True, text=True, check=True,
        env=checkout.environment | {"PYTHONPATH": str(ROOT / "workflow_scripts")},
    )  # fmt: skip
    assert re.match(r"results/small: (\d+) of \1 jobs done, 0 running, 0 waiting, 0 failed; .*: ended\n", done.stdout)


def test_the_literal_command_sends_the_images_of_all_sessions_as_one_job(shared, tmp_path):
    folder = copy_workflow(tmp_path / "workflow")
    write_cohort(folder / "cohort", 4)
    write_study(folder, small_study("cohort/sessions.tsv"))
    command = [
        str(Path(sys.executable).with_name("snakemake")),
        "patch",
        "--profile",
        "slurm",
        "--configfile",
        "my_study.yaml",
    ]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=500)
    assert done.returncode == 0, done.stderr[-4000:]
    assert done.stderr.count("has been submitted with SLURM jobid") == 1
    assert len(list(folder.glob("results/small/patches/*/*/*_patches.json"))) == 4
    assert len(list(folder.glob("logs/slurm/group_images*/*.log"))) == 1


def test_two_trainings_on_one_node_never_share_a_card(checkout):
    trainings = ["networks/UD/fold-1", "networks/UD/fold-2"]
    run = checkout.start(
        *(f"results/small/{training}/network.keras" for training in trainings),
        "--set-resources", "train_network:slurm_partition=gpu", "train_network:gres=gpu:v100:1",
        "train_network:slurm_extra='--nodelist=gpu1'",
    )  # fmt: skip
    with ThreadPoolExecutor() as pool:  # each as soon as it can be: the other may end while one is waited for
        jobs = list(pool.map(lambda training: checkout.hold(training, epoch=1), trainings))
    assert set(jobs) <= set(checkout.jobs("RUNNING"))
    found = [
        re.search(
            rf"SLURM job {job} on (gpu1), card ([01])$", checkout.log(f"train_network/UD_fold-{fold}"), re.MULTILINE
        )
        for fold, job in enumerate(jobs, 1)
    ]
    assert sorted(match.groups() for match in found if match) == [("gpu1", "0"), ("gpu1", "1")]
    checkout.end(run)


def test_the_profile_names_rules_that_there_are():
    text = (ROOT / "profiles/slurm/config.yaml").read_text()
    rules = set(
        re.findall(r"^rule (\w+):", "\n".join(file.read_text() for file in ROOT.glob("rules/*.smk")), re.MULTILINE)
    )
    named = set(re.findall(r"^  - (\w+)=results$", text, re.MULTILINE)) | set(
        re.findall(r"^  (\w+): [&*]networks", text, re.MULTILINE)
    )
    assert len(named) > 15
    assert named <= rules


def test_one_bad_session_costs_no_other_session_of_its_submission(shared, tmp_path):
    folder = copy_workflow(tmp_path / "workflow")
    write_cohort(folder / "cohort", 4)
    (folder / "cohort/2_mask.nii.gz").write_bytes(b"no image")
    write_study(folder, small_study("cohort/sessions.tsv"))
    checkout = Checkout(folder)
    assert checkout.finish(checkout.start("patch", retries=0)) == 1
    assert "2_mask.nii.gz" in checkout.output
    made = {path.name[:6] for path in folder.glob("results/small/patches/*/*/*_patches.json")}
    assert made == {"sub-p0", "sub-p1", "sub-p3"}
