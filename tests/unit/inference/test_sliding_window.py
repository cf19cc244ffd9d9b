"""Slices stitched from patches: row blocks against a plain loop, and what happens when memory runs out."""

from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from lumbarseg.config.study import Model
from lumbarseg.data.dataset import write_patches
from lumbarseg.data.tiling import Tiling, stitch
from lumbarseg.errors import InputError
from lumbarseg.inference.sliding_window import SlidingWindowPredictor


def out_of_memory():
    return tf.errors.ResourceExhaustedError(None, None, "out of memory")


def echo_predictor(batch_size):
    """A predictor of one network, whose scores are its images."""
    echo = SimpleNamespace(
        models=[Model("U1", ("U1",))], networks=["U1"], classes=3, means=lambda features: {},
        forward_one=lambda network, images: {f"scores/{network}": images},
        scores_of=lambda model, features, mean: features[f"scores/{model.name}"],
    )  # fmt: skip
    return SlidingWindowPredictor(echo, batch_size)


@pytest.fixture(scope="module")
def noise(tmp_path_factory):
    """Images of three channels, (2, 47, 40, 3), and the description of their patches: two rows of two in each slice."""
    folder = tmp_path_factory.mktemp("noise")
    images = np.random.default_rng(0).random((2, 47, 40, 3), np.float32)
    write_patches(
        images, np.zeros((2, 47, 40), np.uint8), side=32, stride=24, background=0, description=folder / "a_patches.json",
        images_path=folder / "i.b2nd", labels_path=folder / "l.b2nd",
    )  # fmt: skip
    return images, folder / "a_patches.json"


def test_row_blocks_are_the_overlap_mean_of_the_patches(predictor, session, scores):
    found = np.full((3, 47, 40, 3), np.nan, np.float32)
    for block in predictor.row_blocks(session[2][0].patches):
        found[block.number, block.rows] = block.scores("E2+Arith")
    assert found == pytest.approx(scores["E2+Arith"], abs=1e-5)


@pytest.mark.usefixtures("eagerly")
@pytest.mark.parametrize("batch_size", [1, 2, 64])
def test_row_blocks_do_not_depend_on_the_batch_size(noise, batch_size):
    images, patches = noise
    for block in echo_predictor(batch_size).row_blocks(patches):
        assert block.scores("U1") == pytest.approx(images[block.number, block.rows])


@pytest.mark.usefixtures("eagerly")
def test_row_blocks_halves_the_batch_when_out_of_memory_and_yields_no_row_twice(noise, caplog):
    images, patches = noise
    predictor, sizes = echo_predictor(8), []

    def forward(batch):
        sizes.append(len(batch))
        # The first row of patches succeeds; then the device has room for one patch only.
        if len(batch) > 1 and len(sizes) > 1:
            raise out_of_memory()
        return {"scores/U1": batch}

    predictor._forward = [forward]
    with caplog.at_level("INFO", "lumbarseg"):
        found = [(block.number, block.rows, block.scores("U1")) for block in predictor.row_blocks(patches)]
    assert sizes[:4] == [2, 2, 1, 1]
    assert [record.message for record in caplog.records] == ["out of memory with 2 patches per forward pass; continuing with 1"]  # fmt: skip
    assert [(number, rows.start, rows.stop) for number, rows, _ in found] == [
        (number, *rows) for number in range(2) for rows in ((0, 15), (15, 47))
    ]
    for number, rows, scores in found:
        assert scores == pytest.approx(images[number, rows])


@pytest.mark.usefixtures("eagerly")
def test_row_blocks_reports_when_one_patch_does_not_fit_into_memory(noise):
    predictor = echo_predictor(8)

    def forward(batch):
        raise out_of_memory()

    predictor._forward = [forward]
    with pytest.raises(InputError, match="out of memory with one patch, 1 networks and 1 models; use a GPU with more"):
        next(predictor.row_blocks(noise[1]))


@pytest.mark.usefixtures("eagerly")
@settings(max_examples=30, deadline=None)
@given(
    rows=st.integers(1, 60), columns=st.integers(1, 60), side=st.integers(4, 20), part=st.floats(0.3, 1),
    batch=st.integers(1, 4),
)  # fmt: skip
def test_row_blocks_equal_the_stitched_slice_bit_for_bit(rows, columns, side, part, batch):
    tiling = Tiling(rows, columns, side, max(1, int(part * side)))
    patches = np.random.default_rng(rows).random((tiling.count, side, side, 3), np.float32)
    row_blocks = [block.scores("U1") for block in echo_predictor(batch)._row_blocks_of_slice(patches, 0, tiling)]
    assert np.array_equal(np.concatenate(row_blocks), stitch(patches, tiling))
