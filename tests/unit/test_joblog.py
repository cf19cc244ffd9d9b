"""What a job says when it ends well, badly, or by a signal."""

import signal
import subprocess
import sys
import time

import pytest

from workflow_runs import ROOT

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


@pytest.mark.parametrize("sign", [signal.SIGTERM])
def test_a_schedulers_signal_is_answered_and_written_down(tmp_path, sign):
    process = run(tmp_path, "time.sleep(60)")
    while not (tmp_path / "log").exists() or "noise" not in (tmp_path / "log").read_text():
        time.sleep(0.02)
    process.send_signal(sign)
    assert process.wait(timeout=5) == 143
    assert "stopped by SIGTERM" in (tmp_path / "log").read_text()
