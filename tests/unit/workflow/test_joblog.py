"""Logs of jobs that succeed, fail, or end by a signal."""

import signal
import subprocess
import sys
import time

import pytest

from factories.workflow import ROOT
from lumbarseg.workflow.joblog import GRACE_S

JOB = """
import sys, os, time
sys.path.insert(0, {library!r})
from lumbarseg.errors import InputError
from lumbarseg.workflow.joblog import job
with job({log!r}) as logger:
    logger.info("begun")
    os.write(2, b"noise of a library\\n")
    {body}
"""


def run(tmp_path, body):
    code = JOB.format(library=str(ROOT / "workflow_scripts"), log=str(tmp_path / "log"), body=body)
    return subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_job_that_succeeds_is_silent_and_its_log_complete(tmp_path):
    process = run(tmp_path, "print('a result')")
    assert process.communicate(timeout=30) == ("", "")
    assert process.returncode == 0
    log = (tmp_path / "log").read_text()
    assert all(words in log for words in ("begun", "noise of a library", "done in"))


def test_job_shows_a_users_mistake_as_one_sentence_and_logs_the_traceback(tmp_path):
    process = run(tmp_path, "raise InputError('a.nii: not readable; copy it again')")
    assert process.communicate(timeout=30) == ("", "a.nii: not readable; copy it again\n")
    assert process.returncode == 1
    log = (tmp_path / "log").read_text()
    assert "Traceback" in log
    assert log.splitlines()[-1].endswith("stopped: a.nii: not readable; copy it again")


def test_job_names_its_log_after_an_unexpected_error(tmp_path):
    process = run(tmp_path, "1 / 0")
    assert "ZeroDivisionError: division by zero (traceback in" in process.communicate(timeout=30)[1]
    assert process.returncode == 1


def test_job_shows_warnings_and_logs_the_rest(tmp_path):
    process = run(tmp_path, "logger.warning('a class is missing'); logger.info('epoch 1')")
    assert process.communicate(timeout=30) == ("", "a class is missing\n")
    assert process.returncode == 0
    assert "a class is missing" in (tmp_path / "log").read_text()


@pytest.mark.parametrize(
    "work", ["time.sleep(60)", "import numpy; numpy.convolve(numpy.ones(10**6), numpy.ones(10**6))"],
    ids=["while Python runs", "during a long computation"],
)  # fmt: skip
def test_job_ends_within_seconds_of_sigterm_and_logs_it(tmp_path, work):
    process = run(tmp_path, work)
    while not (tmp_path / "log").exists() or "noise" not in (tmp_path / "log").read_text():
        time.sleep(0.02)
    time.sleep(0.5)
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=GRACE_S + 3) == 143
    assert (tmp_path / "log").read_text().count("stopped by SIGTERM") == 1


@pytest.mark.parametrize(
    "body",
    [
        "raise InputError(os.fsdecode(b'caf\\xe9') + ': not readable; copy it again')",
        "raise OSError(os.fsdecode(b'caf\\xe9'))",
        "logger.warning(os.fsdecode(b'caf\\xe9')); sys.exit(0)",
        "print(os.fsdecode(b'caf\\xe9'), file=sys.stderr, flush=True); raise InputError('caf\\udce9')",
    ],
)
def test_job_shows_names_that_are_not_utf8_with_escapes(tmp_path, body):
    process = run(tmp_path, body)
    error = process.communicate(timeout=30)[1]
    assert r"caf\udce9" in error
    assert len(error.splitlines()) == 1
    assert r"caf\udce9" in (tmp_path / "log").read_text()
    assert "UnicodeEncodeError" not in (tmp_path / "log").read_text()
