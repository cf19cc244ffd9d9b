"""Drafts of masks: what is written, and that no correction is written over."""

import nibabel as nib
import numpy as np
import pytest

from factories.bundle import CLASSES, NETWORK, small_bundle
from factories.orientation import affine_of
from lumbarseg.atomic_io import digest, read_json, write_json
from lumbarseg.deployment import drafts
from lumbarseg.deployment.bundle import Bundle
from lumbarseg.deployment.drafts import DraftFiles, put_labels, was_changed, write_draft
from lumbarseg.deployment.segmenter import Segmentation, Segmenter, SessionImages
from lumbarseg.geometry import from_sagittal_view, volume
from lumbarseg.inference.uncertainty import MEASURES
from lumbarseg.labels import LabelTable

SHAPE = (2, 40, 45)
LABELS = LabelTable([entry | {"values": [10 * entry["id"]]} for entry in CLASSES])


@pytest.fixture
def segmenter(tmp_path, monkeypatch):
    """A segmenter that finds discs in the upper third and canal in the middle one, with an entropy that grows over the columns."""
    found = np.zeros(SHAPE, np.uint8)
    found[:, :13], found[:, 13:26] = 1, 2
    entropy = np.broadcast_to(np.arange(SHAPE[2], dtype=np.uint8), SHAPE)
    made = Segmenter(Bundle(small_bundle(tmp_path, NETWORK)))
    monkeypatch.setattr(made, "segment", lambda *_: Segmentation(found, dict.fromkeys(MEASURES, entropy)))
    return made


@pytest.fixture
def images(tmp_path):
    aligned, sidecars = {}, {}
    for number, contrast in enumerate(("T2w", "T1w")):
        view = np.random.default_rng(number).integers(1, 900, SHAPE).astype(np.int16)
        affine = affine_of("LPS")
        aligned[contrast], sidecars[contrast] = tmp_path / f"{contrast}.nii.gz", tmp_path / f"{contrast}.json"
        nib.save(volume(from_sagittal_view(view, affine), affine), aligned[contrast])
        write_json(sidecars[contrast], {"EchoTime": 0.1})
    report = {"fell_back_to_header": False, "reason": None, "unusual": False, "shift_length_mm": 1.0}
    write_json(tmp_path / "registration.json", report)
    return SessionImages(aligned, sidecars, tmp_path / "registration.json")


@pytest.fixture
def files(tmp_path):
    folder = tmp_path / "draft"
    names = (
        "draft.nii.gz",
        "entropy.nii.gz",
        "labels.txt",
        "command.txt",
        "draft.json",
        "labels.nii.gz",
        "labels.sha256",
        "labels_draft.nii.gz",
        "labels_draft.json",
    )
    draft, entropy, descriptions, command, record, *of_labels = (folder / name for name in names)
    copies = {"T2w": folder / "t2w.nii.gz", "T1w": folder / "t1w.nii.gz"}
    return DraftFiles(draft, entropy, copies, descriptions, command, record, *of_labels)


def voxels(path):
    return np.asarray(nib.load(path).dataobj)


def test_write_draft_writes_class_ids_mask_values_and_copies(segmenter, images, files):
    record, is_offered = write_draft(segmenter, images, files, LABELS)
    assert is_offered
    assert sorted(np.unique(voxels(files.draft))) == [0, 1, 2]
    assert (voxels(files.labels) == 10 * voxels(files.draft)).all()
    assert files.images["T1w"].read_bytes() == images.aligned["T1w"].read_bytes()
    assert "-o t1w.nii.gz" in files.command.read_text()
    assert "20" in files.descriptions.read_text().splitlines()[-1].split()
    assert read_json(files.record) == record
    assert record["labelled_share"] == pytest.approx(26 / 40)
    assert record["mean_entropy"] == pytest.approx(22 * np.log(3) / 255, abs=1e-4)


def test_write_draft_leaves_corrections_and_the_draft_they_were_made_of(segmenter, images, files, tmp_path):
    write_draft(segmenter, images, files, LABELS)
    assert (voxels(files.labels_draft) == voxels(files.draft)).all()
    record = read_json(files.labels_record)
    of_labels = files.labels, files.labels_draft, files.labels_record
    nib.save(nib.Nifti1Image(np.zeros_like(voxels(files.labels)), nib.load(files.labels).affine), files.labels)
    before = [path.read_bytes() for path in of_labels]
    other = Segmenter(segmenter.bundle, ["Int-Disc"])
    other.segment = lambda *_: Segmentation(
        np.zeros(SHAPE, np.uint8), dict.fromkeys(MEASURES, np.zeros(SHAPE, np.uint8))
    )
    changed, is_offered = write_draft(other, images, files, LABELS)
    assert not is_offered
    assert changed != record
    assert [path.read_bytes() for path in of_labels] == before
    assert not voxels(files.draft).any()
    assert (
        "no class found, all pixels but those of classes that are left out (Int-Disc) are background; check the images"
        in changed["flags"]
    )
    assert changed["mean_entropy"] is None


def test_was_changed_is_false_for_labels_that_were_put_there(tmp_path):
    offered, labels, checksum = (tmp_path / name for name in ("new.nii.gz", "labels.nii.gz", "labels.sha256"))
    assert not was_changed(labels, checksum)
    for content in (b"first", b"second"):
        offered.write_bytes(content)
        put_labels(offered, labels, checksum)
        assert labels.read_bytes() == content
        assert not was_changed(labels, checksum)
    labels.write_bytes(b"corrected")
    assert was_changed(labels, checksum)
    labels.write_bytes(b"second")
    checksum.unlink()
    assert was_changed(labels, checksum)


@pytest.mark.parametrize("content", [b"", b"\n", b"\xff\xfe\x00", b"0" * 64 + b"  labels.nii.gz\n"])
def test_was_changed_keeps_labels_whose_checksum_is_damaged(tmp_path, content):
    labels, checksum = tmp_path / "labels.nii.gz", tmp_path / "labels.sha256"
    labels.write_bytes(b"drawn")
    checksum.write_bytes(content)
    assert was_changed(labels, checksum)
    checksum.unlink()
    checksum.mkdir()
    assert was_changed(labels, checksum)


@pytest.mark.parametrize("copied", [False, True])
def test_put_labels_leaves_none_that_count_as_changed_where_it_is_killed(tmp_path, monkeypatch, copied):
    offered, labels, checksum = (tmp_path / name for name in ("new.nii.gz", "labels.nii.gz", "labels.sha256"))
    offered.write_bytes(b"first")
    put_labels(offered, labels, checksum)
    offered.write_bytes(b"second")

    def killed(source, target):
        if copied:
            target.write_bytes(source.read_bytes())
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(drafts, "atomic_copy", killed)
        put_labels(offered, labels, checksum)
    assert labels.read_bytes() == (b"second" if copied else b"first")
    assert not was_changed(labels, checksum)
    put_labels(offered, labels, checksum)
    assert checksum.read_text() == f"{digest(offered)}  labels.nii.gz\n"
    labels.write_bytes(b"first")
    assert was_changed(labels, checksum)
