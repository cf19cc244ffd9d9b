"""Slices and volumes that figures show, read from the images of a study."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lumbarseg.data.tiling import window_starts
from lumbarseg.evaluation.partial_labels import merge_labels
from lumbarseg.geometry import load_image, read_plane, read_view, sagittal_view
from lumbarseg.imaging.registration.transforms import resample
from lumbarseg.reporting.slices import Case, LabelledSlice, Preprocessing, SessionImages, UncertainSlice

UNCERTAINTY_MAPS = ("entropy", "mutualinformation")
"""The maps of uncertainty of a session, as their file names call them."""


class SliceReader:
    """Reads slices of test sessions, with the masks that experiments predicted for them."""

    def __init__(
        self,
        sessions: Sequence[tuple[str, str]],
        t2w: Sequence[str],
        t1w: Sequence[str],
        truth: Sequence[str],
        masks: Mapping[tuple[str, int], str],
        *,
        background: int,
        unlabelled: Sequence[int] = (),
    ) -> None:
        """Take the paths.

        Args:
            sessions: participant_id and session_id of each.
            t2w: their T2w images.
            t1w: their registered T1w images; empty in a study without T1w.
            truth: their masks.
            masks: by experiment and fold, the folder of the predicted masks.
            background: id of the background.
            unlabelled: ids of the classes that true masks do not hold; predictions of them are shown as they are counted, as
                background.
        """
        self._places = {tuple(session): place for place, session in enumerate(sessions)}
        self._t2w, self._t1w, self._truth, self._masks = t2w, t1w, truth, masks
        self._background, self._unlabelled = background, unlabelled

    def case(self, name: str, slice_: Any, experiments: Sequence[str]) -> Case:
        """Read a slice with the predictions of some experiments.

        Args:
            name: shown next to it.
            slice_: has the attributes fold, participant_id, session_id and slice.
            experiments: whose predictions to read.
        """
        place, number = self._places[slice_.participant_id, slice_.session_id], int(slice_.slice)
        t2w, spacing = read_plane(self._t2w[place], number, "convert")
        return Case(
            name=name,
            t2w=t2w,
            t1w=read_plane(self._t1w[place], number, "register")[0] if self._t1w else None,
            truth=read_plane(self._truth[place], number, "convert")[0],
            predictions={one: self._prediction(one, slice_) for one in experiments},
            spacing=spacing,
        )

    def uncertain(self, name: str, slice_: Any, experiment: str, maps: str) -> UncertainSlice:
        """Read a slice with the prediction of an experiment and its uncertainty.

        Args:
            name: shown next to it.
            slice_: has the attributes fold, participant_id, session_id and slice.
            experiment: whose prediction to read.
            maps: the folder of the maps of uncertainty of the slice's fold.
        """
        case = self.case(name, slice_, [experiment])
        label = f"sub-{slice_.participant_id}_ses-{slice_.session_id}"
        files = [Path(maps) / f"{label}_desc-{measure}_uncertainty.nii.gz" for measure in UNCERTAINTY_MAPS]
        entropy, mutual_information = (read_plane(file, int(slice_.slice), "reconstruct")[0] for file in files)
        prediction = case.predictions[experiment]
        return UncertainSlice(name, case.t2w, case.truth, prediction, entropy, mutual_information, case.spacing)

    def _prediction(self, experiment: str, slice_: Any) -> NDArray[np.uint8]:
        folder = Path(self._masks[experiment, int(slice_.fold)])
        file = folder / f"sub-{slice_.participant_id}_ses-{slice_.session_id}_dseg.nii.gz"
        return merge_labels(read_plane(file, int(slice_.slice), "reconstruct")[0], self._unlabelled, self._background)


def worst_slices(worst_cases: pd.DataFrame, experiment: str, most: int) -> list[tuple[str, Any]]:
    """List the worst slices of an experiment with the names they are shown by.

    Args:
        worst_cases: the table `metrics/worst_cases.csv`, ids as texts.
        experiment: whose slices to list.
        most: greatest number of slices.
    """
    rows = worst_cases[worst_cases["experiment"] == experiment].head(most)
    return [(f"{row.participant_id}, slice {row.slice}, fold {row.fold}", row) for row in rows.itertuples()]


def read_session(t2w: str, t1w: Sequence[str], mask: Sequence[str]) -> SessionImages:
    """Read a session to check.

    Args:
        t2w: the image.
        t1w: the image as converted and as registered; empty in a study without T1w.
        mask: the mask; empty where there is none.
    """
    volume, spacing = read_view(t2w, "convert")
    before, after = _registration(t2w, t1w)
    labels = read_view(mask[0], "convert")[0].astype(np.uint8) if mask else None
    return SessionImages(volume, before, after, labels, spacing)


def read_examples(
    t2w: str, t1w: Sequence[str], normalised: Sequence[str], mask: str, size: int, stride: int
) -> tuple[list[LabelledSlice], Preprocessing]:
    """Read the slices of a session that show the data and their preprocessing (Figures 2 and 3).

    Args:
        t2w: the image.
        t1w: the image as converted and as registered; empty in a study without T1w.
        normalised: the z-scored images, T2w first.
        mask: the mask.
        size: rows and columns of a patch.
        stride: distance between patches.

    Returns:
        The middle slice and one a quarter into the stack; the middle slice at each step.
    """
    volume, spacing = read_view(t2w, "convert")
    truth, _ = read_view(mask, "convert")
    before, after = _registration(t2w, t1w)
    z_scores = [read_view(path, "normalise")[0] for path in normalised]
    middle, lateral = len(volume) // 2, len(volume) // 4
    examples = [
        LabelledSlice(volume[number], None if after is None else after[number], truth[number], spacing, name)
        for number, name in ((middle, "middle"), (lateral, "lateral"))
    ]
    steps = Preprocessing(
        t2w=volume[middle],
        t1w_before=None if before is None else before[middle],
        t1w_after=None if after is None else after[middle],
        normalised_t2w=z_scores[0][middle],
        normalised_t1w=None if after is None else z_scores[1][middle],
        truth=truth[middle],
        spacing=spacing,
        row_starts=window_starts(volume.shape[1], size, stride),
        column_starts=window_starts(volume.shape[2], size, stride),
        side=size,
    )
    return examples, steps


def _registration(t2w: str, t1w: Sequence[str]) -> tuple[NDArray[Any] | None, NDArray[Any] | None]:
    """Read T1w on the T2w grid by header geometry alone, and as registered, in sagittal view; None without T1w."""
    if not t1w:
        return None, None
    converted, registered = t1w
    fixed, moving = load_image(t2w, "convert"), load_image(converted, "convert")
    before = sagittal_view(resample(fixed, moving, np.eye(4)), fixed.affine)
    return before, read_view(registered, "register")[0]
