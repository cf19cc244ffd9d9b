"""Description of sessions: demographics, image grid and acquisition, from which Tables 1 to 3 are made."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from lumbarseg.atomic_io import read_json
from lumbarseg.cohort.sheet import Session
from lumbarseg.geometry import read_grid, sagittal_spacing, sagittal_view


def describe_session(
    session: Session, patches: Path, images: Mapping[str, Path], choice: Path, registration: Path | None = None
) -> dict[str, Any]:
    """Describe a session in one row.

    Args:
        session: a row of the sheet.
        patches: its `…_patches.json`.
        images: by contrast, its converted NIfTI, with the sidecar next to it. Only headers are read.
        choice: its `…_series.json`, by contrast what `conversion.convert` returned.
        registration: the report of its registration; None without T1w.

    Returns:
        participant_id, session_id, the demographics of the sheet (or of the DICOM headers where the sheet has none),
        slices, patches, classes (ids in the mask), and for each contrast (`T2w_RepetitionTime`) the fields of the sidecar
        in BIDS units, Slices, Height and Width in pixels, PixelSpacing in mm, Brightness and Noise; `T1w_Overlap`, the fraction of T2w that the registered T1w covers.
    """
    description, chosen = read_json(patches), read_json(choice)
    row = {"participant_id": session.participant_id, "session_id": session.session_id, **session.demographics}
    for of_contrast in chosen.values():
        row |= {name: value for name, value in of_contrast.get("demographics", {}).items() if not row.get(name)}
    row |= {"slices": description["slices"], "patches": description["patches"]}
    row["classes"] = " ".join(str(number) for number, pixels in enumerate(description["pixels"]) if pixels)
    for contrast, path in images.items():
        shape, affine = read_grid(path, "convert")
        # An array without memory of its own is enough to find the grid's shape.
        slices, rows, columns = sagittal_view(np.broadcast_to(0, shape), affine).shape
        grid = {"Slices": slices, "Height": rows, "Width": columns, "PixelSpacing": sagittal_spacing(affine)[1]}
        quality = {name.capitalize(): value for name, value in chosen[contrast]["quality"].items()}
        fields = read_json(path.with_name(path.name.removesuffix(".nii.gz") + ".json")) | grid | quality
        row |= {f"{contrast}_{name}": value for name, value in fields.items()}
    if registration is not None:
        row["T1w_Overlap"] = read_json(registration)["overlap"]
    return row
