"""Segmentation of new patients with a bundle: from converted images to labels and their uncertainty (Section 4.3)."""

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from lumbarseg.atomic_io import read_json, write_json
from lumbarseg.data.storage import write_array
from lumbarseg.data.tiling import Tiling, extract
from lumbarseg.deployment.anatomy_check import unusual_anatomy
from lumbarseg.deployment.bundle import Bundle, models_for_uncertainty
from lumbarseg.deployment.domain_check import out_of_range, session_profile
from lumbarseg.errors import InputError
from lumbarseg.evaluation.labelling import label_by_threshold, maximum_a_posteriori
from lumbarseg.geometry import load_image, sagittal_spacing, sagittal_view
from lumbarseg.imaging.normalisation import zscore
from lumbarseg.inference.prediction import uncertainty_of, write_labels, write_uncertainty
from lumbarseg.inference.resampling import at_size, resample_slices
from lumbarseg.inference.sliding_window import SlidingWindowPredictor, initial_batch_size
from lumbarseg.inference.uncertainty import MEASURES
from lumbarseg.labels import LabelTable
from lumbarseg.models.ensemble import Ensemble
from lumbarseg.models.metadata import load_network, network_metadata
from lumbarseg.models.precision import with_dtype


@dataclass(frozen=True)
class Segmentation:
    """Labels and uncertainty of a session; all (slices, rows, columns) in sagittal view.

    Attributes:
        labels: uint8 class ids.
        uncertainty: by `uncertainty.MEASURES`, uint8 in steps of 1/255 of the logarithm of the number of classes: entropy of
            the experiment's scores, and disagreement of the networks, which is 0 for a single network.
    """

    labels: NDArray[np.uint8]
    uncertainty: dict[str, NDArray[np.uint8]]


class Segmenter:
    """The model of a bundle, loaded once for any number of sessions."""

    def __init__(self, bundle: Bundle) -> None:
        """Load the networks, in float32 whatever they are stored in, because CPUs without mixed precision are slow in it.

        Raises:
            InputError: the bundle is damaged or inconsistent, or the installed versions cannot read it.
        """
        self.bundle = bundle
        manifest, self.model = bundle.manifest, bundle.model
        self.table = LabelTable(manifest["classes"], manifest["background"])
        self._limits = None
        if manifest["labelling"] == "TH":
            if list(manifest["thresholds"]) != self.table.names:
                found = ", ".join(manifest["thresholds"])
                raise bundle.unusable(f"thresholds of {found} instead of {', '.join(self.table.names)}")
            self._limits = np.array(list(manifest["thresholds"].values()), np.float32)
        self._networks, self._meta_learners = networks, meta_learners = self._load()
        side = manifest["patches"]["patch_size"]
        expected = (None, side, side, len(manifest["channels"])), (None, side, side, len(self.table))
        for name, network in networks.items():
            if (network.input_shape, network.output_shape) != expected:
                raise bundle.unusable(
                    f"{name} maps {network.input_shape} to {network.output_shape} instead of {expected[0]} to {expected[1]}"
                )
        try:
            self._ensemble = Ensemble(networks, list(models_for_uncertainty(self.model)), meta_learners)
        except InputError as error:
            raise bundle.unusable(f"the meta-learner does not fit the networks ({error})") from error
        self._predictor = SlidingWindowPredictor(self._ensemble, initial_batch_size(manifest["training"]["batch_size"]))

    def networks(self) -> tuple[dict[str, keras.Model], dict[str, keras.Model]]:
        """Return the networks by topology, and the meta-learner by model name, if there is one."""
        return self._networks, self._meta_learners

    def _load(self) -> tuple[dict[str, keras.Model], dict[str, keras.Model]]:
        manifest = self.bundle.manifest
        with tempfile.TemporaryDirectory(prefix="lumbarseg-bundle-") as scratch:
            files, meta_learners = self.bundle.extract(Path(scratch))
            try:
                networks, of_head = (
                    {name: with_dtype(load_network(file, self._metadata(name)), "float32") for name, file in named}
                    for named in (
                        zip(self.model.networks, files, strict=True),
                        [(self.model.name, meta_learner) for meta_learner in meta_learners],
                    )
                )
            except InputError as error:
                raise self.bundle.unusable(f"the networks do not belong together ({error})") from error
            except (ValueError, TypeError, KeyError, OSError) as error:
                made = manifest["versions"]
                raise InputError(
                    f"{self.bundle.path}: the installed Keras cannot read the networks ({error}); install keras {made['keras']} "
                    f"and tensorflow {made['tensorflow']}, with which the bundle was made"
                ) from error
        return networks, of_head

    def _metadata(self, name: str) -> dict[str, Any]:
        manifest = self.bundle.manifest
        return network_metadata(name, manifest["fold"], manifest["channels"], self.table.names)

    def segment(
        self,
        channels: NDArray[np.float32],
        spacing: tuple[float, float],
        on_progress: Callable[[float], None] = lambda fraction: None,
    ) -> Segmentation:
        """Segment the slices of a session, at the bundle's pixel size if it has one.

        Args:
            channels: (slices, rows, columns, channels) z-scores in sagittal view.
            spacing: mm between rows and between columns.
            on_progress: called regularly with the finished fraction, up to 1.

        Returns:
            Labels and uncertainty.
        """
        shape = channels.shape[:3]
        found = Segmentation(np.empty(shape, np.uint8), {name: np.empty(shape, np.uint8) for name in MEASURES})
        pixel_size = self.bundle.manifest.get("pixel_size")
        given = resample_slices(channels, spacing, pixel_size) if pixel_size else channels
        with tempfile.TemporaryDirectory(prefix="lumbarseg-patches-") as scratch:
            blocks = self._predictor.row_blocks(_cut(given, self.bundle.manifest["patches"], Path(scratch)))
            if pixel_size:
                blocks = at_size(blocks, shape[1:], [model.name for model in self._ensemble.models])
            for block in blocks:
                found.labels[block.number, block.rows] = self._label(block.scores(self.model.name))
                for name, values in uncertainty_of(block, self.model).items():
                    found.uncertainty[name][block.number, block.rows] = values
                on_progress((block.number + block.rows.stop / shape[1]) / shape[0])
        return found

    def _label(self, scores: NDArray[np.float32]) -> NDArray[np.uint8]:
        if self._limits is None:
            return maximum_a_posteriori(scores)
        return label_by_threshold(scores, self._limits, self.table.background)


def _cut(channels: NDArray[np.float32], patches: Mapping[str, int], folder: Path) -> Path:
    """Cut slices into patches (Section 3.1.3) and return the description that `SlidingWindowPredictor.row_blocks` reads."""
    slices, rows, columns, _ = channels.shape
    tiling = Tiling(rows, columns, patches["patch_size"], patches["stride"])
    write_array(folder / "images.b2nd", np.concatenate([extract(image, tiling) for image in channels]))
    description = folder / "patches.json"
    size = {"slices": slices, "rows": rows, "columns": columns, "side": tiling.side, "stride": tiling.stride}
    write_json(description, {**size, "images": "images.b2nd"})
    return description


@dataclass(frozen=True)
class SessionImages:
    """A session's images as `dicom.convert` and `registration.register` made them.

    Attributes:
        aligned: by contrast, in the order of the channels, the image on the T2w grid.
        sidecars: by contrast, its sidecar.
        registration: the report of the registration; None without T1w.
        remarks: what conversion found to be checked, as sentences.
    """

    aligned: Mapping[str, Path]
    sidecars: Mapping[str, Path]
    registration: Path | None = None
    remarks: Sequence[str] = ()


@dataclass(frozen=True)
class SessionOutputs:
    """Paths of a session's results.

    Attributes:
        labels: class ids, NIfTI on the T2w grid.
        entropy: nats, NIfTI.
        mutual_information: nats, NIfTI; 0 for a single network.
        record: JSON, the record of `describe_session`.
    """

    labels: Path
    entropy: Path
    mutual_information: Path
    record: Path


def segment_session(
    segmenter: Segmenter,
    images: SessionImages,
    outputs: SessionOutputs,
    on_progress: Callable[[float], None] = lambda fraction: None,
) -> dict[str, Any]:
    """Segment a session from its converted and registered images.

    Args:
        segmenter: the segmenter of the bundle.
        images: the images of the session, which are normalised like those of the training (Section 3.1.1).
        outputs: the files to write.
        on_progress: called regularly with the finished fraction, up to 1.

    Returns:
        The record of `describe_session`.
    """
    scope = segmenter.bundle.manifest["normalisation"]["scope"]
    loaded = {contrast: load_image(path) for contrast, path in images.aligned.items()}
    views = [sagittal_view(one.get_fdata(dtype=np.float32), one.affine) for one in loaded.values()]
    channels = np.stack([zscore(view, scope) for view in views], axis=-1)
    reference = loaded["T2w"]
    found = segmenter.segment(channels, sagittal_spacing(reference.affine)[1:], on_progress)
    write_labels(outputs.labels, found.labels, reference)
    for path, measure in zip((outputs.entropy, outputs.mutual_information), MEASURES, strict=True):
        write_uncertainty(path, found.uncertainty[measure], reference, len(segmenter.table))
    registration = read_json(images.registration) if images.registration else None
    sidecars = {contrast: read_json(images.sidecars[contrast]) for contrast in loaded}
    record = describe_session(segmenter.bundle, channels, reference, sidecars, registration, found)
    record["flags"] = [*images.remarks, *record["flags"]]
    write_json(outputs.record, record)
    return record


def describe_session(
    bundle: Bundle,
    channels: NDArray[np.float32],
    reference: nib.Nifti1Image,
    sidecars: Mapping[str, Mapping[str, Any]],
    registration: Mapping[str, Any] | None,
    found: Segmentation,
) -> dict[str, Any]:
    """Describe the segmentation of a session, with flags on everything that should be checked.

    Args:
        bundle: the bundle that was used.
        channels: z-scores as for `Segmenter.segment`.
        reference: the T2w image.
        sidecars: by contrast, in the order of the channels.
        registration: the report of `registration.session.register`; None without T1w.
        found: labels and uncertainty.

    Returns:
        made_by, a phrase for pages; experiment, fold, study and networks of the bundle; outside_training_range, a list of name, value, low and high;
        flags, sentences for the user; session_profile; registration; mean_entropy in nats over the foreground, null if no
        class was found.
    """
    manifest = bundle.manifest
    values = session_profile(channels, sagittal_spacing(reference.affine), sidecars)
    outside = out_of_range(values, manifest["ranges"])
    flags = [f"outside the training range: {one}" for one in outside]
    if registration and registration["fell_back_to_header"]:
        flags.append(
            f"T1w registration rejected ({registration['reason']}), header geometry used; check that both series belong to one "
            "session"
        )
    elif registration and registration["unusual"]:
        flags.append(
            f"T1w was moved by {registration['shift_length_mm']:.1f} mm, more than usual; check the registration"
        )
    flags += [f"T1w registration: {remark}" for remark in registration.get("remarks", ())] if registration else []
    foreground = found.labels != manifest["background"]
    if not foreground.any():
        flags.append("no class found, all pixels are background; check the images")
    elif "anatomy" in manifest:
        table, spacing = LabelTable(manifest["classes"], manifest["background"]), sagittal_spacing(reference.affine)
        flags += unusual_anatomy(found.labels, spacing[1:], table, manifest["anatomy"])
    if unusable := [name for name, verdict in manifest.get("verdicts", {}).items() if verdict != "draft"]:
        flags.append(f"not to be used, starter networks fail on it: {', '.join(unusable)}")
    return {
        "made_by": bundle.title,
        "study": manifest["study"],
        "experiment": manifest["experiment"],
        "fold": manifest["fold"],
        "networks": {name: manifest["files"][f"networks/{name}.keras"] for name in bundle.model.networks},
        "flags": flags,
        "outside_training_range": [
            {"name": one.name, "value": one.value, "low": one.low, "high": one.high} for one in outside
        ],
        "session_profile": values,
        "registration": registration,
        "mean_entropy": round(_nats(found.uncertainty["entropy"][foreground], manifest), 4)
        if foreground.any()
        else None,
    }


def _nats(steps: NDArray[np.uint8], manifest: Mapping[str, Any]) -> float:
    return float(steps.mean() * np.log(len(manifest["classes"])) / 255)
