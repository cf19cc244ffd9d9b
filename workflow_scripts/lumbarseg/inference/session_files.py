"""What a pass starts from: the files of sessions, and an ensemble read from files and checked."""

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
from lumbarseg.models.metadata import load_network, network_metadata


@dataclass(frozen=True)
class SessionFiles:
    """Where a session's patches and truth lie.

    Attributes:
        participant_id: the patient.
        session_id: the session.
        patches: `…_patches.json`, with the arrays beside it.
        mask: class ids on the T2w grid, NIfTI.
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
    """Put together what lies in three lists of one order: (participant_id, session_id), patches, masks."""
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
    """Load an ensemble from `.keras` files; what does not belong together is refused before anything runs forward.

    Args:
        models: (name, networks, combiner) of each model, as `study.Model` has them.
        names: the topologies of `networks`, in their order.
        networks: files of the fold's networks.
        meta_learners: files of the stacked models' meta-learners, in the order these stand in `models`.
        fold: in which all were trained.
        channels: contrasts of the images they were trained on.
        class_names: of the label table, in the order of the ids.

    Raises:
        InputError: as `Ensemble`, or a file is that of another network, fold, channels or label table.
    """
    listed = [Model(name, tuple(members), combiner) for name, members, combiner in models]
    stacked = [model.name for model in listed if model.is_stacked]

    def loaded(named: Sequence[str], files: Sequence[str]) -> dict[str, keras.Model]:
        return {
            name: load_network(path, network_metadata(name, fold, channels, class_names))
            for name, path in zip(named, files, strict=True)
        }

    return Ensemble(loaded(names, networks), listed, loaded(stacked, meta_learners))


def require_fitting(ensemble: Ensemble, sessions: Sequence[SessionFiles]) -> None:
    """Require that the networks take the patches of every session; nothing runs forward.

    Raises:
        InputError: patches of another side or number of channels.
    """
    for session in sessions:
        found = open_array(session.patches.parent / read_json(session.patches)["images"]).shape[1:]
        if tuple(found) != ensemble.patch:
            raise InputError(
                f"{session.patches}: expected patches of {_times(ensemble.patch)} (rows, columns, channels), which the "
                f"networks were trained on, found {_times(found)}; train the networks anew, or give back the `patches` and "
                "`channels` they were trained with"
            )


def read_truth(mask: Path) -> tuple[NDArray[np.uint8], nib.Nifti1Image]:
    """Read a mask in sagittal view, (slices, rows, columns) uint8, and its image for geometry."""
    image = load_image(mask)
    return sagittal_view(np.asarray(image.dataobj, dtype=np.uint8), image.affine), image


def _times(shape: Sequence[int]) -> str:
    return " × ".join(map(str, shape))
