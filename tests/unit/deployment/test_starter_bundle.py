"""The starter bundles that come with the workflow: any orientation, pixel size and slice spacing gives the same labels."""

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from factories.orientation import ORIENTATIONS, affine_of
from lumbarseg.deployment.bundle import Bundle
from lumbarseg.deployment.manifest_model import DRAFT
from lumbarseg.deployment.segmenter import Segmenter
from lumbarseg.deployment.starter import FOLDER, starter_bundle
from lumbarseg.evaluation.metrics import iou
from lumbarseg.geometry import from_sagittal_view, sagittal_spacing, sagittal_view
from lumbarseg.imaging.normalisation import zscore
from lumbarseg.synthesis.samples import draw_image
from lumbarseg.synthesis.tissue_slices import TEST_PIXEL_MM, write_phantom

CHANNELS = [("T2w",), ("T2w", "T1w")]
MOST_BYTES = 10_000_000


@pytest.fixture(scope="module")
def phantom(tmp_path_factory):
    """A phantom that no starter network has seen."""
    return write_phantom(tmp_path_factory.mktemp("phantom"), 1, 77, slices=3, side=448, pixel=TEST_PIXEL_MM)


@pytest.fixture(scope="module", params=CHANNELS, ids="_".join)
def segmenter(request):
    return Segmenter(Bundle(starter_bundle(request.param)))


@pytest.fixture(scope="module")
def session(segmenter, phantom):
    """Images (1, rows, columns, channels), as scanned, of the middle slice, and its labels."""
    image, truth = draw_image(
        phantom, 1, segmenter.bundle.manifest["channels"], TEST_PIXEL_MM, 0.2, np.random.default_rng(5)
    )
    return image[None], truth[None]


@pytest.fixture(scope="module")
def reference(segmenter, session):
    return labels_of(segmenter, session[0], TEST_PIXEL_MM)


def labels_of(segmenter, images, pixel):
    channels = np.stack([zscore(images[..., place], "slice") for place in range(images.shape[-1])], axis=-1)
    return segmenter.segment(channels, (pixel, pixel)).labels


def class_iou(truth, found):
    counts = [np.bincount(one.ravel(), minlength=12) for one in (truth, found, truth[truth == found])]
    return iou(*counts)[1:]


@pytest.mark.parametrize("channels", CHANNELS, ids="_".join)
def test_starter_bundle_is_small_and_has_a_card(channels):
    path = starter_bundle(channels)
    assert path.stat().st_size <= MOST_BYTES
    bundle = Bundle(path)
    bundle.check()
    assert bundle.is_starter
    assert bundle.manifest["channels"] == list(channels)
    assert set(bundle.manifest["verdicts"].values()) <= {DRAFT, "not to be used"}
    assert "**No patient.**" in bundle.card()
    assert not list(FOLDER.glob(".*"))


def test_starter_bundle_segments_a_phantom_it_has_not_seen(session, reference):
    assert np.nanmean(class_iou(session[1], reference)) > 0.7


@settings(max_examples=8, deadline=None)
@given(orientation=st.sampled_from(ORIENTATIONS), pixel=st.floats(0.4, 1.6), spacing=st.floats(3.0, 6.0))
def test_starter_bundle_gives_the_same_labels_at_any_orientation_and_pixel_size(
    segmenter, session, reference, orientation, pixel, spacing
):
    factor = TEST_PIXEL_MM / pixel
    smooth = ndimage.gaussian_filter(session[0], (0, *[0.42 * max(1 / factor - 1, 0)] * 2, 0))
    resampled = ndimage.zoom(smooth, (1, factor, factor, 1), order=1, grid_mode=True, mode="nearest")
    slices = np.repeat(resampled, 2, axis=0)
    # Stored in another orientation, and read back as the workflow does.
    views = []
    for place in range(slices.shape[-1]):
        stored, affine = stored_as(slices[..., place], orientation, (spacing, pixel, pixel))
        image = nib.Nifti1Image(stored, affine)
        assert sagittal_spacing(image.affine) == pytest.approx((spacing, pixel, pixel), rel=1e-5)
        views.append(sagittal_view(image.get_fdata(dtype=np.float32), image.affine))
    found = labels_of(segmenter, np.stack(views, axis=-1), pixel)
    np.testing.assert_array_equal(found[0], found[1])
    back = ndimage.zoom(
        found[:1], (1, *np.divide(reference.shape[1:], found.shape[1:])), order=0, grid_mode=True, mode="nearest"
    )
    # What the coarser grid alone costs.
    coarse = ndimage.zoom(reference, (1, factor, factor), order=0, grid_mode=True, mode="nearest")
    kept = ndimage.zoom(
        coarse, (1, *np.divide(reference.shape[1:], coarse.shape[1:])), order=0, grid_mode=True, mode="nearest"
    )
    assert np.nanmean(class_iou(reference, back)) > np.nanmean(class_iou(reference, kept)) - 0.12


def stored_as(view, orientation, spacing):
    """Return voxels and affine of a sagittal view stored in an orientation."""
    between, down, along = spacing
    affine = affine_of(orientation, mm=dict(zip("LRISPA", (between, between, down, down, along, along), strict=True)))
    return from_sagittal_view(view, affine), affine
