"""The page that shows the images of every session."""

import pandas as pd

from lumbarseg.reporting.quality_page import session_entry

SERIES = {"T2w": {"taken": {"series_number": 4, "slices": 12}}, "T1w": {"taken": None}}
REGISTRATIONS = pd.DataFrame(
    {
        "session": ["sub-a_ses-01", "sub-b_ses-01"], "shift_mm": [1.0, 9.0], "rotation_degrees": 0.5,
        "corner_displacement_mm": [2.0, 12.0], "before": 0.9, "after": 1.2, "overlap_before": 1.0, "overlap_after": 0.97,
        "flag": ["", "moved farther than the others"], "uncovered": ["", "left 12 mm, inferior 60 mm"],
    }
)  # fmt: skip


def test_session_entry_describes_series_and_registration():
    entry = session_entry("sub-a_ses-01", "a.png", SERIES, REGISTRATIONS)
    assert entry == {
        "session": "sub-a_ses-01",
        "picture": "a.png",
        "details": {
            "T2w": "series 4, 12 slices",
            "T1w": "the file of the sheet",
            "moved by": "1.00 mm, 0.50°, corners 2.00 mm",
            "mutual information": "0.900 → 1.200 nats",
            "overlap": "100.0 → 97.0 %",
        },
        "flags": [],
    }


def test_session_entry_has_the_flag_of_its_registration():
    assert session_entry("sub-b_ses-01", "b.png", {}, REGISTRATIONS)["flags"] == ["moved farther than the others"]


def test_session_entry_names_what_t1w_does_not_cover():
    details = session_entry("sub-b_ses-01", "b.png", {}, REGISTRATIONS)["details"]
    assert details["not covered by T1w"] == "left 12 mm, inferior 60 mm"


def test_session_entry_needs_no_registration():
    assert session_entry("sub-a_ses-01", "a.png", {}, None)["details"] == {}


def test_session_entry_flags_the_remarks_of_conversion():
    series = {"T2w": {"taken": None, "remarks": ["slice numbers have gaps"]}}
    assert session_entry("sub-a_ses-01", "a.png", series, None)["flags"] == ["T2w: slice numbers have gaps"]
