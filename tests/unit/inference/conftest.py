"""An ensemble of two narrow, untrained networks, a session of noise, and its scores computed without the project's stitching."""

import keras
import nibabel as nib
import numpy as np
import pytest
import tensorflow as tf

from lumbarseg.config.study import Model
from lumbarseg.data.dataset import write_patches
from lumbarseg.data.tiling import Tiling
from lumbarseg.inference.prediction import write_labels
from lumbarseg.inference.session_files import session_files
from lumbarseg.inference.sliding_window import SlidingWindowPredictor
from lumbarseg.models.build import build_network
from lumbarseg.models.ensemble import Ensemble

CLASSES, SIDE, STRIDE = 3, 32, 24
MODELS = [Model("U1", ("U1",)), Model("UD", ("UD",)), Model("E2+Arith", ("U1", "UD"), "Arith")]
# Left-handed, slices along the first axis, rows from the feet up.
AFFINE = np.array([[0, 0, 4.4, -20], [0.7, 0, 0, -80], [0, 0.6, 0, 30], [0, 0, 0, 1.0]])


@pytest.fixture(scope="session")
def networks():
    return {
        name: build_network(topology, side=SIDE, channels=1, classes=CLASSES, base_filters=2, seed=3, name=name)
        for name, topology in {"U1": {}, "UD": {"output": "ds3"}}.items()
    }


@pytest.fixture(scope="session")
def ensemble(networks):
    return Ensemble(networks, MODELS, {})


@pytest.fixture(scope="session")
def predictor(ensemble):
    """A predictor whose networks are compiled once for all tests that only use it."""
    return SlidingWindowPredictor(ensemble, 8)


@pytest.fixture(scope="session")
def session(tmp_path_factory):
    """Images (3, 47, 40, 1), truth (3, 47, 40), and the files of a session."""
    folder = tmp_path_factory.mktemp("session")
    generator = np.random.default_rng(0)
    images = generator.normal(size=(3, 47, 40, 1)).astype(np.float32)
    truth = generator.integers(0, CLASSES, (3, 47, 40)).astype(np.uint8)
    reference = nib.Nifti1Image(np.zeros((40, 47, 3), np.uint8), AFFINE)
    reference.set_qform(AFFINE, 1)
    reference.set_sform(AFFINE, 2)
    write_labels(folder / "mask.nii.gz", truth, reference)
    write_patches(
        images, truth, side=SIDE, stride=STRIDE, background=0, description=folder / "a_patches.json",
        images_path=folder / "a_images.b2nd", labels_path=folder / "a_labels.b2nd",
    )  # fmt: skip
    return images, truth, session_files([("p1", "01")], [folder / "a_patches.json"], [folder / "mask.nii.gz"])


@pytest.fixture(scope="session")
def scores(networks, session):
    """By model, the scores of the session, (3, 47, 40, 3), from a plain loop over patches."""
    images, _, _ = session
    positions = Tiling(*images.shape[1:3], SIDE, STRIDE).positions
    patches = np.stack([image[r : r + SIDE, c : c + SIDE] for image in images for r, c in positions])
    times = np.zeros(images.shape[1:3])
    for row, column in positions:
        times[row : row + SIDE, column : column + SIDE] += 1
    found = {}
    for name, network in networks.items():
        of_patches = keras.ops.convert_to_numpy(network(patches, training=False)).reshape(3, -1, SIDE, SIDE, CLASSES)
        total = np.zeros((*images.shape[:3], CLASSES))
        for place, (row, column) in enumerate(positions):
            total[:, row : row + SIDE, column : column + SIDE] += of_patches[:, place]
        found[name] = total / times[..., None]
    return found | {"E2+Arith": (found["U1"] + found["UD"]) / 2}


@pytest.fixture
def eagerly():
    """Run TensorFlow's functions without compiling them, which takes longer than a few small patches."""
    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)
