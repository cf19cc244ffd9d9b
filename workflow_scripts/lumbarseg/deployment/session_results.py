"""Results of a segmented session other than its labels: DICOM-SEG, the table of measures and the page."""

import logging
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np

from lumbarseg.atomic_io import atomic_write
from lumbarseg.deployment.dicomseg import write_dicomseg
from lumbarseg.deployment.morphometry import measure
from lumbarseg.deployment.session_page import session_page
from lumbarseg.errors import InputError
from lumbarseg.geometry import load_image, sagittal_spacing, sagittal_view
from lumbarseg.labels import LabelTable
from lumbarseg.reporting.figures.style import RESOLUTION
from lumbarseg.spreadsheets import harmless_table

logger = logging.getLogger("lumbarseg")


def write_results(
    *,
    labels_path: Path,
    t2w_path: Path,
    entropy_path: Path,
    record: Mapping[str, Any],
    table: LabelTable,
    identity: Mapping[str, str],
    title: str,
    measures_path: Path,
    pdf_path: Path,
    png_path: Path,
    dicom: tuple[Path, Path] | None = None,
) -> list[str]:
    """Measure a label map, and write its table, its page and, of a DICOM series, its DICOM-SEG.

    Labels are there already. A DICOM-SEG that cannot be written is therefore a flag, and no error.

    Args:
        labels_path: class ids on the T2w grid.
        t2w_path: the converted T2w image.
        entropy_path: the map of entropy, nats.
        record: from `segmenter.describe_session`.
        table: the label table.
        identity: columns before the measures, such as participant_id and session_id; may be empty.
        title: title of the page.
        measures_path: the CSV to write; `morphometry.DICTIONARY` describes its columns.
        pdf_path: the page to write.
        png_path: the same page, 300 dots per inch.
        dicom: the folder of the T2w series and the DICOM-SEG to write; None if the T2w is no DICOM series.

    Returns:
        All flags: those of the record, and of what could not be written.
    """
    flags = [*record["flags"], *(_write_dicomseg(*dicom, labels_path, table, record["experiment"]) if dicom else [])]
    images = [load_image(path, "segment") for path in (labels_path, t2w_path, entropy_path)]
    labels, t2w, entropy = (sagittal_view(np.asanyarray(image.dataobj), image.affine) for image in images)
    labels, spacing = labels.astype(np.uint8), sagittal_spacing(images[1].affine)
    measures = measure(labels, t2w, spacing, table)
    shown = measures.assign(**identity)[[*identity, *measures.columns]]
    with atomic_write(measures_path) as temporary:
        harmless_table(shown).to_csv(temporary, index=False, float_format="%.6g")
    page = session_page(
        t2w=t2w,
        labels=labels,
        entropy=entropy,
        spacing=spacing,
        measures=measures,
        flags=flags,
        title=title,
        subtitle=record["made_by"],
        table=table,
    )
    # The PDF has searchable text, and no date, so that the same page gives the same bytes.
    with matplotlib.rc_context({"pdf.fonttype": 42}):
        with atomic_write(pdf_path) as temporary:
            page.savefig(temporary, format="pdf", dpi=RESOLUTION, metadata={"CreationDate": None})
        with atomic_write(png_path) as temporary:
            page.savefig(temporary, format="png", dpi=RESOLUTION, metadata={"Software": None})
    return flags


def _write_dicomseg(source: Path, path: Path, labels_path: Path, table: LabelTable, algorithm: str) -> list[str]:
    """Write a DICOM-SEG; return a flag if that fails, for whatever reason. One of an earlier run is removed."""
    path.unlink(missing_ok=True)
    try:
        write_dicomseg(path, load_image(labels_path, "segment"), source, table, algorithm)
    except Exception as error:  # headers of vendors break libraries in many ways, and the labels are good
        # Where it failed, without the texts of libraries, which may quote a header.
        places = "".join(traceback.format_tb(error.__traceback__))
        logger.error("%s: DICOM-SEG not written, %s\n%s", source, type(error).__name__, places)
        reason = str(error) if isinstance(error, InputError) else f"{type(error).__name__}, see the log"
        return [f"DICOM-SEG not written: {reason}"]
    return []
