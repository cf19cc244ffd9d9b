"""The page of a session, and its table."""

import os

import nibabel as nib
import numpy as np
import pandas as pd
import pytest

from factories.bundle import CLASSES
from factories.orientation import affine_of
from lumbarseg.deployment import session_results
from lumbarseg.deployment.morphometry import COLUMNS, measure
from lumbarseg.deployment.session_page import session_page, shown_slices
from lumbarseg.deployment.session_results import write_results
from lumbarseg.errors import InputError
from lumbarseg.geometry import from_sagittal_view, volume
from lumbarseg.labels import LabelTable

TABLE = LabelTable(CLASSES)


def labels():
    made = np.zeros((5, 60, 50), np.uint8)
    for row in (10, 30, 45):
        made[1:4, row : row + 6, 5:30] = 1
    made[1:4, :, 34:40] = 2
    return made


def page(content, flags=(), title="Lumbar spine, p1"):
    t2w = 100.0 + 50 * content
    measures = measure(content, t2w, (4.0, 1.0, 1.0), TABLE)
    return session_page(
        t2w=t2w, labels=content, entropy=np.zeros(content.shape), spacing=(4.0, 1.0, 1.0), measures=measures, flags=flags,
        title=title, subtitle="UMD+TH, fold 1 of study small", table=TABLE,
    )  # fmt: skip


def texts(figure):
    return [text.get_text() for text in figure.texts]


def test_shown_slices_are_four_evenly_spaced_or_all():
    assert shown_slices(12) == [1, 4, 7, 10]
    assert shown_slices(3) == [0, 1, 2]
    assert shown_slices(1) == [0]


def test_session_page_shows_volumes_discs_and_the_absence_of_flags():
    figure = page(labels())
    shown = texts(figure)
    assert "Within the training range." in shown
    assert "Not a medical device" in shown
    assert shown[shown.index("Int-Disc") + 1] == f"{3 * 3 * 6 * 25 * 4 / 1000:.1f}"
    assert [text for text in shown if text in ("1", "2", "3")] == ["3", "2", "1"]
    assert len(figure.axes) == 3 * 4


@pytest.mark.parametrize("number", [1, 40])
def test_session_page_shows_flags_and_truncates_many(number):
    shown = texts(page(labels(), [f"outside the training range: thing {place}" for place in range(number)]))
    assert "Please check:" in shown
    assert "outside the training range: thing 0" in shown
    assert any("more lines" in text for text in shown) == (number > 8)


def test_session_page_draws_the_name_of_a_folder_that_is_not_utf8():
    figure = page(labels(), title="Lumbar spine, " + os.fsdecode(b"caf\xe9"))
    figure.canvas.draw()
    assert r"Lumbar spine, caf\udce9" in texts(figure)


def test_session_page_draws_empty_and_single_slice_sessions():
    page(np.zeros((3, 20, 30), np.uint8))
    page(labels()[2:3])


SCATTERED = np.zeros((6, 120, 120), np.uint8)
SCATTERED[:, ::3, ::3] = 1
STACKED = np.zeros((4, 240, 60), np.uint8)
STACKED[:, 2::4, 5:40] = 1
ONE_PIXEL = np.zeros((5, 60, 50), np.uint8)
ONE_PIXEL[2, 30, 25] = 1


def content_of(figure):
    """The place of each panel and text, (x0, y0, x1, y1) in pixels, and the figure's size."""
    renderer = figure.canvas.get_renderer()
    figure.canvas.draw()
    boxes = [axes.get_window_extent(renderer).extents for axes in figure.axes]
    boxes += [text.get_window_extent(renderer).extents for text in figure.texts if text.get_text()]
    return np.array(boxes), np.tile(figure.canvas.get_width_height(), 2)


@pytest.mark.parametrize("flags", [0, 40])
@pytest.mark.parametrize(
    "content",
    [
        SCATTERED, STACKED, ONE_PIXEL, np.zeros((5, 60, 50), np.uint8), np.ones((5, 60, 50), np.uint8), np.full((3, 20, 30), 2, np.uint8),
        np.ones((1, 1, 1), np.uint8), np.ones((1, 400, 2), np.uint8), np.ones((1, 2, 400), np.uint8),
        np.random.default_rng(1).integers(0, 3, (4, 64, 64)).astype(np.uint8),
    ],
    ids=["scattered", "stacked", "one pixel", "none", "all discs", "all canal", "one voxel", "tall", "wide", "noise"],
)  # fmt: skip
def test_session_page_comes_out_whatever_the_labels_look_like(content, flags):
    figure = page(content, ["outside the training range: field of view height (mm) 500, training 260 to 335"] * flags)
    boxes, size = content_of(figure)
    assert (boxes[:, 2:] >= boxes[:, :2]).all()
    assert (boxes >= -0.5).all()
    assert (boxes <= size + 0.5).all()


def test_session_page_lists_twelve_discs_and_counts_the_others():
    shown = texts(page(STACKED))
    assert [text for text in shown if text.isdigit() and 0 < int(text) <= 60][:12] == [
        str(disc) for disc in range(12, 0, -1)
    ]
    assert any(text.startswith("48 more discs in the table of measures; check the labels") for text in shown)


def test_session_page_draws_names_with_signs_of_formulas_as_they_are(monkeypatch):
    odd = LabelTable([CLASSES[0], {"id": 1, "name": "$x_{$", "colour": "#3d85c6"}, CLASSES[2]])
    monkeypatch.setattr("test_session_page.TABLE", odd)
    figure = page(labels(), ["$y^{$"], title="$z_{$")
    figure.canvas.draw()
    assert {"$x_{$", "$y^{$", "$z_{$"} <= set(texts(figure))


def test_session_page_names_the_largest_of_very_many_classes(monkeypatch):
    many = [{"id": number, "name": f"class {number}", "colour": "#3d85c6"} for number in range(200)]
    monkeypatch.setattr("test_session_page.TABLE", LabelTable(many))
    content = np.zeros((3, 60, 50), np.uint8)
    content[:, :40] = 150
    figure = page(content)
    boxes, size = content_of(figure)
    assert (boxes[:, 2:] > boxes[:, :2]).all()
    assert (boxes <= size).all()
    assert "class 150" in texts(figure)
    assert any("175 more classes in the table of measures" in text for text in texts(figure))


@pytest.mark.parametrize("flags", [0, 1, 40])
def test_session_page_has_no_overlapping_or_clipped_text(flags):
    tall = np.zeros((4, 150, 50), np.uint8)
    for row in range(5, 145, 15):
        tall[1:3, row : row + 5, 5:25] = 1
    tall[:, :, 30:35] = 2
    figure = page(tall, ["outside the training range: field of view height (mm) 500, training 260 to 335"] * flags)
    renderer = figure.canvas.get_renderer()
    boxes = [(text.get_text(), text.get_window_extent(renderer)) for text in figure.texts if text.get_text()]
    width, height = figure.canvas.get_width_height()
    for place, (text, box) in enumerate(boxes):
        assert box.x0 >= 0
        assert box.x1 <= width, text
        assert box.y0 >= 0
        assert box.y1 <= height
        for other, another in boxes[:place]:
            assert not (box.x0 < another.x1 and another.x0 < box.x1 and box.y0 < another.y1 and another.y0 < box.y1), (
                text,
                other,
            )


def write_images(folder):
    affine, content = affine_of("LPS"), labels()
    images = {
        "labels": content,
        "t2w": (100 + 50 * content).astype(np.int16),
        "entropy": np.ones(content.shape, np.float32),
    }
    for name, view in images.items():
        nib.save(volume(from_sagittal_view(view, affine), affine), folder / f"{name}.nii.gz")


def write(folder, number=1, flags=(), dicom=None):
    paths = {f"{name}_path": folder / f"{number}.{name}" for name in ("measures", "pdf", "png")}
    found = write_results(
        labels_path=folder / "labels.nii.gz", t2w_path=folder / "t2w.nii.gz", entropy_path=folder / "entropy.nii.gz",
        record={"flags": list(flags), "experiment": "UMD+TH", "made_by": "UMD+TH, fold 1 of study small"}, table=TABLE,
        identity={"participant_id": "p1", "session_id": "01"}, title="Lumbar spine, p1", dicom=dicom, **paths,
    )  # fmt: skip
    return found, [path.read_bytes() for path in paths.values()]


def test_write_results_is_reproducible_to_the_byte(tmp_path):
    write_images(tmp_path)
    assert write(tmp_path, 1, ["a flag"]) == write(tmp_path, 2, ["a flag"])
    table = pd.read_csv(tmp_path / "1.measures", dtype={"session_id": str})
    assert list(table.columns) == ["participant_id", "session_id", *COLUMNS]
    assert set(table["session_id"]) == {"01"}
    assert table["disc"].max() == 3


@pytest.mark.parametrize(
    ("error", "flag"),
    [
        (InputError("T2: no slices; fix the path"), "DICOM-SEG not written: T2: no slices; fix the path"),
        (AttributeError("'Ms Doe' is no code"), "DICOM-SEG not written: AttributeError, see the log"),
    ],
)
def test_write_results_flags_a_dicomseg_that_cannot_be_written(tmp_path, monkeypatch, error, flag):
    def fail(*given):
        raise error

    write_images(tmp_path)
    monkeypatch.setattr(session_results, "write_dicomseg", fail)
    (tmp_path / "labels.dcm").write_text("of an earlier run")
    flags, with_flag = write(tmp_path, 1, ["a flag"], (tmp_path, tmp_path / "labels.dcm"))
    assert flags == ["a flag", flag]
    assert not (tmp_path / "labels.dcm").exists()
    # The page shows it.
    assert with_flag[1] == write(tmp_path, 2, ["a flag", flag])[1][1]
