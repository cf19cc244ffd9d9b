"""Records of runs: what a real run of Snakemake writes, and what is left out."""

import json
import logging
import subprocess
import sys
from pathlib import Path

import pytest

from factories.workflow import ROOT
from lumbarseg.workflow.runs import RunRecorder, runs_of, shorten_input_error

SNAKEFILE = """
import sys
sys.path.insert(0, {library!r})
from pathlib import Path
from snakemake.logging import logger
from lumbarseg.workflow.runs import RunRecorder

RECORDER = RunRecorder()
if workflow.is_main_process:
    logger.addHandler(RECORDER)

onstart:
    RECORDER.begin(Path("runs"), results="results/small")

rule target:
    input: "a.txt"

rule make:
    output: "{{name}}.txt"
    message: "making {{wildcards.name}}"
    shell: "test {{wildcards.name}} != b && touch {{output}}"
"""


@pytest.fixture
def recorder(tmp_path):
    """A recorder that has begun, behind a logger as Snakemake's."""
    logger = logging.Logger("snakemake")
    handler = RunRecorder()
    logger.addHandler(handler)
    handler.begin(tmp_path / "runs", results="results/small")
    yield logger
    handler.close()


def events_of(folder):
    (run,) = runs_of(folder)
    return list(run.events())


def test_run_recorder_writes_the_jobs_of_a_run_of_snakemake_whatever_it_prints(tmp_path):
    (tmp_path / "Snakefile").write_text(SNAKEFILE.format(library=str(ROOT / "workflow_scripts")))
    command = [
        sys.executable,
        "-m",
        "snakemake",
        "--cores",
        "1",
        "--keep-going",
        "--retries",
        "1",
        "--quiet",
        "rules",
        "--",
        "target",
        "b.txt",
    ]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 1, done.stderr
    (run,) = runs_of(tmp_path / "runs")
    assert run.has_ended is True
    assert run.name is None
    assert run.content["results"] == "results/small"
    events = list(run.events())
    assert events[0] == {"event": "run_info", "stats": {"make": 2, "target": 1, "total": 3}}
    rules = {event["job"]: event["rule"] for event in events if event["event"] == "job_info"}
    finished = {event["job"] for event in events if event["event"] == "job_finished"}
    assert sorted(rules[job] for job in finished) == ["make", "target"]
    (failed,) = set(rules) - finished
    of_failed = [event["event"] for event in events if str(event.get("job")) == str(failed)]
    assert of_failed == ["job_info", "job_error", "restarted", "job_info", "job_error"]


def test_run_recorder_writes_what_the_slurm_plugin_says_in_text(recorder, tmp_path):
    recorder.info("SLURM run ID: 1f2e-3d")
    recorder.info("Job 3aadd21d-215e has been submitted with SLURM jobid 16 (log: logs/slurm/x/16.log).")
    recorder.info("Trying to restart job 3aadd21d-215e.")
    recorder.info("Select jobs to execute...")
    assert events_of(tmp_path / "runs") == [
        {"event": "slurm_run", "name": "1f2e-3d"},
        {"event": "submitted", "job": "3aadd21d-215e", "number": "16"},
        {"event": "restarted", "job": "3aadd21d-215e"},
    ]
    assert runs_of(tmp_path / "runs")[0].name == "1f2e-3d"


def test_run_recorder_writes_the_members_of_a_group(recorder, tmp_path):
    class Member:
        def __init__(self, number):
            self.jobid = number

        def uuid(self):
            return f"uuid-{self.jobid}"

    recorder.info("Group job images", extra={"event": "group_info", "jobs": [Member(6), Member(8)]})
    assert events_of(tmp_path / "runs") == [{"event": "group_info", "jobs": {"uuid-6": 6, "uuid-8": 8}}]


def test_run_recorder_ignores_a_full_disk(recorder, tmp_path):
    (handler,) = recorder.handlers
    with Path("/dev/full").open("ab", buffering=0) as full:
        handler._file = full
        recorder.info("SLURM run ID: 1f2e-3d")
    assert events_of(tmp_path / "runs") == []


def test_run_recorder_removes_records_of_runs_that_have_ended(recorder, tmp_path):
    with subprocess.Popen(["true"]) as process:
        pass
    (run,) = runs_of(tmp_path / "runs")
    ended = run.content | {"process": process.pid, "process_start_time": "1"}
    (tmp_path / "runs/ended.jsonl").write_text(json.dumps(ended) + "\n")
    assert len(runs_of(tmp_path / "runs")) == 2
    again = RunRecorder()
    again.begin(tmp_path / "runs", results="results/other")
    again.close()
    assert [run.content["results"] for run in runs_of(tmp_path / "runs")] == ["results/other"]


def test_events_leave_out_a_line_that_is_being_written(recorder, tmp_path):
    recorder.info("SLURM run ID: 1f2e-3d")
    (run,) = runs_of(tmp_path / "runs")
    with run.file.open("a") as file:
        file.write('{"event": "job_fin')
    assert [event["event"] for event in run.events()] == ["slurm_run"]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (
            'InputFunctionException in rule split in file "/a/rules/split.smk", line 7:\nError:\n  InputError: a.tsv: lost; find it\n'
            'Wildcards:\n  fold=1\n\nTraceback:\n  File "/a/plan.py", line 3, in file',
            "a.tsv: lost; find it",
        ),
        (
            'WorkflowError in file "/a/rules/common.smk", line 45:\na.yaml: wrong; correct it\n  File "/a/rules/common.smk", line 48, in '
            "<module>",
            "a.yaml: wrong; correct it",
        ),
        (
            'InputFunctionException in rule x:\nError:\n  KeyError: 1\nWildcards:\n\nTraceback:\n  File "/a/plan.py"',
            None,
        ),
        (
            'KeyError in file "/a/rules/common.smk", line 45:\n1\n  File "/a/rules/common.smk", line 48, in <module>',
            None,
        ),
    ],
)
def test_shorten_input_error_leaves_the_sentence_and_keeps_other_tracebacks(text, shown):
    record = logging.LogRecord("snakemake", logging.ERROR, "", 0, text, None, None)
    assert shorten_input_error(record)
    assert record.getMessage() == (shown or text)
