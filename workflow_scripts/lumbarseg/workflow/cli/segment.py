"""`lumbarseg segment`: one patient, with a bundle and nothing else of the study."""

import argparse
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TextIO, cast

from lumbarseg.errors import InputError
from lumbarseg.temporary_files import temporary_folder
from lumbarseg.workflow.cli.arguments import add_command, add_output, path, positional_or_named, positive_int
from lumbarseg.workflow.cli.results import results_job

if TYPE_CHECKING:
    from lumbarseg.deployment.bundle import Bundle

_USAGE = """\
lumbarseg segment [--bundle BUNDLE] --t2w T2W [--t1w T1W] --output OUT [OPTIONS]
       lumbarseg segment BUNDLE T2W [T1W] OUT [OPTIONS]"""
_DESCRIPTION = """\
Segment one patient: convert the images, register T1w to T2w, run the networks, measure.
Without a bundle, the starter networks label drafts to be corrected; they saw phantoms alone.
Written to OUT, all on the grid of T2w (docs/segment.md describes each file):
  labels.nii.gz, labels.dcm                  class ids; DICOM-SEG only if T2W is a DICOM folder
  entropy.nii.gz, mutual_information.nii.gz  uncertainty, in nats
  measures.csv                               lengths in mm, areas in mm2, volumes in ml
  page.pdf                                   slices, labels, uncertainty and measures on one page
Sessions outside the training distribution are flagged. Images that are read and results that are in OUT
are never replaced, results only with --overwrite. Not a medical device.
"""
_EXAMPLES = """\
examples:
  lumbarseg segment --t2w dicom/T2 --t1w dicom/T1 --output out
  lumbarseg segment --bundle best.zip --t2w dicom/T2 --t1w dicom/T1 --output out
  lumbarseg segment --bundle best.zip --t2w t2.nii.gz --t1w t1.nii.gz --output out --device cpu --threads 4
  lumbarseg segment --bundle t2w_only.zip --t2w t2.mha --output out
  lumbarseg segment best.zip dicom/T2 dicom/T1 out
"""


class _Networks(NamedTuple):
    """How the networks run: device, CPU threads, and the names of classes that are left out."""

    device: str
    threads: int
    left_out: Sequence[str]


RESULTS = (
    "labels.nii.gz", "labels.dcm", "labels.txt", "entropy.nii.gz", "mutual_information.nii.gz", "measures.csv", "measures.json",
    "page.pdf", "page.png", "session.json", "t2w.nii.gz", "t1w.nii.gz",
)  # fmt: skip
"""Files that a run may leave, with its log."""


def add_parser(commands: Any) -> None:
    """Add the command to the command line."""
    parser = add_command(commands, "segment", "segment one patient", _DESCRIPTION, usage=_USAGE, epilog=_EXAMPLES)
    parser.add_argument(
        "--bundle", type=path, metavar="BUNDLE", help="file made by `snakemake bundle` (default: the starter bundle)"
    )
    parser.add_argument(
        "--t2w", type=path, metavar="T2W", help="sagittal T2w series: a DICOM folder, or a NIfTI, MHA or NRRD file"
    )
    parser.add_argument(
        "--t1w",
        type=path,
        metavar="T1W",
        help="sagittal T1w series of the same session, if the bundle was trained with T1w",
    )
    add_output(parser)
    parser.add_argument(
        "--device",
        choices=("auto", "cpu", "gpu"),
        default="auto",
        help="where the networks run (default: a GPU if there is one)",
    )
    parser.add_argument(
        "--threads",
        type=positive_int,
        metavar="N",
        help="CPU threads of the networks (default: all that this process may use)",
    )
    parser.add_argument(
        "--leave-out",
        action="append",
        default=[],
        metavar="CLASS",
        help="a class whose pixels become background, such as one that the starter networks fail on; may be given several times",
    )
    parser.add_argument("positional", type=path, nargs="*", help=argparse.SUPPRESS)
    parser.set_defaults(run=lambda parsed: run(parser, parsed))


def run(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> None:
    """Segment a patient.

    Raises:
        InputError: the bundle cannot be used, the images are not those it takes, or the folder cannot be written to. A later
            error ends the process with one sentence and status 1; the traceback is in OUT/segment.log.
    """
    forms = {3: ("bundle", "t2w", "output"), 4: ("bundle", "t2w", "t1w", "output")}
    positional_or_named(parser, arguments, ("t2w", "output"), forms)
    available = len(os.sched_getaffinity(0))
    if (threads := arguments.threads or available) > available:
        parser.error(f"--threads {threads}: this process may use {available} processors")
    from lumbarseg.deployment.bundle import Bundle
    from lumbarseg.deployment.starter import starter_bundle
    from lumbarseg.user_files import user_sidecar
    from lumbarseg.workflow.joblog import open_terminal

    bundle = Bundle(arguments.bundle or starter_bundle(["T2w", "T1w"] if arguments.t1w else ["T2w"]))
    sources = _sources(bundle, arguments.t2w, arguments.t1w)
    _require_classes(bundle, arguments.leave_out)
    # TensorFlow's start-up lines; errors still go to the log.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    if arguments.device == "cpu":
        # Before TensorFlow is imported, so that it does not start the GPU's driver.
        os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
    terminal = open_terminal()
    inputs = [bundle.path, *sources.values(), *map(user_sidecar, sources.values())]
    with results_job("segment", arguments.output, RESULTS, inputs, arguments.overwrite) as out:
        title = f"Lumbar spine, {arguments.output.resolve().name}"
        flags = _segment(
            bundle, sources, (out, title), _Networks(arguments.device, threads, arguments.leave_out), terminal
        )
    for flag in flags:
        print(f"flagged: {flag}", file=terminal)
    page = arguments.output / "page.pdf"
    print(f"done: results in {arguments.output}; {page} shows them on one page", file=terminal, flush=True)


def _sources(bundle: "Bundle", t2w: Path, t1w: Path | None) -> dict[str, Path]:
    """The images by contrast, in the order of the bundle's channels."""
    channels = bundle.manifest["channels"]
    if "T1w" in channels and t1w is None:
        raise InputError(f"{bundle.path}: trained with T2w and T1w images; add the T1w series (--t1w)")
    if "T1w" not in channels and t1w is not None:
        raise InputError(f"{bundle.path}: trained with T2w images only; leave out the T1w series (--t1w)")
    given = {"T2w": t2w, "T1w": t1w}
    return {contrast: cast(Path, given[contrast]) for contrast in channels}


def _require_classes(bundle: "Bundle", names: Sequence[str]) -> None:
    known = [one["name"] for one in bundle.manifest["classes"] if one["id"] != bundle.manifest["background"]]
    for name in names:
        if name not in known:
            raise InputError(f"--leave-out {name}: not a class of {bundle.path}; choose of {', '.join(known)}")


def _segment(
    bundle: "Bundle", sources: Mapping[str, Path], out: tuple[Path, str], networks: _Networks, terminal: TextIO
) -> list[str]:
    """Make the results in a folder, with a title for the page; return all flags."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    columns = TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), TimeRemainingColumn()
    with Progress(*columns, console=Console(file=terminal)) as progress:
        task = progress.add_task("converting images", total=1.0)
        return _steps(bundle, sources, out, networks, lambda **changes: progress.update(task, **changes))


def _steps(
    bundle: "Bundle", sources: Mapping[str, Path], out: tuple[Path, str], networks: _Networks, on_progress: Any
) -> list[str]:
    bundle.check()
    folder, title = out
    with temporary_folder("session") as scratch:
        images = _prepare(bundle, sources, folder, scratch, on_progress)
        on_progress(description=f"loading {bundle.model.name}")
        record = _segment_images(bundle, images, folder, networks, on_progress)
    on_progress(description="measuring")
    return _write_results(bundle, sources["T2w"], folder, title, record)


def _prepare(
    bundle: "Bundle", sources: Mapping[str, Path], out: Path, scratch: Path, on_progress: Any
) -> Mapping[str, Any]:
    """Convert and register. Images that cannot be segmented are refused here, before TensorFlow is loaded."""
    from lumbarseg.config.image_sections import Registration
    from lumbarseg.deployment.input_checks import require_mr, require_one_patient, require_same_image
    from lumbarseg.geometry import load_image
    from lumbarseg.imaging.conversion import Contrast, convert
    from lumbarseg.imaging.registration.session import register
    from lumbarseg.imaging.series_selection import remarks_of

    require_one_patient(sources)
    aligned = {contrast: out / f"{contrast.lower()}.nii.gz" for contrast in sources}
    converted = {**aligned, "T1w": scratch / "t1w.nii.gz"} if "T1w" in sources else aligned
    sidecars = {contrast: scratch / f"{contrast}.json" for contrast in sources}
    records = {}
    for contrast, source in sources.items():
        records[contrast] = convert(source, cast(Contrast, contrast), converted[contrast], sidecars[contrast])
        require_mr(load_image(converted[contrast]), source)
        if contrast == "T2w":
            # `out` is a folder in the user's folder, which has the results that are to be replaced.
            require_same_image(out.parent, load_image(converted[contrast]))
    if "T1w" not in sources:
        return {"aligned": aligned, "sidecars": sidecars, "remarks": remarks_of(records)}
    on_progress(description="registering T1w")
    register(
        aligned["T2w"],
        converted["T1w"],
        aligned["T1w"],
        scratch / "matrix.txt",
        scratch / "registration.json",
        Registration.model_validate(bundle.settings["registration"]),
        names=(sources["T2w"], sources["T1w"]),
    )
    return {
        "aligned": aligned,
        "sidecars": sidecars,
        "registration": scratch / "registration.json",
        "remarks": remarks_of(records),
    }


def _segment_images(
    bundle: "Bundle", images: Mapping[str, Any], out: Path, networks: _Networks, on_progress: Any
) -> dict[str, Any]:
    from lumbarseg.deployment.segmenter import Segmenter, SessionImages, SessionOutputs, segment_session
    from lumbarseg.training.device import prepare_device

    prepare_device(networks.device, networks.threads, {"precision": "float32", "seed": 0, "xla": False})
    segmenter = Segmenter(bundle, networks.left_out)
    on_progress(description="segmenting")
    outputs = SessionOutputs(
        out / "labels.nii.gz", out / "entropy.nii.gz", out / "mutual_information.nii.gz", out / "session.json"
    )
    return segment_session(segmenter, SessionImages(**images), outputs, lambda part: on_progress(completed=part))


def _write_results(bundle: "Bundle", source: Path, out: Path, title: str, record: Mapping[str, Any]) -> list[str]:
    from lumbarseg.atomic_io import write_json
    from lumbarseg.deployment.morphometry import DICTIONARY
    from lumbarseg.deployment.session_results import write_results
    from lumbarseg.itksnap import write_descriptions
    from lumbarseg.labels import LabelTable

    table = LabelTable(bundle.manifest["classes"], bundle.manifest["background"])
    write_descriptions(out / "labels.txt", table)
    write_json(out / "measures.json", DICTIONARY)
    flags = write_results(
        labels_path=out / "labels.nii.gz",
        t2w_path=out / "t2w.nii.gz",
        entropy_path=out / "entropy.nii.gz",
        record=record,
        table=table,
        identity={},
        title=title,
        measures_path=out / "measures.csv",
        pdf_path=out / "page.pdf",
        png_path=out / "page.png",
        dicom=(source, out / "labels.dcm") if source.is_dir() else None,
    )
    write_json(out / "session.json", {**record, "flags": flags})
    return flags
