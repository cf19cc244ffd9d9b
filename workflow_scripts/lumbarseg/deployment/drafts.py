"""Drafts of masks: labels of a bundle in a folder that opens in ITK-SNAP, to be corrected by hand."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lumbarseg.atomic_io import atomic_copy, atomic_write, digest, write_json
from lumbarseg.deployment.draft_list import itksnap_command
from lumbarseg.deployment.segmenter import Segmenter, SessionImages, SessionOutputs, segment_session
from lumbarseg.geometry import load_image, sagittal_view
from lumbarseg.inference.prediction import write_labels
from lumbarseg.itksnap import write_descriptions
from lumbarseg.labels import LabelTable
from lumbarseg.temporary_files import temporary_folder


@dataclass(frozen=True)
class DraftFiles:
    """Paths of a draft.

    Attributes:
        draft: class ids on the T2w grid.
        entropy: nats, on the T2w grid.
        images: by contrast, the copy of an image on the T2w grid.
        descriptions: ITK-SNAP's label descriptions.
        command: the command line that opens the folder's files.
        record: JSON, see `write_draft`.
        labels: the draft in the values of the study's masks, which a user corrects. Not written again once a user has changed them; see `was_changed`.
        checksum: SHA-256 of `labels` as they were written; see `put_labels`.
        labels_draft: class ids of the draft that `labels` were made of; what corrections are compared with.
        labels_record: the record of that draft, JSON.
    """

    draft: Path
    entropy: Path
    images: Mapping[str, Path]
    descriptions: Path
    command: Path
    record: Path
    labels: Path
    checksum: Path
    labels_draft: Path
    labels_record: Path


def write_draft(
    segmenter: Segmenter,
    images: SessionImages,
    files: DraftFiles,
    labels: LabelTable,
    on_progress: Callable[[float], None] = lambda fraction: None,
) -> tuple[dict[str, Any], bool]:
    """Segment a session, and write its draft with all that is needed to correct it.

    Args:
        segmenter: the segmenter of a bundle that has the study's classes.
        images: the images of the session.
        files: the files to write.
        labels: the study's label table, with the values of its masks.
        on_progress: called regularly with the finished fraction, up to 1.

    Returns:
        The record: that of `segmenter.describe_session`; labelled_share, the share of pixels that are not
        background (0 … 1); and mean_entropy over these pixels (nats, null if there are none). And whether the labels are those of
        the draft: not if a user has changed earlier ones, which are kept.

    Raises:
        InputError: a class of the draft has no label in the study's masks.
    """
    with temporary_folder("draft") as folder:
        outputs = SessionOutputs(folder / "dseg.nii.gz", files.entropy, folder / "mi.nii.gz", folder / "record.json")
        record = segment_session(segmenter, images, outputs, on_progress)
        reference = load_image(outputs.labels)
    ids = sagittal_view(np.asanyarray(reference.dataobj), reference.affine).astype(np.uint8)
    labelled = ids != labels.background
    uncertain = load_image(files.entropy)
    nats = sagittal_view(uncertain.get_fdata(dtype=np.float32), uncertain.affine)
    record |= {
        "labelled_share": round(float(labelled.mean()), 5),
        "mean_entropy": round(float(nats[labelled].mean()), 4) if labelled.any() else None,
    }
    write_labels(files.draft, ids, reference)
    for contrast, path in files.images.items():
        atomic_copy(images.aligned[contrast], path)
    write_descriptions(files.descriptions, labels, labels.mask_values())
    with atomic_write(files.command) as temporary:
        temporary.write_text(itksnap_command(list(files.images)) + "\n", encoding="utf-8")
    is_offered = not was_changed(files.labels, files.checksum)
    if is_offered:
        # First, so that a job that ends in between leaves no labels without the draft that they were made of.
        atomic_copy(files.draft, files.labels_draft)
        write_json(files.labels_record, record)
        with temporary_folder("draft") as scratch:
            offered = scratch / "labels.nii.gz"
            write_labels(offered, labels.to_mask_values(ids, str(segmenter.bundle.path)), reference)
            put_labels(offered, files.labels, files.checksum)
    write_json(files.record, record)
    return record, is_offered


def was_changed(labels: Path, checksum: Path) -> bool:
    """Tell whether a user has changed labels since `put_labels` wrote them.

    Args:
        labels: the labels, which need not exist.
        checksum: their SHA-256, as `put_labels` wrote it; labels without one that can be read count as changed.
    """
    if not labels.exists():
        return False
    try:
        return digest(labels).encode() not in checksum.read_bytes().split()
    except OSError:
        return True


def put_labels(offered: Path, labels: Path, checksum: Path) -> None:
    """Put labels where a user corrects them.

    A job that ends in between leaves labels, the earlier ones or these, that do not count as changed.

    Args:
        offered: the labels.
        labels: where they are put; earlier ones that a user has not changed are replaced.
        checksum: SHA-256 of what is put there, as `sha256sum --check` reads it.
    """
    new = digest(offered)
    _write_checksums(checksum, labels, [new, digest(labels)] if labels.exists() else [new])
    atomic_copy(offered, labels)
    _write_checksums(checksum, labels, [new])


def _write_checksums(checksum: Path, labels: Path, digests: Sequence[str]) -> None:
    with atomic_write(checksum) as temporary:
        temporary.write_text("".join(f"{one}  {labels.name}\n" for one in digests), encoding="utf-8")
