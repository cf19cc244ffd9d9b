"""New patients, segmented with a bundle: from converted images to labels and how sure they are (Section 4.3)."""

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from lumbarseg.anatomy import LabelTable
from lumbarseg.arrays import write_array
from lumbarseg.bundle import Bundle, models_for_uncertainty
from lumbarseg.committee import Committee
from lumbarseg.errors import InputError
from lumbarseg.files import read_json, whole, write_json
from lumbarseg.geometry import codes_of, from_sagittal_view, load_image, sagittal_spacing, sagittal_view, volume
from lumbarseg.inference import SlicePass, patches_to_start_with, write_labels
from lumbarseg.intensity import zscore
from lumbarseg.labelling import by_thresholds, maximum_a_posteriori
from lumbarseg.patches import Tiling, extract
from lumbarseg.ranges import deviations, profile
from lumbarseg.uncertainty import entropy, mutual_information


@dataclass(frozen=True)
class Segmentation:
    """A session's labels and how sure they are; all in sagittal view.

    Attributes:
        labels: (slices, rows, columns) uint8 class ids.
        entropy: the same shape, float32, nats: of the experiment's scores.
        mutual_information: the same shape, float32, nats: how far the networks disagree; 0 for a single network.
    """

    labels: NDArray[np.uint8]
    entropy: NDArray[np.float32]
    mutual_information: NDArray[np.float32]


class Segmenter:
    """The committee of a bundle, loaded once for any number of sessions."""

    def __init__(self, bundle: Bundle) -> None:
        """Load the networks, in float32 whatever precision they were trained in.

        Raises:
            InputError: something in the bundle is damaged or does not match, or these versions cannot read it.
        """
        self.bundle = bundle
        manifest, self.model = bundle.manifest, bundle.model
        self.table = LabelTable(manifest["classes"], manifest["background"])
        self._limits = None
        if manifest["labelling"] == "TH":
            if list(manifest["thresholds"]) != self.table.names:
                found = ", ".join(manifest["thresholds"])
                raise bundle.mismatch(f"thresholds of {', '.join(self.table.names)}", f"those of {found}")
            self._limits = np.array(list(manifest["thresholds"].values()), np.float32)
        self._networks, self._heads = networks, heads = self._load()
        side = manifest["patches"]["side"]
        expected = (None, side, side, len(manifest["channels"])), (None, side, side, len(self.table))
        for name, network in networks.items():
            if (network.input_shape, network.output_shape) != expected:
                shapes = f"{network.input_shape} and {network.output_shape}"
                raise bundle.mismatch(f"{name} from patches {expected[0]} to scores {expected[1]}", shapes)
        try:
            self._committee = Committee(networks, list(models_for_uncertainty(self.model)), heads)
        except InputError as error:
            raise bundle.mismatch("a head that fits the networks", str(error)) from error
        self._passing = SlicePass(self._committee, patches_to_start_with(manifest["training"]["batch_size"]))

    def networks(self) -> tuple[dict[str, keras.Model], dict[str, keras.Model]]:
        """The networks by topology, and the head by model name where there is one."""
        return self._networks, self._heads

    def _load(self) -> tuple[dict[str, keras.Model], dict[str, keras.Model]]:
        made = self.bundle.manifest["versions"]
        with tempfile.TemporaryDirectory(prefix="lumbarseg-bundle-") as scratch:
            files, heads = self.bundle.extract(Path(scratch))
            try:
                loaded = [in_float32(keras.models.load_model(file, compile=False)) for file in [*files, *heads]]
            except (ValueError, TypeError, KeyError, OSError) as error:
                raise InputError(
                    f"{self.bundle.path}: expected networks that this version of Keras reads, found none ({error}); the bundle "
                    f"was made with keras {made['keras']} and tensorflow {made['tensorflow']}, take those"
                ) from error
        networks = dict(zip(self.model.networks, loaded, strict=False))
        return networks, dict(zip([self.model.name], loaded[len(networks) :], strict=False))

    def segment(
        self, channels: NDArray[np.float32], progress: Callable[[float], None] = lambda part: None
    ) -> Segmentation:
        """Segment the slices of a session.

        Args:
            channels: (slices, rows, columns, channels) z-scores in sagittal view.
            progress: told from time to time which part is done, up to 1.
        """
        shape = channels.shape[:3]
        found = Segmentation(np.empty(shape, np.uint8), np.empty(shape, np.float32), np.zeros(shape, np.float32))
        names = [one.name for one in self._committee.models]
        with tempfile.TemporaryDirectory(prefix="lumbarseg-patches-") as scratch:
            for band in self._passing.bands(_cut(channels, self.bundle.manifest["patches"], Path(scratch))):
                place = (band.number, band.rows)
                scores = band.scores(self.model.name)
                found.labels[place] = self._label(scores.numpy())
                found.entropy[place] = np.asarray(entropy(scores))
                if len(names) > 1:
                    found.mutual_information[place] = np.asarray(
                        mutual_information([band.scores(name) for name in names if name != self.model.name])
                    )
                progress((band.number + band.rows.stop / shape[1]) / shape[0])
        return found

    def _label(self, scores: NDArray[np.float32]) -> NDArray[np.uint8]:
        if self._limits is None:
            return maximum_a_posteriori(scores)
        return by_thresholds(scores, self._limits, self.table.background)


def in_float32(network: keras.Model) -> keras.Model:
    """Give a network that computes in float32, with the same weights: mixed precision is slow on processors without it."""
    if all(layer.dtype_policy.compute_dtype == "float32" for layer in network.layers):
        return network

    def remade(layer: keras.Layer) -> keras.Layer:
        return type(layer).from_config(layer.get_config() | {"dtype": "float32"})

    copy = keras.models.clone_model(network, clone_function=remade)
    copy.set_weights(network.get_weights())
    return copy


def _cut(channels: NDArray[np.float32], patches: Mapping[str, int], folder: Path) -> Path:
    """Cut slices into patches as the training's were (Section 3.1.3), described as `SlicePass.bands` takes them."""
    slices, rows, columns, _ = channels.shape
    tiling = Tiling(rows, columns, patches["side"], patches["stride"])
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
    """

    aligned: Mapping[str, Path]
    sidecars: Mapping[str, Path]
    registration: Path | None = None


@dataclass(frozen=True)
class SessionOutputs:
    """Where the results of a session go.

    Attributes:
        labels: class ids, NIfTI on the T2w grid.
        entropy: nats, NIfTI.
        mutual_information: nats, NIfTI; 0 for a single network.
        record: JSON, as `describe_session` gives it.
    """

    labels: Path
    entropy: Path
    mutual_information: Path
    record: Path


def segment_session(
    segmenter: Segmenter,
    images: SessionImages,
    outputs: SessionOutputs,
    progress: Callable[[float], None] = lambda part: None,
) -> dict[str, Any]:
    """Segment a session from its converted and registered images.

    Args:
        segmenter: of the bundle.
        images: of the session; each is normalised here as the training's were (Section 3.1.1).
        outputs: the files to write.
        progress: told from time to time which part is done, up to 1.

    Returns:
        The record, as `describe_session` gives it.
    """
    scope = segmenter.bundle.manifest["normalisation"]["scope"]
    loaded = {contrast: load_image(path) for contrast, path in images.aligned.items()}
    views = [sagittal_view(one.get_fdata(dtype=np.float32), one.affine) for one in loaded.values()]
    channels = np.stack([zscore(view, scope) for view in views], axis=-1)
    reference = loaded["T2w"]
    found = segmenter.segment(channels, progress)
    write_labels(outputs.labels, found.labels, reference)
    write_map(outputs.entropy, found.entropy, reference)
    write_map(outputs.mutual_information, found.mutual_information, reference)
    registration = read_json(images.registration) if images.registration else None
    sidecars = {contrast: read_json(images.sidecars[contrast]) for contrast in loaded}
    record = describe_session(segmenter.bundle, channels, reference, sidecars, registration, found)
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
    """Say how a session was segmented, and what in it is unlike the training.

    Args:
        bundle: that segmented it.
        channels: z-scores as for `Segmenter.segment`.
        reference: the T2w image.
        sidecars: by contrast, in the order of the channels.
        registration: the report of `registration.register`; None without T1w.
        found: the labels.

    Returns:
        experiment, fold, study and networks of the bundle; outside_of_training, a list of name, value, low and high;
        flags, sentences to be shown; registration; mean_entropy in nats, over the pixels that are not background.
    """
    manifest = bundle.manifest
    values = profile(channels, sagittal_spacing(reference.affine), sidecars)
    outside = deviations(values, manifest["ranges"])
    flags = [f"outside of training: {one}" for one in outside]
    if registration and registration["fell_back_to_header"]:
        flags.append(
            f"registration of T1w not believed ({registration['reason']}), the headers' geometry was kept: are both of one session?"
        )
    elif registration and registration["unusual"]:
        flags.append(f"T1w moved by {registration['shift_length_mm']:.1f} mm, more than usual: look whether it fits")
    tissue = found.labels != manifest["background"]
    if not tissue.any():
        flags.append("nothing was found")
    return {
        "study": manifest["study"],
        "experiment": manifest["experiment"],
        "fold": manifest["fold"],
        "networks": {name: manifest["files"][f"networks/{name}.keras"] for name in bundle.model.networks},
        "flags": flags,
        "outside_of_training": [
            {"name": one.name, "value": one.value, "low": one.low, "high": one.high} for one in outside
        ],
        "profile": values,
        "registration": registration,
        "mean_entropy": round(float(found.entropy[tissue].mean()), 4) if tissue.any() else None,
    }


def write_map(path: str | Path, values: NDArray[np.float32], reference: nib.Nifti1Image) -> None:
    """Write a map of real values in sagittal view as a compressed float32 NIfTI on the reference's grid, to three decimals."""
    on_grid = from_sagittal_view(np.round(values, 3), reference.affine)
    with whole(path) as temporary:
        nib.save(volume(on_grid, reference.affine, codes_of(reference)), temporary)
