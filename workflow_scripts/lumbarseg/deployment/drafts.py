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
        draft: class ids on the T2w grid; what corrections are compared with.
        entropy: nats, on the T2w grid.
        images: by contrast, the copy of an image on the T2w grid.
        descriptions: ITK-SNAP's label descriptions.
        command: the command line that opens the folder's files.
        record: JSON, see `write_draft`.
        labels: the draft in the values of the study's masks, which a user corrects. Written once; see `offer_labels`.
        checksum: SHA-256 of `labels` as they were written.
    """

    draft: Path
    entropy: Path
    images: Mapping[str, Path]
    descriptions: Path
    command: Path
    record: Path
    labels: Path
    checksum: Path


def write_draft(
    segmenter: Segmenter,
    images: SessionImages,
    files: DraftFiles,
    labels: LabelTable,
    left_out: Sequence[str],
    on_progress: Callable[[float], None] = lambda fraction: None,
) -> tuple[dict[str, Any], bool]:
    """Segment a session, and write its draft with all that is needed to correct it.

    Args:
        segmenter: the segmenter of a bundle that has the study's classes.
        images: the images of the session.
        files: the files to write.
        labels: the study's label table, with the values of its masks.
        left_out: names of classes whose pixels become background.
        on_progress: called regularly with the finished fraction, up to 1.

    Returns:
        The record: that of `segmenter.describe_session`; classes_left_out; labelled_share, the share of pixels that are not
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
    found_any = bool((ids != labels.background).any())
    ids[np.isin(ids, [tissue.id for tissue in labels if tissue.name in left_out])] = labels.background
    drawn = ids != labels.background
    if found_any and not drawn.any():
        record["flags"].append("only classes that are left out were found; draw the mask from scratch")
    uncertain = load_image(files.entropy)
    nats = sagittal_view(uncertain.get_fdata(dtype=np.float32), uncertain.affine)
    record |= {
        "classes_left_out": list(left_out),
        "labelled_share": round(float(drawn.mean()), 5),
        "mean_entropy": round(float(nats[drawn].mean()), 4) if drawn.any() else None,
    }
    write_labels(files.draft, ids, reference)
    for contrast, path in files.images.items():
        atomic_copy(images.aligned[contrast], path)
    write_descriptions(files.descriptions, labels, labels.mask_values())
    with atomic_write(files.command) as temporary:
        temporary.write_text(itksnap_command(list(files.images)) + "\n", encoding="utf-8")
    with temporary_folder("draft") as scratch:
        offered = scratch / "labels.nii.gz"
        write_labels(offered, labels.to_mask_values(ids, str(segmenter.bundle.path)), reference)
        is_offered = offer_labels(offered, files.labels, files.checksum)
    write_json(files.record, record)
    return record, is_offered


def offer_labels(offered: Path, labels: Path, checksum: Path) -> bool:
    """Put labels where a user corrects them, unless the user has changed earlier ones.

    Args:
        offered: the labels.
        labels: where they are put.
        checksum: SHA-256 of what was put there, as `sha256sum --check` reads it.

    Returns:
        Whether they were put there.
    """
    if labels.exists():
        written = checksum.read_text(encoding="utf-8").split()[0] if checksum.exists() else ""
        if written != digest(labels):
            return False
    # The checksum goes first: a job that ends between the two leaves labels that count as changed, and are kept.
    with atomic_write(checksum) as temporary:
        temporary.write_text(f"{digest(offered)}  {labels.name}\n", encoding="utf-8")
    atomic_copy(offered, labels)
    return True
