"""Masks drawn by hand, brought to the classes of the study on the grid of their T2w image (Section 3.1.2)."""

from pathlib import Path

import nibabel as nib
import numpy as np
from nibabel.orientations import io_orientation, ornt_transform
from numpy.typing import NDArray

from lumbarseg.anatomy import LabelTable
from lumbarseg.errors import InputError
from lumbarseg.geometry import load_image, require_same_grid

# mm; less than a third of the smallest pixel of Table 2, more than what formats lose in rounding a position
_TOLERANCE = 0.1


def read_mask(path: str | Path, t2w_image: nib.Nifti1Image, labels: LabelTable) -> NDArray[np.uint8]:
    """Read a mask as class ids on the grid of its T2w image.

    A mask whose axes are stored in another order or direction is reordered, if its voxels are the same in space;
    nothing is resampled.

    Args:
        path: NIfTI, MHA or NRRD, as ITK-SNAP writes it.
        t2w_image: the image that it was drawn on, (i, j, k).
        labels: the classes, and the mask values that mean them.

    Returns:
        (i, j, k) uint8 in the T2w image's own order, class ids.

    Raises:
        InputError: not readable, on another grid, values that are not whole numbers, or values that mean no class.
    """
    mask = load_image(path)
    turn = ornt_transform(io_orientation(mask.affine), io_orientation(t2w_image.affine))
    mask = mask.as_reoriented(turn)
    require_same_grid(t2w_image, mask, ("its T2w image", str(path)), _TOLERANCE)
    values = np.asanyarray(mask.dataobj)
    if np.issubdtype(values.dtype, np.floating):
        broken = values != np.rint(values)
        if broken.any():
            raise InputError(
                f"{path}: expected whole numbers, found values such as {values[broken].flat[0]:.4g} in "
                f"{int(broken.sum())} voxels; resample the mask with nearest-neighbour interpolation, or export it again"
            )
        values = values.astype(np.int64)
    return labels.to_classes(values, str(path))
