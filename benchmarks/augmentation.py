"""One warp a sample against the same four transforms one after the other: speed, and what is lost of image and labels.

    python benchmarks/augmentation.py

Shift, rotation, zoom and flip with the config's ranges, on slices of a phantom patient. The truth of an image is one
resampling with splines of order 5 by the product of the four matrices, that of its labels the nearest neighbours.
"""

import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from measured import SIDE, medians, print_table, schedule
from scipy import ndimage

CENTRE = np.full(2, (SIDE - 1) / 2)


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


def four_steps(warps: Any) -> list[tuple[Any, Any]]:
    """Take warps (n, 8) apart into shift, rotation, zoom and flip: matrices (n, 2, 2) and offsets (n, 2) on (column, row)."""
    linear, offset = warps[:, [[0, 1], [3, 4]]].astype(float), warps[:, [2, 5]].astype(float)
    flip = np.stack([np.diag([sign, 1.0]) for sign in np.sign(np.linalg.det(linear))])
    turned = linear @ flip
    zoom = 1 / np.sqrt(np.linalg.det(turned))
    shift = offset - CENTRE + linear @ CENTRE
    one = np.broadcast_to(np.eye(2), flip.shape)
    about_centre = [
        (matrix, CENTRE - matrix @ CENTRE) for matrix in (turned * zoom[:, None, None], one / zoom[:, None, None], flip)
    ]
    return [(one, shift), *about_centre]


def with_scipy(images: Any, labels: Any, steps: Any, order: int) -> tuple[Any, Any]:
    """Resample step by step; images by splines of an order, labels by the nearest neighbour."""
    images, labels = images[..., 0], labels.copy()
    for matrices, offsets in steps:
        # SciPy's coordinates are (row, column)
        places = [(matrix[::-1, ::-1], offset[::-1]) for matrix, offset in zip(matrices, offsets, strict=True)]
        images = np.stack(
            [
                ndimage.affine_transform(one, *place, order=order, mode="nearest")
                for one, place in zip(images, places, strict=True)
            ]
        )
        labels = np.stack(
            [
                ndimage.affine_transform(one, *place, order=0, mode="nearest")
                for one, place in zip(labels, places, strict=True)
            ]
        )
    return images[..., None], labels


def main() -> None:
    """Measure and print the tables."""
    import keras
    import tensorflow as tf

    from lumbarseg.augmentation import draw_warps, warp
    from lumbarseg.training.device import prepare_device

    prepare_device("cpu", 2, {"precision": "float32", "seed": 1, "xla": False})
    images, labels = phantom_patches(20)
    settings = schedule().augmentation
    warps = draw_warps(np.random.default_rng(1), len(images), SIDE, settings)
    steps = four_steps(warps)
    composed = [(warps[:, [[0, 1], [3, 4]]].astype(float), warps[:, [2, 5]].astype(float))]

    fused = tf.function(warp)

    @tf.function
    def successive(images: Any, labels: Any) -> tuple[Any, Any]:
        for matrices, offsets in steps:
            numbers = np.concatenate(
                [
                    matrices.reshape(-1, 4)[:, :2],
                    offsets[:, :1],
                    matrices.reshape(-1, 4)[:, 2:],
                    offsets[:, 1:],
                    np.zeros((len(offsets), 2)),
                ],
                axis=1,
            )
            images, labels = warp(images, labels, tf.constant(numbers, tf.float32))
        return images, labels

    def layers(interpolation: str) -> list[Any]:
        rest: Any = {"fill_mode": "nearest", "interpolation": interpolation}
        least, greatest = settings["zoom"]
        return [
            keras.layers.RandomTranslation(settings["shift"], settings["shift"], seed=1, **rest),
            keras.layers.RandomRotation(settings["rotation"] / 360, seed=2, **rest),
            keras.layers.RandomZoom((1 / greatest - 1, 1 / least - 1), seed=3, **rest),
            keras.layers.RandomFlip("horizontal", seed=4),
        ]

    of_images, of_labels = layers("bilinear"), layers("nearest")

    @tf.function
    def by_layers(images: Any, labels: Any) -> tuple[Any, Any]:
        labels = tf.cast(labels, tf.float32)[..., None]
        for layer in of_images:
            images = layer(images, training=True)
        for layer in of_labels:
            labels = layer(labels, training=True)
        return images, labels

    two_channels = tf.constant(np.repeat(images, 2, axis=-1))
    class_ids = tf.constant(labels)
    seconds = medians(
        {
            "one warp (ours)": lambda: fused(two_channels, class_ids, tf.constant(warps))[1].numpy(),
            "four Keras layers": lambda: by_layers(two_channels, class_ids)[1].numpy(),
            "four times SciPy": lambda: (with_scipy(images, labels, steps, 1), with_scipy(images, labels, steps, 1)),
        },
        repetitions=int(sys.argv[1]) if len(sys.argv) > 1 else 7,
    )
    true_images, true_labels = with_scipy(images, labels, composed, 5)
    rows, columns = np.mgrid[:SIDE, :SIDE]
    points = np.stack([columns, rows], axis=-1)
    sources = np.einsum("nij,rcj->nrci", composed[0][0], points) + composed[0][1][:, None, None]
    inside = ((sources >= 0) & (sources <= SIDE - 1)).all(axis=-1)
    found = {
        "one warp (ours)": fused(tf.constant(images), class_ids, tf.constant(warps)),
        "four Keras layers": successive(tf.constant(images), class_ids),
        "four times SciPy": with_scipy(images, labels, steps, 1),
    }
    table = []
    for name, (moved, classes) in found.items():
        error = np.sqrt(np.mean((np.asarray(moved) - true_images)[inside] ** 2)) / images.std()
        differing = np.mean((np.asarray(classes) != true_labels)[inside])
        table.append(
            (
                name,
                len(images) / seconds[name],
                seconds[name] / seconds["one warp (ours)"],
                100 * float(error),
                100 * float(differing),
            )
        )
    print(
        f"20 patches of {SIDE} × {SIDE} × 2 and their labels, two threads; errors where a pixel's source lies in the patch\n"
    )
    print_table(
        ["", "patches/s", "time, of ours", "error of the image, % of its deviation", "labels that differ, %"], table
    )


if __name__ == "__main__":
    main()
