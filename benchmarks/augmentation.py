"""One warp a sample against the same four transforms one after the other: speed, and what is lost of image and labels.

    python benchmarks/augmentation.py                    (two minutes; --repetitions 2 to try it)

Shift, rotation, zoom and flip with the config's ranges, on slices of a phantom patient, each sample with a transform of its
own that image and labels share. The truth of an image is one resampling with splines of order 5 by the product of the four
matrices, that of its labels the nearest neighbours. That all do the same transform is checked: it ends with an error if not.
"""

import argparse
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from measured import CLASSES, SIDE, medians, print_table, training_options
from scipy import ndimage

CENTRE = np.full(2, (SIDE - 1) / 2)
PATCHES, THREADS = 20, 2
Steps = list[tuple[Any, Any]]


def phantom_patches(number: int) -> tuple[Any, Any]:
    """T2w z-scores (number, side, side, 1) float32 and labels (number, side, side) uint8, the middle of phantom slices."""
    import nibabel as nib
    import pydicom

    from lumbarseg.geometry import sagittal_view
    from lumbarseg.phantom.cohort import write_patient

    with tempfile.TemporaryDirectory() as folder:
        write_patient(Path(folder), 1, seed=1, matrices=(320,), slices=(10, 10))
        files = sorted(Path(folder).glob("dicom/*/T2w/*.dcm"))
        series = sorted(map(pydicom.dcmread, files), key=lambda slice: -float(slice.ImagePositionPatient[0]))
        images = np.stack([slice.pixel_array for slice in series]).astype(np.float32)
        mask = nib.load(next(Path(folder).glob("masks/*.nii.gz")))
        labels = sagittal_view(np.asarray(mask.dataobj, dtype=np.uint8), mask.affine)
    images = (images - images.mean()) / images.std()
    edge = [(size - SIDE) // 2 for size in images.shape[1:]]
    window = (slice(None), *(slice(start, start + SIDE) for start in edge))
    chosen = np.arange(number) % len(images)
    return images[window][chosen, ..., None], labels[window][chosen]


def parted(warps: Any) -> tuple[Any, Any]:
    """The matrices (n, 2, 2) and offsets (n, 2) of warps (n, 8), on (column, row)."""
    return warps[:, [[0, 1], [3, 4]]].astype(float), warps[:, [2, 5]].astype(float)


def four_steps(warps: Any) -> Steps:
    """Take warps (n, 8) apart into shift, rotation, zoom and flip: matrices (n, 2, 2) and offsets (n, 2) of each."""
    linear, offset = parted(warps)
    flip = np.stack([np.diag([sign, 1.0]) for sign in np.sign(np.linalg.det(linear))])
    turned = linear @ flip
    zoom = np.sqrt(np.linalg.det(turned))[:, None, None]
    one = np.broadcast_to(np.eye(2), flip.shape)
    about_centre = [(matrix, CENTRE - matrix @ CENTRE) for matrix in (turned / zoom, one * zoom, flip)]
    return [(one, offset - CENTRE + linear @ CENTRE), *about_centre]


def product(steps: Steps) -> tuple[Any, Any]:
    """The matrices and offsets of steps one after the other."""
    linear, offset = steps[0]
    for matrices, offsets in steps[1:]:
        linear, offset = linear @ matrices, offset + (linear @ offsets[..., None])[..., 0]
    return linear, offset


def truth(images: Any, labels: Any, linear: Any, offset: Any) -> tuple[Any, Any]:
    """Resample once: images (n, side, side, 1) by splines of order 5, labels (n, side, side) by the nearest neighbour."""
    # SciPy's coordinates are (row, column)
    places = [(matrix[::-1, ::-1], shift[::-1]) for matrix, shift in zip(linear, offset, strict=True)]

    def moved(planes: Any, order: int) -> Any:
        pairs = zip(planes, places, strict=True)
        return np.stack([ndimage.affine_transform(one, *place, order=order, mode="nearest") for one, place in pairs])

    return moved(images[..., 0], 5)[..., None], moved(labels, 0)


def with_scipy(images: Any, labels: Any, steps: Steps, pool: ThreadPoolExecutor) -> tuple[Any, Any]:
    """Shift, rotate, zoom and flip with SciPy, each step by its quickest function, as many samples at a time as threads."""
    (_, shifts), (turns, turn_offsets), (zooms, zoom_offsets), (flips, _) = steps

    def four(plane: Any, number: int, order: int) -> Any:
        how: dict[str, Any] = {"order": order, "mode": "nearest"}
        plane = ndimage.shift(plane, -shifts[number, ::-1], **how)
        plane = ndimage.affine_transform(plane, turns[number, ::-1, ::-1], turn_offsets[number, ::-1], **how)
        plane = ndimage.affine_transform(plane, np.diag(zooms[number])[::-1], zoom_offsets[number, ::-1], **how)
        return plane[:, ::-1] if flips[number, 0, 0] < 0 else plane

    def sample(number: int) -> tuple[Any, Any]:
        channels = [four(images[number, ..., channel], number, 1) for channel in range(images.shape[-1])]
        return np.stack(channels, axis=-1), four(labels[number], number, 0)

    moved, classes = zip(*pool.map(sample, range(len(images))), strict=True)
    return np.stack(moved), np.stack(classes)


def with_layers(steps: Steps) -> Any:
    """Make the function (images, labels) → the same moved by four Keras layers, whose draws are those of the steps."""
    import keras
    import tensorflow as tf

    (_, shifts), (turns, turn_offsets), (zooms, _), (flips, _) = steps
    rows = [np.concatenate([turns[:, row], turn_offsets[:, [row]]], axis=1) for row in (0, 1)]
    turned = np.concatenate([*rows, np.zeros((len(turns), 2))], axis=1)
    rest: Any = {"fill_mode": "nearest", "interpolation": "bilinear"}

    def constant(values: Any) -> Any:
        return tf.constant(values, tf.float32)

    # The factors given here are not used: `transform_images` is told what was drawn.
    layers = [
        (keras.layers.RandomTranslation(1.0, 1.0, **rest), {"translations": constant(-shifts)}),
        (keras.layers.RandomRotation(1.0, **rest), {"rotation_matrix": constant(turned)}),
        (keras.layers.RandomZoom(0.5, **rest), dict.fromkeys(("width_zoom", "height_zoom"), constant(zooms[:, :1, 0]))),
        (keras.layers.RandomFlip("horizontal"), {"flips": tf.constant(flips[:, :1, :1, None] < 0)}),
    ]

    @tf.function
    def move(images: Any, labels: Any) -> tuple[Any, Any]:
        labels = tf.cast(labels, tf.float32)[..., None]
        for layer, draws in layers:
            images = layer.transform_images(images, draws)
            labels = layer.transform_segmentation_masks(labels, draws)
        return images, tf.cast(labels[..., 0], tf.int32)

    return move


def errors(moved: Any, labels: Any, true_images: Any, true_labels: Any, inside: Any) -> tuple[float, float, int, int]:
    """How far a result is from the truth, where a pixel's source lies in the patch.

    Returns:
        The root mean square error of the image in % of the truth's deviation, the pixels whose label differs in %, the
        classes that are in a patch of the truth and not in the result (summed over patches), and the reverse.
    """
    moved, labels = np.asarray(moved), np.asarray(labels)
    error = np.sqrt(np.mean((moved - true_images)[inside] ** 2)) / true_images[inside].std()
    found, there = (
        np.stack([np.bincount(one[within], minlength=CLASSES) > 0 for one, within in zip(which, inside, strict=True)])
        for which in (labels, true_labels)
    )
    return (
        100 * float(error),
        100 * float(np.mean((labels != true_labels)[inside])),
        int((there & ~found).sum()),
        int((found & ~there).sum()),
    )


def check_same(name: str, error: float, differing: float, omitted: tuple[float, float]) -> None:
    """End with an error if a result is not far nearer the truth than a transform that leaves one of the steps out."""
    if error > omitted[0] / 3 or differing > omitted[1] / 3:
        raise SystemExit(
            f"{name}: expected the same transform as the truth, found an image error of {error:.1f} % and {differing:.1f} % "
            f"other labels, where leaving a step out gives {omitted[0]:.1f} and {omitted[1]:.1f} %"
        )


def main() -> None:
    """Measure and print the table."""
    import tensorflow as tf

    from lumbarseg.data.augmentation import draw_warps, warp
    from lumbarseg.training.device import prepare_device

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repetitions", type=int, default=7)
    options = parser.parse_args()
    prepare_device("cpu", THREADS, {"precision": "float32", "seed": 1, "xla": False})
    images, labels = phantom_patches(PATCHES)
    settings = training_options().augmentation
    warps = draw_warps(np.random.default_rng(1), PATCHES, SIDE, settings)
    steps = four_steps(warps)
    linear, offset = parted(warps)
    np.testing.assert_allclose(product(steps)[0], linear, atol=1e-5)
    np.testing.assert_allclose(product(steps)[1], offset, atol=1e-3)

    fused, layers, pool = tf.function(warp), with_layers(steps), ThreadPoolExecutor(THREADS)
    generator = np.random.default_rng(1)
    ways: dict[str, Any] = {
        "one warp (ours)": lambda images, labels: fused(tf.constant(images), tf.constant(labels), tf.constant(warps)),
        "four Keras layers": lambda images, labels: layers(tf.constant(images), tf.constant(labels)),
        "four times SciPy": lambda images, labels: with_scipy(images, labels, steps, pool),
    }

    def ours(images: Any, labels: Any) -> tuple[Any, Any]:
        drawn = tf.constant(draw_warps(generator, PATCHES, SIDE, settings))
        return fused(tf.constant(images), tf.constant(labels), drawn)

    two_channels = np.repeat(images, 2, axis=-1)
    timed = {
        name: lambda way=way: np.asarray(way(two_channels, labels)[1])
        for name, way in (ways | {"one warp (ours)": ours}).items()
    }
    seconds = medians(timed, options.repetitions)

    rows, columns = np.mgrid[:SIDE, :SIDE]
    sources = np.einsum("nij,rcj->nrci", linear, np.stack([columns, rows], axis=-1)) + offset[:, None, None]
    inside = ((sources >= 0) & (sources <= SIDE - 1)).all(axis=-1)
    true = truth(images, labels, linear, offset)
    incomplete = (truth(images, labels, *product(steps[:n] + steps[n + 1 :])) for n in range(len(steps)))
    found_incomplete = [errors(*result, *true, inside) for result in incomplete]
    omitted = min(found[0] for found in found_incomplete), min(found[1] for found in found_incomplete)
    table = []
    for name, way in ways.items():
        found = errors(*way(images, labels), *true, inside)
        check_same(name, *found[:2], omitted)
        table.append((name, PATCHES / seconds[name], seconds[name] / seconds["one warp (ours)"], *found))
    there = sum(len(np.unique(one[within])) for one, within in zip(true[1], inside, strict=True))
    print(
        f"{PATCHES} patches of {SIDE} × {SIDE} × 2 and their labels, {THREADS} threads; errors where a pixel's source lies in "
        f"the patch, of one channel; {there} times a class is in a patch\n"
    )
    headings = ["", "patches/s", "time, of ours", "image error, % of its deviation", "pixels of another label, %"]
    print_table([*headings, "classes lost", "classes invented"], table)


if __name__ == "__main__":
    main()
