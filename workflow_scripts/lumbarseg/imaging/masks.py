"""Reading of manual masks as class ids on the grid of their T2w image (Section 3.1.2)."""

from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from nibabel.orientations import io_orientation, ornt_transform
from numpy.typing import NDArray

from lumbarseg.errors import InputError
from lumbarseg.geometry import corner_displacement, load_image, require_same_grid, sagittal_view, volume
from lumbarseg.imaging.named_labels import read_named_mask
from lumbarseg.labels import LabelTable

# mm; less than a third of the smallest pixel of Table 2, more than the rounding of positions in file formats
_TOLERANCE = 0.1

# The outlines of ten real masks lie on edges 1.2 to 3.7 times stronger than those of the same masks upside down or back to
# front. Between left and right a spine is too symmetric to detect it.
_MIRRORED = {"from head to foot": (1,), "from front to back": (2,), "from head to foot and front to back": (1, 2)}
_STRONGER = 1.15
_FEWEST_OUTLINES = 200  # pixels; with fewer there is no check


def read_mask(path: str | Path, t2w_image: nib.Nifti1Image, labels: LabelTable) -> NDArray[np.uint8]:
    """Read a mask as class ids on the grid of its T2w image.

    A mask with axes in another order or direction is reordered if its voxels are the same in space; nothing is
    resampled. Labels are read by their names if the file has names (`named_labels`), by their values otherwise. A
    segmentation of 3D Slicer that covers a part of the grid is put back on it.

    Args:
        path: NIfTI, MHA or NRRD, as written by ITK-SNAP or 3D Slicer.
        t2w_image: the image on which it was drawn, (i, j, k).
        labels: the classes and their mask values.

    Returns:
        (i, j, k) uint8 in the T2w image's own order, class ids.

    Raises:
        InputError: not readable, on another grid, with values that are not whole numbers or belong to no class, with names
            of which no class has one, or with outlines that follow the image only if the mask is mirrored.
    """
    named = read_named_mask(path)
    layers = named.layers if named else [load_image(path)]
    turn = ornt_transform(io_orientation(layers[0].affine), io_orientation(t2w_image.affine))
    mask = layers[0].as_reoriented(turn)
    if not (named and named.may_be_cropped):
        require_same_grid(t2w_image, mask, ("its T2w image", str(path)), _TOLERANCE)
    values = [_whole_numbers(np.asanyarray(layer.dataobj), path) for layer in layers]
    classes = named.to_classes(values, labels, path) if named else labels.to_classes(values[0], str(path))
    mask = volume(classes, layers[0].affine).as_reoriented(turn)
    if named and named.may_be_cropped:
        mask = _on_grid(path, mask, t2w_image, labels.background)
    classes = np.asanyarray(mask.dataobj)
    _require_not_mirrored(path, classes, t2w_image)
    return classes


def _whole_numbers(values: NDArray[Any], path: str | Path) -> NDArray[np.integer]:
    """Return the values of a mask as integers.

    Raises:
        InputError: a value is not a whole number.
    """
    if not np.issubdtype(values.dtype, np.floating):
        return values
    broken = values != np.rint(values)
    if broken.any():
        raise InputError(
            f"{path}: {int(broken.sum())} voxels are not whole numbers (such as {values[broken].flat[0]:.4g}); resample the "
            "mask with nearest-neighbour interpolation, or export it again"
        )
    return values.astype(np.int64)


def _on_grid(path: str | Path, mask: nib.Nifti1Image, image: nib.Nifti1Image, background: int) -> nib.Nifti1Image:
    """Put a mask that covers a part of an image's grid, or more than the grid, on this grid.

    Raises:
        InputError: its voxels are not those of the grid, or voxels of a class lie outside the image.
    """
    first = np.rint(np.linalg.solve(image.affine, mask.affine[:, 3])[:3]).astype(int)
    shifted = image.affine.copy()
    shifted[:3, 3] += image.affine[:3, :3] @ first
    displacement = corner_displacement(mask.shape, shifted, mask.affine)
    if not displacement <= _TOLERANCE:
        raise InputError(
            f"{path}: its voxels lie up to {displacement:.3g} mm from those of its T2w image (limit {_TOLERANCE:g} mm); draw the "
            "segments on the T2w image itself, or name the file that belongs to it"
        )
    classes = np.asanyarray(mask.dataobj)
    inside = [
        slice(max(0, -at), max(0, min(size, full - at)))
        for at, size, full in zip(first, mask.shape, image.shape, strict=True)
    ]
    there = tuple(slice(at + part.start, at + part.stop) for at, part in zip(first, inside, strict=True))
    whole = np.full(image.shape, background, np.uint8)
    lost = int((classes != background).sum()) - int((classes[tuple(inside)] != background).sum())
    if lost:
        raise InputError(
            f"{path}: {lost} voxels of its segments lie outside the T2w image; name the file that belongs to it"
        )
    whole[there] = classes[tuple(inside)]
    return volume(whole, image.affine)


def _require_not_mirrored(path: str | Path, classes: NDArray[np.uint8], t2w_image: nib.Nifti1Image) -> None:
    strength = outline_strength(
        sagittal_view(np.asanyarray(t2w_image.dataobj), t2w_image.affine), sagittal_view(classes, t2w_image.affine)
    )
    for way, axes in _MIRRORED.items():
        if strength[axes] > _STRONGER * strength[()]:
            raise InputError(
                f"{path}: mirrored {way}, its outlines would follow edges of the T2w image that are "
                f"{strength[axes] / strength[()]:.1f} times stronger; flip the mask, or name the file that belongs to the image"
            )


def outline_strength(image: NDArray[Any], labels: NDArray[np.uint8]) -> dict[tuple[int, ...], float]:
    """Measure how strong the image's edges are where labels change, for the labels as they are and mirrored in plane.

    Args:
        image: (slices, rows, columns), any intensities.
        labels: (slices, rows, columns) class ids.

    Returns:
        By the mirrored axes (none, rows 1, columns 2, both): the mean difference of neighbouring pixels that have
        different labels, in units of the image; 0 for all if there are too few outlines.
    """
    low, high = np.percentile(image, [0.5, 99.5])
    clipped = np.clip(image, low, high).astype(np.float32)
    total = dict.fromkeys([(), *_MIRRORED.values()], 0.0)
    outlines = 0
    for axis in (1, 2):
        edges = np.abs(np.diff(clipped, axis=axis))
        places = np.diff(labels, axis=axis) != 0
        outlines += int(places.sum())
        for axes in total:
            total[axes] += float(edges[np.flip(places, axes) if axes else places].sum(dtype=np.float64))
    if outlines < _FEWEST_OUTLINES:
        return dict.fromkeys(total, 0.0)
    return {axes: strength / outlines for axes, strength in total.items()}
