"""Quality control: flagged registrations, brightness and noise, and the page of all sessions."""

import re

import numpy as np
import pytest

from lumbarseg.imaging.quality_control import brightness_and_noise, registration_table
from lumbarseg.labels import LabelTable
from lumbarseg.reporting.figures.quality import session_quality
from lumbarseg.reporting.figures.registration import registration_overview
from lumbarseg.reporting.figures.style import save_picture
from lumbarseg.reporting.quality_page import quality_page
from lumbarseg.reporting.slices import SessionImages

CLASSES = LabelTable(
    [
        {"id": 0, "name": "Background", "colour": "#000000"},
        {"id": 1, "name": "Vert", "colour": "#ff0000"},
    ]
)


def report(corner=2.0, after=1.2, unusual=False, reason=None, remarks=(), left=0.0):
    return {
        "engine": "itk", "degrees_of_freedom": 6, "shift_length_mm": corner / 2, "rotation_degrees": 0.5, "seconds": 3.0,
        "corner_displacement_mm": corner, "before": {"mutual_information": 0.9, "overlap": 1.0},
        "after": {"mutual_information": after, "overlap": 0.97}, "unusual": unusual,
        "fell_back_to_header": reason is not None, "reason": reason, "remarks": list(remarks),
        "uncovered_mm": {"right": 0.0, "left": left, "inferior": 2 * left},
    }  # fmt: skip


def test_registration_table_flags_rejected_and_unusual_registrations_only():
    generator = np.random.default_rng(0)
    reports = {f"s{n}": report(2 + generator.normal(0, 0.2), 1.2 + generator.normal(0, 0.02)) for n in range(20)}
    reports |= {
        "back": report(60, 0.9, reason="shift of 30.0 mm, more than 20 mm"),
        "unusual": report(unusual=True),
        "far": report(corner=9.0),
        "unlike": report(after=0.6),
        "half": report(remarks=["T1w covers 50 % of T2w (not covered: left 26 mm, inferior 52 mm)"], left=26.0),
    }
    table = registration_table(reports)
    assert table.set_index("session")["flag"].loc[lambda flags: flags != ""].to_dict() == {
        "back": "registration rejected, header geometry used: shift of 30.0 mm, more than 20 mm; "
        "lower similarity than in other sessions",
        "unusual": "unusual shift or rotation",
        "far": "larger displacement than in other sessions",
        "unlike": "lower similarity than in other sessions",
        "half": "T1w covers 50 % of T2w (not covered: left 26 mm, inferior 52 mm)",
    }
    uncovered = table.set_index("session")["uncovered"]
    assert uncovered["half"] == "left 26 mm, inferior 52 mm"
    assert (uncovered.drop("half") == "").all()
    assert registration_overview(table, {"unusual_shift_mm": 5, "unusual_rotation_deg": 5}).axes


def test_registration_table_has_no_outliers_among_few_or_equal_sessions():
    reports = {f"s{n}": report(2.0) for n in range(12)} | {"near": report(2.4)}
    assert not registration_table(reports)["flag"].any()
    assert not registration_table({"a": report(), "b": report(9.0)})["flag"].any()
    one = registration_table({"a": report()})
    assert registration_overview(one, {"unusual_shift_mm": 5, "unusual_rotation_deg": 5}).axes


@pytest.mark.parametrize("with_t1w", [True, False])
@pytest.mark.parametrize("with_mask", [True, False])
def test_session_quality_draws_contours_of_the_mask(tmp_path, with_t1w, with_mask):
    voxels = np.random.default_rng(0).normal(100, 1, (7, 60, 40))
    labels = np.zeros(voxels.shape, np.uint8)
    labels[:, 20:40, 10:25] = 1
    t1w = voxels if with_t1w else None
    images = SessionImages(voxels, t1w, t1w, labels if with_mask else None, (1.0, 1.0))
    figure = session_quality(images, CLASSES)
    save_picture(figure, tmp_path / "a.png")
    titles = [axes.get_title() for axes in figure.axes]
    assert "T2w, slice 4 of 7" in titles
    assert any("T1w, slice" in title for title in titles) == with_t1w
    contours = [axes for axes in figure.axes if axes.collections]
    assert len(contours) == (0 if not with_mask else 6 if with_t1w else 3)
    if with_mask:
        [path] = contours[0].collections[0].get_paths()
        np.testing.assert_allclose([path.vertices.min(0), path.vertices.max(0)], [[9.5, 19.5], [24.5, 39.5]])


def test_quality_page_lists_flagged_sessions_first_and_escapes_text():
    sessions = [
        {
            "session": f"sub-{name}_ses-01",
            "picture": f"{name}.png",
            "flags": flags,
            "details": {"moved by": "1 mm <b>"},
        }
        for name, flags in (("a", []), ("b", ["lower similarity"]), ("c", []))
    ]
    page = quality_page("study", sessions)
    assert re.findall(r'<h2 id="sub-(\w)_', page) == ["b", "a", "c"]
    assert "Flagged: 1" in page
    assert "1 mm &lt;b&gt;" in page
    assert 'src="b.png"' in page
    assert "None is flagged" in quality_page("study", sessions[:1])


@pytest.mark.parametrize("deviation", [5.0, 20.0, 60.0])
def test_brightness_and_noise_measures_added_noise_despite_edges(deviation):
    rows, columns = np.indices((120, 120))
    anatomy = np.where(
        (rows // 15 + columns // 20) % 2, 900.0, 500.0
    )  # edges along every pixel row and column of a block
    noisy = anatomy + np.random.default_rng(0).normal(0, deviation, (6, 120, 120))
    brightness, noise = brightness_and_noise(noisy)
    level = np.median(noisy)
    assert noise * level == pytest.approx(deviation, rel=0.2)
    assert brightness == pytest.approx(level / np.percentile(noisy, 99.5))


def test_brightness_and_noise_are_independent_of_background_and_gain():
    body = np.random.default_rng(0).normal(400, 10, (4, 60, 60))
    framed = np.pad(body, ((0, 0), (30, 30), (30, 30)))
    np.testing.assert_allclose(brightness_and_noise(framed), brightness_and_noise(body), rtol=0.1)
    np.testing.assert_allclose(brightness_and_noise(body * 7), brightness_and_noise(body), rtol=1e-4)
    assert np.isnan(brightness_and_noise(np.zeros((3, 8, 8)))).all()
