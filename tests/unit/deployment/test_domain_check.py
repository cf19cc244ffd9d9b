"""Comparison of sessions with the training."""

import numpy as np
import pytest

from lumbarseg.deployment.domain_check import out_of_range, ranges_of, session_profile

SPACING = (4.4, 0.7, 0.7)
SIDECARS = {"T2w": {"EchoTime": 0.1, "RepetitionTime": 4.0}, "T1w": {"EchoTime": 0.01, "Manufacturer": "A"}}


def channels(seed=0, shape=(5, 40, 50)):
    generator = np.random.default_rng(seed)
    first = generator.normal(size=shape)
    return np.stack([first, -0.6 * first + 0.8 * generator.normal(size=shape)], axis=-1).astype(np.float32)


def flagged(values, ranges):
    return [one.name for one in out_of_range(values, ranges)]


def test_session_profile_has_spacing_extent_times_intensities_and_correlation():
    values = session_profile(channels(), SPACING, SIDECARS)
    assert values["slice spacing (mm)"] == 4.4
    assert values["field of view height (mm)"] == pytest.approx(28)
    assert values["field of view depth (mm)"] == pytest.approx(35)
    assert values["T1w EchoTime (s)"] == 0.01
    assert values["T2w intensities, 95th percentile (z-score)"] == pytest.approx(
        np.percentile(channels()[..., 0], 95), abs=1e-4
    )
    assert values["T2w and T1w (correlation)"] == pytest.approx(-0.6, abs=0.03)
    assert not any("Manufacturer" in name for name in values)


def test_out_of_range_accepts_the_training_sessions():
    sessions = [session_profile(channels(seed), SPACING, SIDECARS) for seed in range(4)]
    ranges = ranges_of(sessions)
    assert all(flagged(one, ranges) == [] for one in sessions)
    assert ranges["slice spacing (mm)"] == [4.4, 4.4]


@pytest.mark.parametrize(
    ("change", "names"),
    [
        ({"spacing": (6.0, 0.7, 0.7)}, {"slice spacing (mm)", "stack width (mm)"}),
        ({"spacing": (4.4, 0.7, 1.2)}, {"pixel depth (mm)", "field of view depth (mm)"}),
        ({"sidecars": {**SIDECARS, "T2w": {"EchoTime": 0.03}}}, {"T2w EchoTime (s)"}),
        ({"channels": channels() * np.array([1, -1], np.float32)}, {"T2w and T1w (correlation)"}),
    ],
)
def test_out_of_range_names_what_differs(change, names):
    given = {"channels": channels(), "spacing": SPACING, "sidecars": SIDECARS}
    ranges = ranges_of([session_profile(**given)])
    assert set(flagged(session_profile(**given | change), ranges)) == names


def test_out_of_range_detects_interchanged_contrasts_by_intensities():
    skewed = channels()
    skewed[..., 0] = np.exp(skewed[..., 0])
    ranges = ranges_of([session_profile(skewed, SPACING, {"T2w": {}, "T1w": {}})])
    found = flagged(session_profile(skewed[..., ::-1], SPACING, {"T2w": {}, "T1w": {}}), ranges)
    assert any(name.startswith("T2w intensities") for name in found)


def test_out_of_range_has_a_margin_and_a_text_with_numbers():
    ranges = {"pixel height (mm)": [0.5, 1.0]}
    assert flagged({"pixel height (mm)": 1.09}, ranges) == []
    (one,) = out_of_range({"pixel height (mm)": 1.2, "unknown (mm)": 3.0}, ranges)
    assert str(one) == "pixel height (mm) 1.2, training 0.5 to 1"
