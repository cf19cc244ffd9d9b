"""`python -m lumbarseg segment`: one patient, with a bundle and nothing else of the study."""

import argparse
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from lumbarseg.deployment.bundle import Bundle
from lumbarseg.errors import InputError
from lumbarseg.workflow.joblog import job


def add_parser(commands: Any) -> None:
    """Add the command to `python -m lumbarseg`."""
    parser = commands.add_parser(
        "segment",
        help="segment one patient with a bundle",
        description="Segment one patient with a bundle. What is written to OUT is described in docs/segment.md.",
    )
    parser.add_argument("bundle", type=Path, metavar="BUNDLE", help="made by `snakemake bundle`")
    parser.add_argument(
        "images", type=Path, nargs="+", metavar=("T2W", "T1W"), help="DICOM folders, or NIfTI, MHA or NRRD files"
    )
    parser.add_argument("out", type=Path, metavar="OUT", help="folder of the results; made where it is missing")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Segment a patient.

    Raises:
        InputError: the bundle cannot be used, or the images are not those it takes. What is found out later ends the process
            with a sentence and status 1, and the traceback is in OUT/segment.log.
    """
    bundle = Bundle(arguments.bundle)
    channels = bundle.manifest["channels"]
    if len(arguments.images) != len(channels):
        raise InputError(
            f"{arguments.bundle}: expected {len(channels)} images before OUT ({', '.join(channels)}), for which it was trained, "
            f"found {len(arguments.images)}; name {'both' if len(channels) == 2 else 'T2w alone'}"
        )
    # TensorFlow's start-up lines; errors still go to the log.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    terminal = os.fdopen(os.dup(2), "w")
    with job(arguments.out / "segment.log"):
        _segment(bundle, dict(zip(channels, arguments.images, strict=True)), arguments.out, terminal)


def _segment(bundle: Bundle, sources: Mapping[str, Path], out: Path, terminal: Any) -> None:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    columns = TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), TimeRemainingColumn()
    with Progress(*columns, console=Console(file=terminal)) as progress:
        task = progress.add_task("converting images", total=1.0)
        record = _steps(bundle, sources, out, lambda **changes: progress.update(task, **changes))
    for flag in record["flags"]:
        print(f"look closer: {flag}", file=terminal)
    print(f"done: {out / 'page.pdf'}, {out / 'labels.nii.gz'} and more in {out}", file=terminal, flush=True)


def _steps(bundle: Bundle, sources: Mapping[str, Path], out: Path, on_progress: Any) -> dict[str, Any]:
    bundle.check()
    with tempfile.TemporaryDirectory(prefix="lumbarseg-session-") as scratch:
        images = _prepare(bundle, sources, out, Path(scratch), on_progress)
        on_progress(description=f"loading {bundle.model.name}")
        record = _segment_images(bundle, images, out, on_progress)
    on_progress(description="measuring")
    _write_results(bundle, sources["T2w"], out, record)
    return record


def _prepare(
    bundle: Bundle, sources: Mapping[str, Path], out: Path, scratch: Path, on_progress: Any
) -> Mapping[str, Any]:
    """Convert and register; what cannot be segmented is told here, before TensorFlow is loaded."""
    from lumbarseg.config.schema import Registration
    from lumbarseg.deployment.input_checks import require_mr, require_one_patient
    from lumbarseg.geometry import load_image
    from lumbarseg.imaging.conversion import Contrast, convert
    from lumbarseg.imaging.registration.session import register

    require_one_patient(sources)
    aligned = {contrast: out / f"{contrast.lower()}.nii.gz" for contrast in sources}
    converted = {**aligned, "T1w": scratch / "t1w.nii.gz"} if "T1w" in sources else aligned
    sidecars = {contrast: scratch / f"{contrast}.json" for contrast in sources}
    for contrast, source in sources.items():
        convert(source, cast(Contrast, contrast), converted[contrast], sidecars[contrast])
        require_mr(load_image(converted[contrast]), source)
    if "T1w" not in sources:
        return {"aligned": aligned, "sidecars": sidecars}
    on_progress(description="registering T1w")
    register(
        aligned["T2w"],
        converted["T1w"],
        aligned["T1w"],
        scratch / "matrix.txt",
        scratch / "registration.json",
        Registration.model_validate(bundle.settings["registration"]),
    )
    return {"aligned": aligned, "sidecars": sidecars, "registration": scratch / "registration.json"}


def _segment_images(bundle: Bundle, images: Mapping[str, Any], out: Path, on_progress: Any) -> dict[str, Any]:
    from lumbarseg.deployment.segmenter import Segmenter, SessionImages, SessionOutputs, segment_session
    from lumbarseg.training.device import prepare_device

    prepare_device("auto", len(os.sched_getaffinity(0)), {"precision": "float32", "seed": 0, "xla": False})
    segmenter = Segmenter(bundle)
    on_progress(description="segmenting")
    outputs = SessionOutputs(
        out / "labels.nii.gz", out / "entropy.nii.gz", out / "mutual_information.nii.gz", out / "session.json"
    )
    return segment_session(segmenter, SessionImages(**images), outputs, lambda part: on_progress(completed=part))


def _write_results(bundle: Bundle, source: Path, out: Path, record: Mapping[str, Any]) -> None:
    from lumbarseg.atomic_io import write_json
    from lumbarseg.deployment.morphometry import DICTIONARY
    from lumbarseg.deployment.session_results import write_results
    from lumbarseg.geometry import load_image
    from lumbarseg.itksnap import write_descriptions
    from lumbarseg.labels import LabelTable

    table = LabelTable(bundle.manifest["classes"], bundle.manifest["background"])
    write_descriptions(out / "labels.txt", table)
    write_json(out / "measures.json", DICTIONARY)
    write_results(
        labels_path=out / "labels.nii.gz",
        t2w_path=out / "t2w.nii.gz",
        entropy_path=out / "entropy.nii.gz",
        record=record,
        table=table,
        identity={},
        title=f"Lumbar spine, {out.name}",
        measures_path=out / "measures.csv",
        pdf_path=out / "page.pdf",
        png_path=out / "page.png",
    )
    if source.is_dir():
        from lumbarseg.deployment.dicomseg import write_dicomseg

        labels = load_image(out / "labels.nii.gz")
        write_dicomseg(out / "labels.dcm", labels, source, table, record["experiment"])
