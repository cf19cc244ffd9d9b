"""Selection of a session's T2w and T1w series among those of a DICOM folder."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lumbarseg.errors import InputError
from lumbarseg.imaging.dicom_series import Series


@dataclass(frozen=True)
class Choice:
    """The selected series, and the others.

    Attributes:
        series: the selected series.
        reason: why it was selected, by tags and geometry.
        passed_over: the other series, each with the reason against it.
    """

    series: Series
    reason: str
    passed_over: tuple[tuple[Series, str], ...]

    @property
    def described(self) -> dict[str, Any]:
        """The selection as it may be recorded: numbers and fixed phrases only."""
        return {
            "taken": self.series.described | {"reason": self.reason},
            "passed_over": [series.described | {"reason": reason} for series, reason in self.passed_over],
        }


def choose_series(folder: Path, series: list[Series], contrast: str) -> Choice:
    """Choose the sagittal series of a contrast by tags and geometry.

    A single series is selected unless its times are those of the other contrast. Of several, sagittal series with the
    times of the contrast are candidates; if no header has times, those named after the contrast. Of several candidates,
    originals are preferred to derived series, and series without fat suppression to those with it.

    Args:
        folder: the folder, for messages.
        series: the series of one patient.
        contrast: `T1w` or `T2w`.

    Raises:
        InputError: no series fits, several do, or the slices of one have unlike echo times.
    """
    listed = "; ".join(str(one) for one in series)
    if len(series) == 1:
        [only] = series
        if only.is_localiser:
            raise InputError(
                f"{folder}: only a localiser ({listed}), no sagittal {contrast} series; name the folder of the series itself"
            )
        if only.contrast not in (contrast, None):
            raise InputError(
                f"{folder}: the series has the times of {only.contrast}, not of {contrast} ({listed}); check whether two columns "
                "of the sheet are interchanged"
            )
        return Choice(only, "only series of the folder", ())
    against = {number: _objection(one, contrast) for number, one in enumerate(series)}
    fitting = [number for number, objection in against.items() if not objection]
    reason = "sagittal, with the times of the contrast"
    if not fitting and not any(one.has_times for one in series):
        fitting = [
            number for number, one in enumerate(series)
            if one.slices[0].named == contrast and one.is_sagittal and not one.is_localiser
        ]  # fmt: skip
        reason = "sagittal, named after the contrast; no header has times"
    for quality, objection in (("derived", "derived from other images"), ("fat_suppressed", "fat-suppressed")):
        better = [number for number in fitting if not getattr(series[number].slices[0], quality)]
        if 0 < len(better) < len(fitting):
            against |= {number: objection for number in fitting if number not in better}
            fitting = better
    for number in fitting:
        # Echoes have slices at the same positions; at other positions, the slices are of one stack.
        first = series[number]
        parts = [
            other for other in first.kin if other in [series[one] for one in fitting] and first.could_include(other)
        ]
        if parts:
            raise first.unlike_echoes(folder, *parts)
    if len(fitting) != 1:
        raise InputError(
            f"{folder}: {len(fitting)} series could be the sagittal {contrast} ({listed}); name the folder of the right series"
            if fitting
            else f"{folder}: no sagittal {contrast} series ({listed}); name the folder of the right series"
        )
    others = tuple(
        (one, against[number] or "not named after the contrast")
        for number, one in enumerate(series)
        if number != fitting[0]
    )
    return Choice(series[fitting[0]], reason, others)


def _objection(one: Series, contrast: str) -> str:
    if one.is_localiser:
        return "localiser"
    if not one.is_sagittal:
        return f"not sagittal but {one.described['plane'].replace('several', 'in several planes')}"
    if not one.has_times:
        return "no times in the header"
    if one.contrast != contrast:
        return f"times of {one.contrast or 'neither contrast'}"
    return ""


def remarks_of(records: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return what should be checked of a session's images, as sentences.

    Args:
        records: by contrast, what `conversion.convert` returned.
    """
    return [f"{contrast}: {remark}" for contrast, record in records.items() for remark in record.get("remarks", ())]
