"""Which of a folder's series is meant by a session's T2w or T1w, and why the others are not."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lumbarseg.errors import InputError
from lumbarseg.imaging.dicom_series import Series


@dataclass(frozen=True)
class Choice:
    """The series that is taken, and what was passed over.

    Attributes:
        series: the one that is taken.
        reason: why, in words of tags and geometry.
        passed_over: the others, each with the reason against it.
    """

    series: Series
    reason: str
    passed_over: tuple[tuple[Series, str], ...]

    @property
    def described(self) -> dict[str, Any]:
        """The choice as it may be written down: numbers and our own words alone."""
        return {
            "taken": self.series.described | {"reason": self.reason},
            "passed_over": [series.described | {"reason": reason} for series, reason in self.passed_over],
        }


def choose_series(folder: Path, series: list[Series], contrast: str) -> Choice:
    """Choose the sagittal series of a contrast by tags and geometry.

    A series alone in its folder is taken unless its times speak for the other contrast. Of several, the sagittal ones
    with the times of the contrast are; where no header says times, those whose names speak for it. If there are still
    several, an original goes before a derived one and one with the signal of fat before its fat-suppressed twin.

    Args:
        folder: to name it.
        series: those of one patient.
        contrast: `T1w` or `T2w`.

    Raises:
        InputError: none fits, or several do.
    """
    listed = "; ".join(str(one) for one in series)
    if len(series) == 1:
        [only] = series
        if only.is_localiser:
            raise InputError(
                f"{folder}: expected a sagittal {contrast} series, found a localiser alone ({listed}); give the folder of "
                "the series itself"
            )
        if only.contrast not in (contrast, None):
            raise InputError(
                f"{folder}: expected a {contrast} series, found one with the times of {only.contrast} ({listed}); "
                "are two columns of the sheet interchanged?"
            )
        return Choice(only, "the only series of the folder", ())
    against = {number: _objection(one, contrast) for number, one in enumerate(series)}
    fitting = [number for number, objection in against.items() if not objection]
    reason = "sagittal, with the times of the contrast"
    if not fitting and not any(one.has_times for one in series):
        fitting = [
            number for number, one in enumerate(series)
            if one.slices[0].named == contrast and one.is_sagittal and not one.is_localiser
        ]  # fmt: skip
        reason = "sagittal, named for the contrast; no header says times"
    for quality, objection in (("derived", "derived from other images"), ("fat_suppressed", "fat-suppressed")):
        better = [number for number in fitting if not getattr(series[number].slices[0], quality)]
        if 0 < len(better) < len(fitting):
            against |= {number: objection for number in fitting if number not in better}
            fitting = better
    if len(fitting) != 1:
        raise InputError(
            f"{folder}: expected one sagittal {contrast} series, found {len(fitting)} that fit among: {listed}; "
            "give the folder of the series that is meant"
        )
    others = tuple(
        (one, against[number] or "not named for the contrast")
        for number, one in enumerate(series)
        if number != fitting[0]
    )
    return Choice(series[fitting[0]], reason, others)


def _objection(one: Series, contrast: str) -> str:
    if one.is_localiser:
        return "a localiser"
    if not one.is_sagittal:
        return f"not sagittal but {one.described['plane'].replace('several', 'in several planes')}"
    if not one.has_times:
        return "no header says times"
    if one.contrast != contrast:
        return f"the times of {one.contrast or 'neither contrast'}"
    return ""
