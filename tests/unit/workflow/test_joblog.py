"""What a job says when it ends well, badly, or by a signal."""

import signal
import subprocess
import sys
import time

import pytest

from factories.workflow import ROOT
from lumbarseg.workflow.joblog import GRACE

JOB = """
import sys, os, time
sys.path.insert(0, {library!r})
from lumbarseg.errors import InputError
from lumbarseg.joblog import job
with job({log!r}) as logger:
    logger.info("begun")
    os.write(2, b"noise of a library\\n")
    {body}
"""


def run(tmp_path, body):
    code = JOB.format(library=str(ROOT / "workflow_scripts"), log=str(tmp_path / "log"), body=body)
    return subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_a_job_that_ends_well_is_silent_and_its_log_is_complete(tmp_path):
    process = run(tmp_path, "print('a result')")
    assert process.communicate(timeout=30) == ("", "")
    assert process.returncode == 0
    log = (tmp_path / "log").read_text()
    assert all(words in log for words in ("begun", "noise of a library", "done in"))


def test_a_users_mistake_is_one_sentence_on_the_terminal_and_a_traceback_in_the_log(tmp_path):
    process = run(tmp_path, "raise InputError('a.nii: expected this, found that; do so')")
    assert process.communicate(timeout=30) == ("", "a.nii: expected this, found that; do so\n")
    assert process.returncode == 1
    log = (tmp_path / "log").read_text()
    assert "Traceback" in log
    assert log.splitlines()[-1].endswith("stopped: a.nii: expected this, found that; do so")


def test_a_fault_of_ours_names_the_log(tmp_path):
    process = run(tmp_path, "1 / 0")
    assert "ZeroDivisionError: division by zero (traceback in" in process.communicate(timeout=30)[1]
    assert process.returncode == 1


def test_a_warning_is_shown_and_logged_and_what_is_only_told_is_not_shown(tmp_path):
    process = run(tmp_path, "logger.warning('a class is missing'); logger.info('epoch 1')")
    assert process.communicate(timeout=30) == ("", "a class is missing\n")
    assert process.returncode == 0
    assert "a class is missing" in (tmp_path / "log").read_text()


@pytest.mark.parametrize(
    "work", ["time.sleep(60)", "import numpy; numpy.convolve(numpy.ones(10**6), numpy.ones(10**6))"],
    ids=["between two steps of Python", "within one"],
)  # fmt: skip
def test_a_schedulers_signal_is_answered_within_seconds_and_written_down(tmp_path, work):
    process = run(tmp_path, work)
    while not (tmp_path / "log").exists() or "noise" not in (tmp_path / "log").read_text():
        time.sleep(0.02)
    time.sleep(0.5)
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=GRACE + 3) == 143
    assert (tmp_path / "log").read_text().count("stopped by SIGTERM") == 1
