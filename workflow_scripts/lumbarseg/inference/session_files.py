"""Inputs of prediction: the files of sessions, and ensembles loaded from files."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import keras
import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from lumbarseg.atomic_io import read_json
from lumbarseg.config.study import Model
from lumbarseg.data.storage import open_array
from lumbarseg.errors import InputError
from lumbarseg.geometry import load_image, sagittal_view
from lumbarseg.models.ensemble import Ensemble
from lumbarseg.models.metadata import load_trained, network_metadata


@dataclass(frozen=True)
class SessionFiles:
    """The files of a session.

    Attributes:
        participant_id: id of the patient.
        session_id: id of the session.
        patches: description of the patches, `…_patches.json`, in the folder of the arrays.
        mask: true class ids on the T2w grid, NIfTI.
    """

    participant_id: str
    session_id: str
    patches: Path
    mask: Path

    @property
    def label(self) -> str:
        """The BIDS label, `sub-<p>_ses-<s>`."""
        return f"sub-{self.participant_id}_ses-{self.session_id}"


def session_files(
    identifiers: Sequence[tuple[str, str]], patches: Sequence[str], masks: Sequence[str]
) -> list[SessionFiles]:
    """Combine three lists of the same order: ids (participant_id, session_id), patches and masks."""
    return [
        SessionFiles(participant, session, Path(description), Path(mask))
        for (participant, session), description, mask in zip(identifiers, patches, masks, strict=True)
    ]


def load_ensemble(
    models: Sequence[tuple[str, Sequence[str], str]],
    names: Sequence[str],
    networks: Sequence[str],
    meta_learners: Sequence[str],
    *,
    fold: int,
    channels: Sequence[str],
    class_names: Sequence[str],
) -> Ensemble:
    """Load an ensemble from `.keras` files and check that the files belong together.

    Args:
        models: (name, networks, combiner) of each model, see `study.Model`.
        names: topologies of `networks`, in the same order.
        networks: files of the fold's networks.
        meta_learners: files of the meta-learners, in the order of the stacked models in `models`.
        fold: number of the fold in which all of them were trained.
        channels: contrasts of the training images, in order.
        class_names: class names in the order of the ids.

    Raises:
        InputError: see `Ensemble`; or a file is damaged, or holds a network of another topology, fold, channels or label table.
    """
    listed = [Model(name, tuple(members), combiner) for name, members, combiner in models]
    stacked = [model.name for model in listed if model.is_stacked]

    def loaded(named: Sequence[str], files: Sequence[str], stage: str) -> dict[str, keras.Model]:
        return {
            name: load_trained(path, network_metadata(name, fold, channels, class_names), stage)
            for name, path in zip(named, files, strict=True)
        }

    return Ensemble(loaded(names, networks, "train"), listed, loaded(stacked, meta_learners, "stack"))


def require_matching_patches(ensemble: Ensemble, sessions: Sequence[SessionFiles]) -> None:
    """Check that the sessions' patches have the size and channels that the networks were trained on.

    Raises:
        InputError: the patches of a session have another size or number of channels.
    """
    for session in sessions:
        found = open_array(session.patches.parent / read_json(session.patches)["images"]).shape[1:]
        if tuple(found) != ensemble.patch:
            raise InputError(
                f"{session.patches}: patches of {_times(found)} (rows, columns, channels), but the networks were trained on "
                f"{_times(ensemble.patch)}; retrain the networks, or restore the `patches` and `channels` of their training"
            )


def read_truth(mask: Path) -> tuple[NDArray[np.uint8], nib.Nifti1Image]:
    """Read a mask; return its labels in sagittal view, (slices, rows, columns) uint8, and the image with its geometry."""
    image = load_image(mask, "convert")
    return sagittal_view(np.asarray(image.dataobj, dtype=np.uint8), image.affine), image


def _times(shape: Sequence[int]) -> str:
    return " × ".join(map(str, shape))
