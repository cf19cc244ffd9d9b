"""What the end of a run says of each new session."""

from types import SimpleNamespace

import pytest

from lumbarseg.cohort.sheet import Session
from lumbarseg.workflow.new_patients import session_outcomes
from lumbarseg.workflow.paths import LABEL, Paths, of_sessions


@pytest.fixture
def plan(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    sessions = [Session("p1", "01", "t2.nii.gz", "", "")]
    return SimpleNamespace(
        sessions=sessions,
        paths=Paths("small", "best.zip"),
        study=SimpleNamespace(config=SimpleNamespace(bundle="best.zip")),
    )


def write(plan, tmp_path, *patterns, text=""):
    for path in of_sessions(plan.sessions, *patterns):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)


def test_session_outcomes_say_what_became_of_a_session(plan, tmp_path):
    paths = plan.paths
    assert list(session_outcomes(plan)) == ["sub-p1_ses-01: NOT segmented: none of its jobs failed; it was not reached"]
    write(
        plan, tmp_path, paths.log("convert_session", LABEL), text="12:00 stopped: t2.nii.gz: damaged; copy it again\n"
    )
    assert list(session_outcomes(plan)) == ["sub-p1_ses-01: NOT segmented: t2.nii.gz: damaged; copy it again"]
    write(plan, tmp_path, paths.segmented)
    write(plan, tmp_path, paths.log("convert_session", LABEL), text="12:00 done\n")
    write(plan, tmp_path, paths.log("measure_session", LABEL), text="12:01 stopped: out of memory\n")
    assert list(session_outcomes(plan)) == ["sub-p1_ses-01: segmented, but NOT measured: out of memory"]
    write(plan, tmp_path, paths.log("convert_session", LABEL), paths.log("measure_session", LABEL), text="12:02 done\n")
    write(plan, tmp_path, paths.measures, *paths.session_page)
    write(plan, tmp_path, paths.session_flags, text='["DICOM-SEG not written: reason"]')
    assert list(session_outcomes(plan)) == ["sub-p1_ses-01: segmented; DICOM-SEG not written: reason"]
    write(plan, tmp_path, paths.log("convert_session", LABEL), text="12:03 stopped: t2.nii.gz: damaged\n")
    assert list(session_outcomes(plan)) == [
        "sub-p1_ses-01: NOT segmented: t2.nii.gz: damaged (results of an earlier run are still there)"
    ]
