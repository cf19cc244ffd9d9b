"""What a cluster does to jobs. After each fault the results are those of a run to which nothing happened."""

import os
import signal
import subprocess

import pytest

from checkouts import OPTIONS, TARGET, TRAINING, ask, same_training, wait_until
from factories.workflow import ROOT


def node_of(job):
    return ask("squeue", "--noheader", "--job", job, "--format=%N")


def test_a_job_over_its_time_limit_goes_on_from_its_last_epoch(checkout, undisturbed):
    run = checkout.start(TARGET)
    # Limits are minutes; the end of this one is set by hand.
    ask("scontrol", "update", f"JobId={checkout.hold()}", "EndTime=now+1")
    assert checkout.finish(run) == 0, checkout.output[-4000:]
    assert "SLURM status is: 'TIMEOUT'" in checkout.output
    assert "continuing from epoch" in checkout.log()
    same_training(checkout.results / TRAINING, undisturbed() / TRAINING)


def test_a_job_killed_for_memory_is_sent_again_with_more(checkout, undisturbed):
    # A network takes three times as much, and Snakemake itself less.
    run = checkout.start(TARGET, "--set-resources", "train_network:mem_mb=attempt**4*400")
    asked = set()

    def ended():
        asked.update(ask("squeue", "--noheader", "--states=all", "--format=%Z %m").splitlines())
        return run.poll() is not None

    wait_until(ended, "end of the run", checkout)
    assert run.returncode == 0, checkout.output[-4000:]
    memory = [line.split()[1] for line in asked if line.startswith(f"{checkout.folder} ")]
    assert sorted(memory) == ["400M", "6400M"]
    same_training(checkout.results / TRAINING, undisturbed() / TRAINING)


def test_a_cancelled_job_is_sent_again(checkout, undisturbed):
    run = checkout.start(TARGET)
    ask("scancel", checkout.hold())
    assert checkout.finish(run) == 0, checkout.output[-4000:]
    assert "SLURM status is: 'CANCELLED'" in checkout.output
    assert "continuing from epoch" in checkout.log()
    same_training(checkout.results / TRAINING, undisturbed() / TRAINING)


def in_partition(name):
    """The profile's request for a card, from another partition; one that is given here replaces all of a rule's."""
    return ("--set-resources", f"train_network:slurm_partition={name}", "train_network:gres=gpu:v100:1")


def test_a_job_goes_on_elsewhere_when_its_node_goes_down(checkout, undisturbed):
    run = checkout.start(TARGET, *in_partition("frail"))
    node = node_of(checkout.hold())
    ask("scontrol", "update", f"NodeName={node}", "State=DOWN", "Reason=test")
    try:
        assert checkout.finish(run) == 0, checkout.output[-4000:]
    finally:
        ask("scontrol", "update", f"NodeName={node}", "State=RESUME")
    assert "continuing from epoch" in checkout.log()
    assert f" on {node}, card" not in checkout.log()
    same_training(checkout.results / TRAINING, undisturbed() / TRAINING)


def test_a_preempted_job_goes_on_when_its_card_is_free_again(checkout, undisturbed):
    run = checkout.start(TARGET, *in_partition("lent"))
    job = checkout.hold()
    ask("sbatch", "--partition=urgent", "--gres=gpu:v100:1", "--mem=100", "--output=/dev/null", "--wrap", "sleep 3")
    assert checkout.finish(run) == 0, checkout.output[-4000:]
    assert "Restarts=1" in ask("scontrol", "show", "job", job)
    assert "continuing from epoch" in checkout.log()
    same_training(checkout.results / TRAINING, undisturbed() / TRAINING)


def test_after_the_run_itself_was_killed_make_resume_loses_no_epoch_and_does_none_twice(checkout, undisturbed):
    by_hand = ask(
        "sbatch", "--parsable", f"--chdir={checkout.folder}", "--mem=100", "--output=/dev/null", "--wrap", "sleep 600"
    )
    elsewhere = ask(
        "sbatch",
        "--parsable",
        "--chdir=/tmp",
        "--comment=rule_train_network",
        "--mem=100",
        "--output=/dev/null",
        "--wrap",
        "sleep 600",
    )
    try:
        run = checkout.start(TARGET)
        orphan = checkout.hold()
        os.killpg(run.pid, signal.SIGKILL)
        run.wait()
        # The lock alone can be taken away; the run then stops by itself, before it sends the same job again.
        unlock = checkout.start(TARGET, "--unlock")
        assert checkout.finish(unlock) == 0
        assert checkout.finish(checkout.start(TARGET)) == 1
        assert f"found {orphan} of one that was killed; `make resume` ends" in checkout.output
        done = resume(checkout)
        assert done.returncode == 0, done.stdout[-4000:]
        assert f"ended job {orphan} (train_network UD_1)" in done.stdout
        assert {by_hand, elsewhere} <= set(ask("squeue", "--noheader", "--states=RUNNING", "--format=%i").split())
    finally:
        ask("scancel", by_hand, elsewhere)
    assert "continuing from epoch" in checkout.log()
    assert ask("scontrol", "show", "job", orphan).count("JobState=CANCELLED") == 1
    same_training(checkout.results / TRAINING, undisturbed() / TRAINING)


def resume(checkout):
    """`make resume` in the checkout, with this environment, which is taken as set up."""
    (checkout.folder / ".venv").symlink_to(ROOT / ".venv")
    arguments = " ".join([*OPTIONS, TARGET])
    return subprocess.run(
        ["make", "-f", str(ROOT / "Makefile"), "-o", ".venv/.run", "resume", f"ARGS={arguments}"], cwd=checkout.folder,
        env=checkout.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, timeout=900,
    )  # fmt: skip


def test_make_resume_touches_nothing_while_a_run_goes_on(checkout):
    run = checkout.start(TARGET)
    job = checkout.hold()
    done = resume(checkout)
    assert done.returncode != 0
    assert f"found process {run.pid} on " in done.stdout
    assert job in checkout.jobs("RUNNING")
    checkout.end(run)


@pytest.fixture
def small_disk(checkout):
    """A disk too small for a training, where the study's networks go; `mount` makes it larger."""
    place = checkout.results / "networks"
    place.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=100k", "tmpfs", place], check=False).returncode:
        pytest.skip("only root can mount a disk that is too small")
    yield place
    subprocess.run(["umount", "--lazy", place], check=True)


def test_a_full_scratch_disk_is_told_in_a_sentence_and_costs_nothing_that_was_done(checkout, small_disk, undisturbed):
    run = checkout.start(TARGET, retries=0)
    assert checkout.finish(run) == 1
    assert "expected room to write it, found none (No space left on device); make room" in checkout.log()
    subprocess.run(["mount", "-o", "remount,size=50m", small_disk], check=True)
    checkout.run(TARGET)
    same_training(checkout.results / TRAINING, undisturbed() / TRAINING)
