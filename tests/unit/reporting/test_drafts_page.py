"""The page of drafts."""

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from lumbarseg.reporting.drafts_page import drafts_page
from lumbarseg.reporting.embedding import embedded_picture

COMMAND = "itksnap -g t2w.nii.gz -s labels.nii.gz -l labels.txt"
LISTED = pd.DataFrame(
    {
        "rank": [1, 2], "participant_id": ["b", "007"], "session_id": ["01", "02"], "next": [True, False], "score": [0.9, 0.1],
        "uncertainty": [np.nan, 0.25], "novelty": [np.nan, 0.5], "labelled_share": [0.0, 0.3],
        "flags": ["no class found; check the images | T1w <moved>", ""],
    }
)  # fmt: skip


@pytest.fixture
def picture(tmp_path):
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (200, 300, 3)).astype(np.uint8)).save(tmp_path / "a.png")
    return tmp_path / "a.png"


def page(picture, listed=LISTED, left_out=()):
    pictures = dict.fromkeys(zip(listed["participant_id"], listed["session_id"], strict=True), picture)
    return drafts_page("small", listed, pictures, COMMAND, left_out, "The drafts were made by UD.")


def test_drafts_page_shows_sessions_in_order_with_flags_and_commands(picture):
    html = page(picture)
    assert (
        html.index("Draw next")
        < html.index('id="sub-b_ses-01"')
        < html.index("Later")
        < html.index('id="sub-007_ses-02"')
    )
    assert '<p class="flag">no class found; check the images</p>' in html
    assert '<p class="flag">T1w &lt;moved&gt;</p>' in html
    assert f"cd sub-007/ses-02 &amp;&amp; {COMMAND}" in html
    assert "no pixels labelled" in html
    assert "0.250 nat" in html
    assert "Not drawn" not in html
    assert html.count("data:image/webp;base64,") == 2


def test_drafts_page_names_classes_left_out_on_top(picture):
    html = page(picture, left_out=["SCT", "Muscle"])
    assert html.index("Not drawn: SCT, Muscle.") < html.index("sessions without a mask")


def test_embedded_picture_keeps_small_pngs(picture):
    assert embedded_picture(picture, 10**7).startswith("data:image/png;base64,")
    assert embedded_picture(picture, 10).startswith("data:image/webp;base64,")
