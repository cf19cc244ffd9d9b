"""Segmentation of new patients with a bundle: from converted images to labels and their uncertainty (Section 4.3)."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from lumbarseg.atomic_io import read_json, write_json
from lumbarseg.data.tiling import CutPatches, Tiling
from lumbarseg.deployment.anatomy_check import unusual_anatomy
from lumbarseg.deployment.bundle import Bundle, models_for_uncertainty
from lumbarseg.deployment.domain_check import out_of_range, session_profile
from lumbarseg.errors import InputError
from lumbarseg.evaluation.labelling import label_by_threshold, maximum_a_posteriori
from lumbarseg.evaluation.partial_labels import merge_labels
from lumbarseg.geometry import load_image, sagittal_spacing, sagittal_view
from lumbarseg.imaging.normalisation import zscore
from lumbarseg.inference.prediction import uncertainty_of, write_labels, write_uncertainty
from lumbarseg.inference.resampling import resample_scores, resample_slices
from lumbarseg.inference.sliding_window import SlidingWindowPredictor, initial_batch_size
from lumbarseg.inference.uncertainty import MEASURES
from lumbarseg.labels import LabelTable
from lumbarseg.models.build import build_network, fewest_parameters
from lumbarseg.models.ensemble import Ensemble, build_meta_learner
from lumbarseg.models.metadata import network_metadata
from lumbarseg.models.precision import with_dtype
from lumbarseg.models.stored_network import load_stored_network
from lumbarseg.temporary_files import temporary_folder


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

    def __init__(self, bundle: Bundle, left_out: Sequence[str] = ()) -> None:
        """Load the networks, in float32 whatever they are stored in, because CPUs without mixed precision are slow in it.

        Args:
            bundle: whose networks to load.
            left_out: names of classes whose pixels become background.

        Raises:
            InputError: the bundle is damaged or inconsistent, or the installed versions cannot read it.
        """
        self.bundle = bundle
        manifest, self.model = bundle.manifest, bundle.model
        self.table = LabelTable(manifest["classes"], manifest["background"])
        self.left_out = list(left_out)
        unlearned = {*left_out, *manifest.get("classes_not_learned", ())}
        self._to_background = [tissue.id for tissue in self.table if tissue.name in unlearned]
        self._limits = None
        if manifest["labelling"] == "TH":
            self._limits = np.array([manifest["thresholds"][name] for name in self.table.names], np.float32)
        self._networks, self._meta_learners = networks, meta_learners = self._load()
        try:
            self._ensemble = Ensemble(networks, list(models_for_uncertainty(self.model)), meta_learners)
        except InputError as error:
            raise bundle.unusable(f"the meta-learner does not fit the networks ({error})") from error
        self._predictor = SlidingWindowPredictor(self._ensemble, initial_batch_size(manifest["training"]["batch_size"]))

    def networks(self) -> tuple[dict[str, keras.Model], dict[str, keras.Model]]:
        """Return the networks by topology, and the meta-learner by model name, if there is one."""
        return self._networks, self._meta_learners

    def _load(self) -> tuple[dict[str, keras.Model], dict[str, keras.Model]]:
        with temporary_folder("bundle") as scratch:
            files, meta_learners = self.bundle.extract(scratch)
            try:
                networks = {
                    name: self._network(name, file) for name, file in zip(self.model.networks, files, strict=True)
                }
                meta = dict(zip([self.model.name], map(self._meta_learner, meta_learners), strict=False))
            except InputError as error:
                reason = str(error).replace(f"{scratch}/", "")
                raise self.bundle.unusable(f"the networks cannot be used ({reason})") from error
            except (ValueError, TypeError, OSError) as error:
                made = self.bundle.manifest["versions"]
                raise InputError(
                    f"{self.bundle.path}: the installed Keras cannot read the networks ({error}); install keras {made['keras']} "
                    f"and tensorflow {made['tensorflow']}, with which the bundle was made"
                ) from error
        return networks, meta

    def _network(self, name: str, file: Path) -> keras.Model:
        manifest = self.bundle.manifest
        topology, base_filters = manifest["topologies"][name], manifest["training"]["base_filters"]

        def build() -> keras.Model:
            return build_network(
                topology,
                side=manifest["patches"]["patch_size"],
                channels=len(manifest["channels"]),
                classes=len(self.table),
                base_filters=base_filters,
                seed=0,
                name=name,
            )

        fewest = fewest_parameters(topology, base_filters)
        return with_dtype(load_stored_network(file, self._metadata(name), build, fewest), "float32")

    def _meta_learner(self, file: Path) -> keras.Model:
        manifest = self.bundle.manifest
        base_filters, channels = manifest["training"]["base_filters"], manifest["stacking"]["channels"]

        def build() -> keras.Model:
            return build_meta_learner(
                self.model,
                side=manifest["patches"]["patch_size"],
                classes=len(self.table),
                base_filters=base_filters,
                channels=channels,
                seed=0,
            )

        # The hidden layer takes scores or head inputs, of one network at least.
        fewest = channels * (len(self.table) if self.model.combiner[0] == "N" else base_filters)
        return with_dtype(load_stored_network(file, self._metadata(self.model.name), build, fewest), "float32")

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

        Raises:
            InputError: the networks give scores that are not finite.
        """
        shape = channels.shape[:3]
        found = Segmentation(np.empty(shape, np.uint8), {name: np.empty(shape, np.uint8) for name in MEASURES})
        pixel_size = self.bundle.manifest.get("pixel_size")
        given = resample_slices(channels, spacing, pixel_size) if pixel_size else channels
        patches, (slices, rows, columns) = self.bundle.manifest["patches"], given.shape[:3]
        tiling = Tiling(rows, columns, patches["patch_size"], patches["stride"])
        blocks = self._predictor.row_blocks_of(CutPatches(given, tiling), slices, tiling)
        if pixel_size:
            blocks = resample_scores(blocks, shape[1:], [model.name for model in self._ensemble.models])
        for block in blocks:
            # Weights that are finite may still be too large.
            if not all(np.isfinite(block.scores(model.name)).all() for model in self._ensemble.models):
                raise self.bundle.unusable("the scores of the networks are not finite")
            found.labels[block.number, block.rows] = self._label(block.scores(self.model.name))
            for name, values in uncertainty_of(block, self.model).items():
                found.uncertainty[name][block.number, block.rows] = values
            on_progress((block.number + block.rows.stop / shape[1]) / shape[0])
        return found

    def _label(self, scores: NDArray[np.float32]) -> NDArray[np.uint8]:
        background = self.table.background
        labels = (
            maximum_a_posteriori(scores)
            if self._limits is None
            else label_by_threshold(scores, self._limits, background)
        )
        return merge_labels(labels, self._to_background, background)


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
    record = describe_session(segmenter, channels, reference, sidecars, registration, found)
    record["flags"] = [*images.remarks, *record["flags"]]
    write_json(outputs.record, record)
    return record


def describe_session(
    segmenter: Segmenter,
    channels: NDArray[np.float32],
    reference: nib.Nifti1Image,
    sidecars: Mapping[str, Mapping[str, Any]],
    registration: Mapping[str, Any] | None,
    found: Segmentation,
) -> dict[str, Any]:
    """Describe the segmentation of a session, with flags on everything that should be checked.

    Args:
        segmenter: that was used.
        channels: z-scores as for `Segmenter.segment`.
        reference: the T2w image.
        sidecars: by contrast, in the order of the channels.
        registration: the report of `registration.session.register`; None without T1w.
        found: labels and uncertainty.

    Returns:
        made_by, a phrase for pages; experiment, fold, study and networks of the bundle; classes_left_out; outside_training_range, a list of
        name, value, low and high; flags, sentences for the user; session_profile; registration; mean_entropy in nats over the foreground, null if no
        class was found.
    """
    bundle, manifest = segmenter.bundle, segmenter.bundle.manifest
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
        but = f" but those of classes that are left out ({', '.join(segmenter.left_out)})" if segmenter.left_out else ""
        flags.append(f"no class found, all pixels{but} are background; check the images")
    elif "anatomy" in manifest:
        table, spacing = LabelTable(manifest["classes"], manifest["background"]), sagittal_spacing(reference.affine)
        flags += unusual_anatomy(found.labels, spacing[1:], table, manifest["anatomy"])
    return {
        "made_by": bundle.title,
        "study": manifest["study"],
        "experiment": manifest["experiment"],
        "fold": manifest["fold"],
        "classes_left_out": segmenter.left_out,
        "networks": {name: manifest["files"][f"networks/{name}.keras"] for name in bundle.model.networks},
        "flags": flags,
        "outside_training_range": [
            {"name": one.name, "value": one.value, "low": one.low, "high": one.high} for one in outside
        ],
        "session_profile": values,
        # Without its time, so that the same result has the same bytes.
        "registration": registration and {key: value for key, value in registration.items() if key != "seconds"},
        "mean_entropy": round(_nats(found.uncertainty["entropy"][foreground], manifest), 4)
        if foreground.any()
        else None,
    }


def _nats(steps: NDArray[np.uint8], manifest: Mapping[str, Any]) -> float:
    return float(steps.mean() * np.log(len(manifest["classes"])) / 255)
