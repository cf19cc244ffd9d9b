"""The series of a folder of DICOM files, and the check that a series is one complete stack of slices."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np

from lumbarseg.errors import InputError

# The times of Table 2 with a margin on either side, milliseconds. T1w with inversion has a long repetition time.
_T2W_SHORTEST_ECHO = 60.0
_T1W_LONGEST_ECHO = 35.0
_T1W_REPETITION = (200.0, 1500.0)
_T1W_SHORTEST_INVERSION = 400.0

NO_SPACING = (float("nan"), float("nan"))

_ANGLE_TOLERANCE = 1.5e-3  # of direction cosines within a series, which some headers round to three decimals
_SPACING_TOLERANCE = 1e-3  # relative; pixel spacings may be rounded
_SAME_PLACE = 0.01  # mm; slices closer than this are one slice twice
_GAP_TOLERANCE = 1.5  # of the median distance; a missing slice doubles it
_GRID_TOLERANCE = 0.1  # of the median distance, within which a slice continues a stack
_LINE_TOLERANCE = 1.0  # mm; first pixels of one stack lie on a line
_PIXEL_SIZES = (0.02, 20.0)  # mm; beyond them is no pixel of MR, not even of a coarse phantom


@dataclass(frozen=True)
class Slice:
    """One slice: a file, or a frame of a multi-frame file.

    Attributes:
        file: the file.
        series: its series.
        number: series number, for messages.
        patient: id and name, to distinguish patients; never written or shown.
        orientation: direction cosines of rows and columns, (6,).
        position: centre of the first pixel, mm (LPS), (3,).
        repetition_time: ms, NaN if missing.
        echo_time: ms, NaN if missing.
        inversion_time: ms, NaN without inversion.
        localiser: whether image type or names say that it is a localiser.
        derived: whether it was calculated from other images (reformatted, subtracted).
        fat_suppressed: whether scan options or names say so.
        named: the contrast in the names of series and protocol; only a hint, because people type them.
        size: rows and columns.
        pixel_spacing: mm between rows and between columns; NaN if missing.
        frame: number of the frame in a multi-frame file, from 0.
        study: its study; never written or shown.
        instance: its number within the series; None if it has none.
        acquired: number of slices of its acquisition, as the header states it; None if it does not.
        dimensions: indices by which the frames of a multi-frame file are sorted; none if it has none.
        demographics: age (years, above 89 as 90), sex and weight (kg), as far as the header has plausible values.
    """

    file: Path
    series: str
    number: str
    patient: tuple[str, str]
    orientation: tuple[float, ...]
    position: tuple[float, ...]
    repetition_time: float
    echo_time: float
    inversion_time: float
    localiser: bool
    derived: bool = False
    fat_suppressed: bool = False
    named: Literal["T1w", "T2w"] | None = None
    size: tuple[int, int] = (0, 0)
    pixel_spacing: tuple[float, float] = NO_SPACING
    frame: int = 0
    study: str = ""
    instance: int | None = None
    acquired: int | None = None
    dimensions: tuple[int, ...] = ()
    demographics: dict[str, str] = field(default_factory=dict, compare=False)


@dataclass(frozen=True)
class Series:
    """The slices of one series and echo.

    Attributes:
        slices: the slices.
        kin: the other echoes of the same DICOM series.
    """

    slices: tuple[Slice, ...]
    kin: tuple["Series", ...] = field(default=(), compare=False)

    @cached_property
    def files(self) -> list[Path]:
        """The files, each once, sorted."""
        return sorted({one.file for one in self.slices})

    @cached_property
    def typical(self) -> Slice:
        """The first of the slices whose headers have most times."""
        return min(self.slices, key=lambda one: int(np.isnan([one.echo_time, one.repetition_time]).sum()))

    @property
    def contrast(self) -> Literal["T1w", "T2w"] | None:
        """The contrast that repetition, echo and inversion times belong to, if any."""
        one = self.typical
        inverted = not np.isnan(one.inversion_time)
        if one.echo_time >= _T2W_SHORTEST_ECHO and not inverted:
            return "T2w"
        short_repetition = _T1W_REPETITION[0] <= one.repetition_time <= _T1W_REPETITION[1]
        long_inversion = one.inversion_time >= _T1W_SHORTEST_INVERSION
        if one.echo_time <= _T1W_LONGEST_ECHO and (long_inversion if inverted else short_repetition):
            return "T1w"
        return None

    @property
    def plane(self) -> str:
        """The anatomical plane nearest to the first slice."""
        return ("sagittal", "coronal", "axial")[int(np.argmax(np.abs(self._normal)))]

    @property
    def is_sagittal(self) -> bool:
        """Whether all its slices are nearest to the sagittal plane."""
        return self.plane == "sagittal" and self._one_orientation

    @property
    def is_localiser(self) -> bool:
        """Whether it was acquired to plan other series."""
        return any(one.localiser for one in self.slices)

    @property
    def has_times(self) -> bool:
        """Whether its headers have an echo time."""
        return not np.isnan(self.typical.echo_time)

    @property
    def described(self) -> dict[str, Any]:
        """The series as it may be recorded: numbers and flags only, because names are typed by people."""
        one = self.typical
        times = {
            "repetition_time_ms": one.repetition_time,
            "echo_time_ms": one.echo_time,
            "inversion_time_ms": one.inversion_time,
        }
        return {
            "series_number": one.number,
            "slices": len(self.slices),
            "plane": self.plane if self._one_orientation else "several",
            "rows": one.size[0],
            "columns": one.size[1],
            **{name: None if np.isnan(value) else value for name, value in times.items()},
            "localiser": self.is_localiser,
            "derived": one.derived,
            "fat_suppressed": one.fat_suppressed,
        }

    @property
    def _normal(self) -> np.ndarray:
        row, column = np.reshape(self.slices[0].orientation, (2, 3))
        return np.cross(row, column)

    @property
    def _one_orientation(self) -> bool:
        return bool(np.ptp([one.orientation for one in self.slices], axis=0).max() <= _ANGLE_TOLERANCE)

    @property
    def _largest_angle(self) -> float:
        """The largest angle between the normal of a slice and that of the first one, degrees."""
        normals = [np.cross(*np.reshape(one.orientation, (2, 3))) for one in self.slices]
        return float(np.degrees(np.arccos(np.clip(normals @ self._normal, -1, 1))).max())

    @cached_property
    def places(self) -> np.ndarray:
        """Where each slice lies along the normal of the first one, mm."""
        return np.array([float(np.dot(self._normal, one.position)) for one in self.slices])

    def frames_to_sort(self, file: Path) -> list[int]:
        """Return the frames of a file by their positions; nothing if its own order, and that of its dimensions, is the same."""
        frames = [(one, place) for one, place in zip(self.slices, self.places, strict=True) if one.file == file]
        # Which of the dimensions goes first differs between vendors.
        orders: list[Any] = [
            lambda one: (*one.dimensions[::-1], one.frame),
            lambda one: (*one.dimensions, one.frame),
        ]
        for order in orders:
            steps = np.diff([place for _, place in sorted(frames, key=lambda pair: order(pair[0]))])
            if not ((steps > 0).all() or (steps < 0).all()):
                return [one.frame for one, _ in sorted(frames, key=lambda pair: pair[1])]
        return []

    def shares_places(self, other: "Series") -> bool:
        """Return whether a slice of each lies at the same position."""
        return bool(np.abs(self.places[:, None] - self._places_of(other)).min() < _SAME_PLACE)

    def could_include(self, other: "Series") -> bool:
        """Return whether slices of another echo are parallel to those of this one, of their size, and at other positions."""
        together = Series((*self.slices, *other.slices))
        sizes = {one.size for one in together.slices}
        return together._one_orientation and len(sizes) == 1 and not self.shares_places(other)

    def _places_of(self, other: "Series") -> np.ndarray:
        return np.array([float(np.dot(self._normal, one.position)) for one in other.slices])

    @property
    def remarks(self) -> list[str]:
        """What should be checked of the series, as sentences: numbers of its slices with gaps, or fewer slices than stated."""
        slices = [one for part in (self, *self.kin) for one in part.slices]
        found = sorted({one.instance for one in slices if one.instance is not None})
        unnumbered = sum(one.instance is None for one in slices)
        stated = max((one.acquired or 0 for one in slices), default=0)
        numbers = (
            f"the slice numbers (InstanceNumber) {found[0]} to {found[-1]} of {len(found)} slices" if found else ""
        )
        remarks = []
        if found and found[-1] - found[0] + 1 > len(found) + unnumbered:
            remarks.append(f"{numbers} have gaps")
        elif len(found) > 1 and found[0] > 1:
            remarks.append(f"{numbers} do not begin at 1")
        elif found and unnumbered:
            remarks.append(f"{unnumbered} of {len(slices)} slices have no number (InstanceNumber)")
        if stated > len(slices):
            remarks.append(f"{len(slices)} slices, where the headers state {stated} (ImagesInAcquisition)")
        return [f"series {self.typical.number}: {remark}; check that no slice is missing" for remark in remarks]

    def require_no_part_in(self, folder: Path, others: Sequence["Series"]) -> None:
        """Require that no other series of the folder continues this stack: such slices have lost their SeriesInstanceUID.

        Raises:
            InputError: slices of another series are parallel, of the same size, and lie where the next or missing slices would.
        """
        for other in others:
            large, small = (self, other) if len(self.slices) >= len(other.slices) else (other, self)
            if large.could_include(small) and large._is_continued_by(small):
                raise InputError(
                    f"{folder}: {len(other.slices)} slices (such as {other.files[0].name}, series {other.typical.number}) continue the "
                    f"stack of series {self.typical.number}, but have another SeriesInstanceUID; export the series again, or use a "
                    "folder with one of the series alone"
                )

    def _is_continued_by(self, other: "Series") -> bool:
        gaps = np.diff(np.sort(self.places))
        if gaps.size == 0 or (usual := float(np.median(gaps))) < _SAME_PLACE:
            return False
        together = Series((*self.slices, *other.slices))
        steps = (together.places - self.places.min()) / usual
        numbers = np.rint(steps)
        on_grid = np.abs(steps - numbers).max() <= _GRID_TOLERANCE
        is_whole = np.ptp(numbers) + 1 == len(set(numbers)) == len(together.slices)
        same_pixels = np.allclose(self.slices[0].pixel_spacing, other.slices[0].pixel_spacing, rtol=_SPACING_TOLERANCE)
        return bool(on_grid and is_whole and same_pixels and together._off_line().max() <= _LINE_TOLERANCE)

    def _off_line(self) -> np.ndarray:
        """Return how far the first pixel of each slice lies from a line through them, within its plane, mm."""
        places = self.places - self.places.mean()
        positions = np.array([one.position for one in self.slices]) - np.mean(
            [one.position for one in self.slices], axis=0
        )
        within = positions - np.outer(places, self._normal / np.linalg.norm(self._normal))
        # The median slope is that of the stack even if one slice is elsewhere.
        order = np.argsort(places, kind="stable")
        steps = np.diff(places[order])
        if steps.size == 0 or steps.min() < _SAME_PLACE:
            return np.zeros(len(places))
        slope = np.median(np.diff(within[order], axis=0) / steps[:, None], axis=0)
        rest = within - np.outer(places, slope)
        return np.linalg.norm(rest - np.median(rest, axis=0), axis=1)

    def unlike_echoes(self, folder: Path, *others: "Series") -> InputError:
        """Return the error of one DICOM series in which slices have other echo times."""
        parts = (self, *others)
        times = [f"{one.typical.echo_time:g} ms in {len(one.slices)}" for one in parts]
        names = [one.files[0].name for one in parts]
        return InputError(
            f"{folder}: the slices of series {self.typical.number} have unlike echo times, {_listed(times)} of them (such as "
            f"{_listed(names)}); export the series again"
        )

    def _continues(self, *others: "Series") -> bool:
        """Return whether the slices of all are one stack at equal distances."""
        together = Series((*self.slices, *(one for other in others for one in other.slices)))
        gaps = np.diff(np.sort(together.places))
        even = gaps.min() >= _SAME_PLACE and gaps.max() <= _GAP_TOLERANCE * np.median(gaps)
        return bool(even and together.is_sagittal)

    def __str__(self) -> str:
        one = self.typical
        plane = self.plane if self._one_orientation else "several planes"
        return (
            f"series {one.number}, {len(self.slices)} slices, {plane}, "
            f"TR {one.repetition_time:g} ms, TE {one.echo_time:g} ms"
        )

    def require_one_stack(self, folder: Path) -> None:
        """Require parallel sagittal slices at equal distances, without duplicates and gaps, with one echo time and pixel size.

        Raises:
            InputError: names the files, distances, angles, echo times and pixel spacings.
        """
        if not self.is_sagittal:
            turned = "" if self._one_orientation else f", turned by up to {self._largest_angle:.2g} degrees"
            raise InputError(
                f"{folder}: not a stack of parallel sagittal slices ({self}{turned}); name the folder of a sagittal series"
            )
        # Another echo has slices at the same positions. Slices between or next to those of the stack belong to it.
        if len(self.kin) > 1 and self._continues(*self.kin):
            raise self.unlike_echoes(folder, *self.kin)
        for other in self.kin:
            if self._continues(other):
                raise self.unlike_echoes(folder, other)
        self._require_one_pixel_spacing(folder)
        ordered = [self.slices[number] for number in np.argsort(self.places, kind="stable")]
        gaps = np.diff(np.sort(self.places))
        if gaps.size == 0:
            return
        if gaps.min() < _SAME_PLACE:
            first = int(gaps.argmin())
            raise InputError(
                f"{folder}: {ordered[first].file.name} and {ordered[first + 1].file.name} lie at the same position; leave one "
                "volume in the folder"
            )
        off_line = self._off_line()
        if off_line.max() > _LINE_TOLERANCE:
            first = int(off_line.argmax())
            raise InputError(
                f"{folder}: {self.slices[first].file.name} lies {off_line[first]:.2f} mm beside the stack of the other slices; "
                "export the series again"
            )
        usual = float(np.median(gaps))
        if gaps.max() > _GAP_TOLERANCE * usual:
            first = int(gaps.argmax())
            raise InputError(
                f"{folder}: {gaps[first]:.2f} mm between {ordered[first].file.name} and {ordered[first + 1].file.name}, where "
                f"slices are {usual:.2f} mm apart; add the missing slice, or export the series again"
            )

    def _require_one_pixel_spacing(self, folder: Path) -> None:
        # Without it, dcm2niix writes pixels of 1 mm or any other size.
        usable = [all(length > 0 for length in one.pixel_spacing) for one in self.slices]
        for one, is_usable in zip(self.slices, usable, strict=True):
            if not is_usable:
                many = ", unlike other slices" if any(usable) else ", like all slices"
                raise InputError(
                    f"{folder}: {one.file.name} has no PixelSpacing above 0{many} of series {one.number}; export the series again"
                )
        for one in self.slices:
            if not _PIXEL_SIZES[0] <= min(one.pixel_spacing) <= max(one.pixel_spacing) <= _PIXEL_SIZES[1]:
                raise InputError(
                    f"{folder}: {one.file.name} has a PixelSpacing of {max(one.pixel_spacing):.3g} mm, impossible in MR "
                    f"({_PIXEL_SIZES[0]:g} to {_PIXEL_SIZES[1]:g} mm); export the series again"
                )
        usual = np.median([one.pixel_spacing for one in self.slices], axis=0)
        for one in self.slices:
            if not np.allclose(one.pixel_spacing, usual, rtol=_SPACING_TOLERANCE, atol=0):
                found, others = (" × ".join(f"{length:g}" for length in pair) for pair in (one.pixel_spacing, usual))
                raise InputError(
                    f"{folder}: {one.file.name} has pixels of {found} mm, other slices of series {one.number} of {others} mm; "
                    "export the series again"
                )


def _listed(parts: Sequence[str]) -> str:
    return " and ".join([*([", ".join(parts[:-1])] if len(parts) > 1 else []), parts[-1]])
