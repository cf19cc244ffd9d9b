"""What the manifest of a bundle may say: types, ranges and names, and that its parts agree with each other.

A bundle may come from anybody. Its manifest is checked when the bundle is opened, before anything else of it is read. This
module is read each time Snakemake parses the workflow, so it imports nothing heavy.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, NoReturn, Self

from pydantic import AfterValidator, Field, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from lumbarseg.config.fields import AS_LIST, Combiner, Labelling, ListOf, OrderedPair, PositiveInt, Section, SetOf
from lumbarseg.config.image_sections import LabelClass, Normalisation, Patches, Registration
from lumbarseg.config.model_sections import Stacking, Training
from lumbarseg.config.topology import SIDE_MULTIPLES, complete_topology
from lumbarseg.errors import InputError
from lumbarseg.user_files import printable

MANIFEST = "bundle.json"
CARD = "MODEL_CARD.md"
META_LEARNER = "meta_learner.keras"

DRAFT = "draft"
"""Verdict on a class of a starter network whose labels are worth correcting; see `starter_packing`."""

MOST_MANIFEST = 256 << 10
"""Bytes of the largest manifest."""

_FINEST_STEPS = 4
"""Steps over the side of a patch, at most: each pixel is then in 16 patches."""
_LARGEST_PATCH, _LARGEST_BATCH, _MOST_CLASSES = 2048, 65536, 255
_LONGEST_KEY = 120  # characters of a key that a message repeats


def network_entry(topology: str) -> str:
    """Return the name of a network's file within a bundle."""
    return f"networks/{topology}.keras"


def _matching(pattern: str, meaning: str) -> Any:
    def check(text: str) -> str:
        if not re.fullmatch(pattern, text):
            raise PydanticCustomError("text", "must be {meaning}", {"meaning": meaning})
        return text

    return AfterValidator(check)


def _distinct_names(classes: tuple[LabelClass, ...]) -> tuple[LabelClass, ...]:
    if [one.id for one in classes] != list(range(len(classes))):
        raise PydanticCustomError("ids", "must have the ids 0, 1, 2 … in order")
    if len({one.name for one in classes}) < len(classes):
        raise PydanticCustomError("names", "must have a name of its own for each class")
    values = [value for one in classes for value in ((one.id,) if one.values is None else one.values)]
    if len(set(values)) < len(values):
        raise PydanticCustomError("values", "must have mask values of its own for each class")
    return classes


def _t2w_first(channels: tuple[str, ...]) -> tuple[str, ...]:
    if channels not in (("T2w",), ("T2w", "T1w")):
        raise PydanticCustomError("channels", "must be T2w, or T2w and T1w")
    return channels


NetworkName = Annotated[str, _matching("[A-Za-z0-9]{1,64}", "at most 64 letters and digits")]
ModelName = Annotated[str, _matching(r"[A-Za-z0-9]{1,64}(\+[A-Za-z]{1,16})?", "a name such as UMD or E12+NAD")]
StudyName = Annotated[str, _matching("[A-Za-z0-9_-]{1,100}", "at most 100 letters, digits, _ and -")]
Measure = Annotated[str, _matching("[A-Za-z0-9 ,()-]{1,80}", "a measure such as slice spacing (mm)")]
Library = Annotated[str, _matching("[A-Za-z0-9_-]{1,40}", "the name of a package")]
Version = Annotated[str, _matching("[A-Za-z0-9.+!_-]{1,40}", "a version such as 1.2.3")]
FileName = Annotated[str, _matching(r"[A-Za-z0-9_./-]{1,100}", "the name of a file of the bundle")]
Checksum = Annotated[str, _matching("[0-9a-f]{64}", "64 hexadecimal digits")]
FoldName = Annotated[str, _matching("[1-9][0-9]{0,3}", "the number of a fold")]
Share = Annotated[float, Field(ge=0, le=1)]
OptionalShare = Share | None
BatchSize = Annotated[int, Field(ge=1, le=_LARGEST_BATCH)]
Count = Annotated[int, Field(ge=0, le=10**9)]


class ModelEntry(Section):
    """The network or ensemble."""

    name: ModelName
    networks: Annotated[SetOf[NetworkName], Field(min_length=1, max_length=64)]
    combiner: Combiner | Literal[""]


class Patients(Section):
    """Number of patients by subset."""

    train: Count
    validation: Count
    test: Count


class Validation(Section):
    """IoU on validation slices."""

    iou: dict[str, OptionalShare]
    mean_by_fold: dict[FoldName, OptionalShare]
    models: Annotated[dict[ModelName, OptionalShare], Field(min_length=1)]
    number_of_models: PositiveInt

    @model_validator(mode="after")
    def counted(self) -> Self:
        """Require that no more models are listed than there are."""
        if len(self.models) > self.number_of_models:
            _refuse("`models` are more than `number_of_models`")
        return self


class Epoch(Section):
    """The epoch that was selected, of how many, with its losses, accuracies and patch IoU."""

    epoch: PositiveInt
    of: PositiveInt
    loss: float | None
    accuracy: OptionalShare
    val_loss: float | None
    val_accuracy: OptionalShare
    val_patch_iou: OptionalShare

    @model_validator(mode="after")
    def is_one(self) -> Self:
        """Require an epoch of those that were trained."""
        if self.epoch > self.of:
            _refuse("`epoch` is above `of`")
        return self


class Anatomy(Section):
    """What labels must show; see `anatomy_check.unusual_anatomy`."""

    required: ListOf[str]
    vertebra: str
    canal: str
    body_area_mm2: OrderedPair[float]


class StudyTraining(Training):
    """The settings of a study's training."""

    batch_size: BatchSize


class StarterTraining(Section):
    """How a starter network was trained."""

    base_filters: PositiveInt
    batch_size: BatchSize
    seed: Count
    epochs: PositiveInt
    best_epoch: PositiveInt
    phantoms: PositiveInt
    steps_per_epoch: PositiveInt

    @model_validator(mode="after")
    def is_one(self) -> Self:
        """Require an epoch of those that were trained."""
        if self.best_epoch > self.epochs:
            _refuse("`best_epoch` is above `epochs`")
        return self


class Manifest(Section):
    """What every bundle says."""

    format: int
    experiment: str
    study: StudyName
    model: ModelEntry
    labelling: Labelling
    fold: Annotated[int, Field(ge=1, le=9999)]
    channels: Annotated[tuple[Literal["T2w", "T1w"], ...], AS_LIST, AfterValidator(_t2w_first)]
    background: int
    classes: Annotated[
        ListOf[LabelClass], Field(min_length=2, max_length=_MOST_CLASSES), AfterValidator(_distinct_names)
    ]
    registration: Registration
    normalisation: Normalisation
    patches: Patches
    topologies: dict[NetworkName, dict[str, Any]]
    patients: Patients
    ranges: dict[Measure, OrderedPair[float]]
    versions: dict[Library, Version]
    files: dict[FileName, Checksum]

    @property
    def names(self) -> list[str]:
        """Class names in the order of their ids."""
        return [one.name for one in self.classes]

    @model_validator(mode="after")
    def agree(self) -> Self:
        """Require that model, classes, patches, topologies, versions and files belong together."""
        model = self.model
        if not 0 <= self.background < len(self.classes):
            _refuse("`background` is no id of `classes`")
        if self.experiment != f"{model.name}+{self.labelling}":
            _refuse("`experiment` is not the model with its labelling")
        single = model.networks == (model.name,)
        if single if model.combiner else not single:
            _refuse("`model.combiner` does not fit the networks of `model`")
        if model.combiner and model.name.rpartition("+")[2] != model.combiner:
            _refuse("`model.name` does not end in its combiner")
        _require_same(self.topologies, model.networks, "`topologies`")
        _require_same(self.files, self.expected_files(), "`files`")
        if missing := {"keras", "tensorflow"} - set(self.versions):
            _refuse(f"`versions` lacks {' and '.join(sorted(missing))}")
        side, stride = self.patches.patch_size, self.patches.stride
        if not side <= _LARGEST_PATCH:
            _refuse(f"`patches.patch_size` is above {_LARGEST_PATCH}")
        if not side / _FINEST_STEPS <= stride <= side:
            _refuse(f"`patches.stride` is not between a {_FINEST_STEPS}th of the patch size and the patch size")
        for name, entry in self.topologies.items():
            try:
                family = complete_topology(name, entry, lambda path: MANIFEST)["family"]
            except InputError:
                _refuse(f"`topologies.{name}` is no topology")
            if side % SIDE_MULTIPLES[family]:
                _refuse(f"`patches.patch_size` does not suit the topology {name}")
        return self

    def expected_files(self) -> list[str]:
        """Return the names of all files of the bundle but the manifest."""
        stacked = self.model.combiner not in ("", "Arith", "Geo", "Flip")
        return [CARD, *map(network_entry, self.model.networks), *([META_LEARNER] if stacked else [])]


class StudyManifest(Manifest):
    """The manifest of an experiment of a study; see `manifest.build_manifest`."""

    training: StudyTraining
    stacking: Stacking | None
    thresholds: dict[str, Share]
    validation: Validation
    test_iou: dict[str, OptionalShare]
    classes_not_learned: Annotated[SetOf[str], Field(max_length=_MOST_CLASSES)] = ()
    epochs: dict[NetworkName, Epoch]

    @model_validator(mode="after")
    def results_agree(self) -> Self:
        """Require that thresholds and results are those of classes and networks."""
        if list(self.thresholds) != self.names:
            _refuse("`thresholds` are not of the classes, in their order")
        _require_same(self.validation.iou, self.names, "`validation.iou`")
        if {*self.test_iou, *self.classes_not_learned} - set(self.names):
            _refuse("`test_iou` or `classes_not_learned` has a name that is no class")
        _require_same(self.epochs, self.model.networks, "`epochs`")
        if any(one.of > self.training.epochs for one in self.epochs.values()):
            _refuse("`epochs` has more than `training.epochs`")
        if str(self.fold) not in self.validation.mean_by_fold:
            _refuse("`validation.mean_by_fold` lacks the fold of the networks")
        if not self.patients.train:
            _refuse("`patients.train` is 0, where the networks are no starter")
        if META_LEARNER in self.files and self.stacking is None:
            _refuse("`stacking` is missing for a meta-learner")
        return self


class StarterManifest(Manifest):
    """The manifest of a starter network; see `starter_packing.pack_starter`."""

    labelling: Literal["MAP"]
    training: StarterTraining
    pixel_size: Annotated[float, Field(ge=0.5, le=2)]
    anatomy: Anatomy
    verdicts: dict[str, Literal["draft", "not to be used"]]
    phantom_iou: dict[str, OptionalShare] = Field(default_factory=dict)

    @model_validator(mode="after")
    def classes_agree(self) -> Self:
        """Require that anatomy, verdicts and results are those of classes."""
        used = [*self.anatomy.required, self.anatomy.vertebra, self.anatomy.canal, *self.verdicts, *self.phantom_iou]
        if set(used) - set(self.names):
            _refuse("`anatomy`, `verdicts` or `phantom_iou` has a name that is no class")
        if self.patients.train:
            _refuse("`patients.train` is not 0, where the network is a starter")
        if len(self.model.networks) > 1 or self.model.combiner:
            _refuse("`model` of a starter is not one network")
        return self


def read_manifest(content: bytes) -> dict[str, Any]:
    """Read the JSON of a manifest; `check_manifest` checks what it says.

    Args:
        content: `bundle.json`.

    Raises:
        ValueError: it is no JSON object in UTF-8, a key stands twice, or a number is not finite.
    """
    try:
        found = json.loads(content.decode(), object_pairs_hook=_without_repeats, parse_constant=_not_finite)
    except RecursionError as error:
        raise ValueError("too many levels") from error
    if not isinstance(found, dict):
        raise ValueError("no JSON object")
    return found


def check_manifest(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Check what a manifest says.

    Args:
        manifest: from `read_manifest`, of this version's format.

    Returns:
        The same with all defaults, JSON.

    Raises:
        ValueError: a key is unknown or missing, a value has another type or is out of range, or parts do not agree.
    """
    model = StarterManifest if "verdicts" in manifest else StudyManifest
    try:
        return model.model_validate(dict(manifest)).model_dump(mode="json")
    except ValidationError as error:
        # An unknown key first, because it often is the missing one.
        first = min(
            error.errors(include_url=False, include_input=False), key=lambda one: one["type"] != "extra_forbidden"
        )
        raise ValueError(_worded(first)) from None
    except RecursionError as error:
        raise ValueError("too many levels") from error


def networks_of(file: Path) -> list[str]:
    """Return the names of the networks that a manifest names, whatever else it says.

    Args:
        file: a manifest that was written earlier; none are named if there is none, or if it cannot be read.
    """
    try:
        with file.open("rb") as stored:
            found = read_manifest(stored.read(MOST_MANIFEST))
        return list(ModelEntry.model_validate(found["model"]).networks)
    except (OSError, ValueError, KeyError):
        return []


def _worded(error: Mapping[str, Any]) -> str:
    """Word one of pydantic's errors without a value of the file."""
    key = shown(".".join(str(part) for part in error["loc"] if part != "[key]"))
    match error["type"]:
        case "extra_forbidden":
            return f"unknown key `{key}`"
        case "missing":
            return f"`{key}` is missing"
    message = error["msg"][:1].lower() + error["msg"][1:]
    return f"`{key}`: {message}" if key else message


def shown(text: str) -> str:
    """Return text of a file for a message: on one line, and short."""
    line = printable(text[: _LONGEST_KEY + 1])
    return line if len(line) <= _LONGEST_KEY else f"{line[:_LONGEST_KEY]}…"


def _without_repeats(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key stands twice in a section")
    return found


def _not_finite(name: str) -> NoReturn:
    raise ValueError("a number is not finite")


def _require_same(found: Iterable[str], expected: Iterable[str], what: str) -> None:
    lacking, more = (sorted(set(one) - set(other)) for one, other in ((expected, found), (found, expected)))
    if lacking or more:
        _refuse(f"{what} {'lacks' if lacking else 'has additional'} {shown(', '.join(lacking or more))}")


def _refuse(problem: str) -> NoReturn:
    raise PydanticCustomError("disagree", problem)  # type: ignore[type-var]
