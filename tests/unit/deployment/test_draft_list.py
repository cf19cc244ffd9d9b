"""The list of whom to draw next, and the commands that open drafts."""

import numpy as np
import pytest

from lumbarseg.deployment.draft_list import commands_of_list, itksnap_command, list_drafts

RECORDS = [
    {"mean_entropy": 0.2, "labelled_share": 0.3, "flags": []},
    {"mean_entropy": None, "labelled_share": 0.0, "flags": ["no class found; check it", "unusual"]},
    {"mean_entropy": 0.6, "labelled_share": 0.2, "flags": []},
]
SESSIONS = [("007", "01"), ("b", "01"), ("b", "02")]
PROFILES = [{"spacing": 1.0}, {"spacing": 2.0}, {"spacing": 4.0}]


def test_list_drafts_orders_sessions_and_keeps_what_is_known_of_them():
    listed = list_drafts(SESSIONS, RECORDS, PROFILES, [{"spacing": 0.0}], 2, 0.25)
    assert listed["rank"].tolist() == [1, 2, 3]
    found = list(zip(listed["participant_id"], listed["session_id"], strict=True))
    assert found == [("b", "02"), ("b", "01"), ("007", "01")]
    assert listed["next"].tolist() == [True, True, False]
    # Distances relative to the largest, 4: b/02 from the drawn one; b/01 from the drawn one and b/02; 007 from the drawn one and b/01.
    assert listed["novelty"].tolist() == [1, 0.5, 0.25]
    assert listed["score"].tolist() == pytest.approx([0.75 + 0.25, 0.75 + 0.125, 0.0625], abs=1e-4)
    assert np.isnan(listed["uncertainty"][1])
    assert listed["uncertainty"].tolist()[::2] == [0.6, 0.2]
    assert listed["flags"].tolist() == ["", "no class found; check it | unusual", ""]


def test_list_drafts_without_sessions_has_its_columns():
    assert list(list_drafts([], [], [], [], 10, 0.5).columns)[:3] == ["rank", "participant_id", "session_id"]


def test_itksnap_command_opens_image_overlay_labels_and_descriptions():
    assert itksnap_command(["T2w"]) == "itksnap -g t2w.nii.gz -s labels.nii.gz -l labels.txt"
    assert itksnap_command(["T2w", "T1w"]) == "itksnap -g t2w.nii.gz -o t1w.nii.gz -s labels.nii.gz -l labels.txt"


def test_commands_of_list_are_in_its_order():
    listed = list_drafts(SESSIONS, RECORDS, PROFILES, [], 2, 0.0)
    lines = [line for line in commands_of_list(listed, ["T2w"]).splitlines() if line.startswith("(")]
    assert lines[0] == "(cd sub-b/ses-01 && itksnap -g t2w.nii.gz -s labels.nii.gz -l labels.txt)"
    assert [line.split()[1] for line in lines] == ["sub-b/ses-01", "sub-b/ses-02", "sub-007/ses-01"]
