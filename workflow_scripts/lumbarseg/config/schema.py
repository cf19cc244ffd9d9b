"""The config's sections as pydantic models: every key with its type, range, default and meaning (units in it).

These models are the one source of docs/configuration.md, of the JSON schema for editors and of the messages that users get for a
wrong value. They validate and fill in defaults, nothing else: rules leave this module out of their inputs, because its values
reach the jobs as parameters. It is imported each time Snakemake parses the workflow, so it imports nothing heavy.
"""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, WithJsonSchema
from pydantic_core import PydanticCustomError

from lumbarseg.config.fields import (
    AS_LIST,
    Action,
    Activation,
    Combiner,
    Labelling,
    ListOf,
    Name,
    Optimiser,
    OptionalRange,
    OrderedPair,
    PositiveFloat,
    PositiveInt,
    Rates,
    Section,
    SetOf,
    TableName,
    matching,
)

RENAMED = {
    "packed": "bundle_experiment",
    "patches.side": "patches.patch_size",
    "selection.cover": "selection.coverage",
    "selection.coverage.height": "selection.coverage.min_height_mm",
    "registration.maximum_shift": "registration.max_shift_mm",
    "registration.maximum_rotation": "registration.max_rotation_deg",
    "registration.unusual_shift": "registration.unusual_shift_mm",
    "registration.unusual_rotation": "registration.unusual_rotation_deg",
    "registration.flirt.search": "registration.flirt.search_deg",
    "training.width": "training.base_filters",
    "training.batch_parts": "training.gradient_accumulation_steps",
    "training.best_epoch_by": "training.monitor",
    "training.augmentation.rotation": "training.augmentation.rotation_deg",
    "comparison.measured": "comparison.surface_distances_for",
}
"""Former keys and their present names."""


def _t2w_first(values: tuple[str, ...]) -> tuple[str, ...]:
    if values not in (("T2w",), ("T2w", "T1w")):
        raise PydanticCustomError("channels", "must be [T2w] or [T2w, T1w]")
    return values


class Layout(Section):
    """Where a folder of images has what, for `snakemake write_sheet`."""

    kind: Literal["mids", "spider", "dicom"] = Field(
        description="mids (or BIDS), spider, or dicom (one folder per patient); see docs/layouts/"
    )
    folder: str = Field(description="folder of the images")
    masks: str | None = Field(default=None, description="folder of the masks, if they are not with the images")


class Phantom(Section):
    """A cohort of phantom patients."""

    patients: int = Field(ge=4, description="number of patients")
    matrices: ListOf[Annotated[int, Field(ge=64, le=1400)]] = Field(
        default=(320, 384, 448, 512, 640, 800, 1024),
        min_length=1,
        description="rows and columns of the images (pixels), drawn for each site",
    )
    slices: OrderedPair[Annotated[int, Field(ge=3, le=40)]] = Field(
        default=(8, 14), description="least and greatest number of slices per session"
    )
    seed: int = Field(default=1, description="seed of anatomy and acquisition")


class LabelClass(Section):
    """A row of the label table."""

    id: int = Field(ge=0, description="value of the class in every mask that the workflow writes")
    name: Annotated[str, matching(r"^[^,+/\t]+$", "text without comma, plus, slash or tab")] = Field(
        description="name in tables and figures"
    )
    colour: Annotated[str, matching("^#[0-9a-fA-F]{6}$", 'a colour such as "#e8c97d" (in quotes)')] = Field(
        description="`#rrggbb`"
    )
    values: Annotated[ListOf[int], Field(min_length=1)] | None = Field(
        default=None, description="values of your masks that mean this class; null for the id alone"
    )


class Flirt(Section):
    """Settings of the engine flirt."""

    cost: Literal["mutualinfo", "normmi", "corratio", "normcorr", "leastsq"] = Field(
        default="mutualinfo", description="FLIRT's cost function, also of its search"
    )
    search_deg: float = Field(
        default=0,
        ge=0,
        le=180,
        description="greatest angle (degrees) that FLIRT's search tries about each axis; 0 starts at the headers' geometry; wide "
        "searches fail on thick slices",
    )


class Registration(Section):
    """Registration of T1w to T2w."""

    engine: Literal["flirt", "itk"] = Field(
        default="flirt",
        description="flirt (FSL, as in the paper; must be installed) or itk (comes with the workflow)",
    )
    degrees_of_freedom: Literal[6, 12] = Field(default=6, description="6 (rigid) or 12 (affine)")
    max_shift_mm: PositiveFloat = Field(
        default=20, description="mm; a longer shift is rejected and the headers' geometry is kept"
    )
    max_rotation_deg: PositiveFloat = Field(
        default=15, description="degrees; a larger rotation is rejected and the headers' geometry is kept"
    )
    unusual_shift_mm: PositiveFloat = Field(
        default=5, description="mm; a session with a longer shift is kept and flagged in the table and on the pages"
    )
    unusual_rotation_deg: PositiveFloat = Field(
        default=5,
        description="degrees; a session with a larger rotation is kept and flagged in the table and on the pages",
    )
    flirt: Flirt = Field(default_factory=Flirt, description="settings of the engine flirt")


class Normalisation(Section):
    """Z-score of the images."""

    scope: Literal["volume", "slice"] = Field(
        default="volume", description="mean and standard deviation of the whole volume or of each slice"
    )


class Patches(Section):
    """Patches of the slices."""

    patch_size: int = Field(
        default=256, ge=32, multiple_of=32, description="rows and columns of a patch (pixels), a multiple of 32 (D)"
    )
    stride: PositiveInt = Field(default=192, description="greatest step between patches (pixels; S)")


class T2wRanges(Section):
    """Ranges of the acquisition of T2w images."""

    RepetitionTime: OptionalRange = Field(default=(2000, 10172.214), description="ms")
    EchoTime: OptionalRange = Field(default=(84.544, 145), description="ms")
    SpacingBetweenSlices: OptionalRange = Field(default=(3.6, 6), description="mm")
    ImagingFrequency: OptionalRange = Field(default=(42.568, 127.745), description="MHz")
    EchoTrainLength: OptionalRange = Field(default=(13, 36), description="echoes")
    FlipAngle: OptionalRange = Field(default=(90, 170), description="degrees")
    Height: OptionalRange = Field(default=(320, 1024), description="pixels")
    Width: OptionalRange = Field(default=(320, 1024), description="pixels")
    PixelSpacing: OptionalRange = Field(default=(0.3704, 1), description="mm")
    EchoNumber: OptionalRange = Field(default=(0, 1), description="number of the echo")
    Slices: OptionalRange = Field(default=(8, 14), description="slices per session (Section 3.1.1)")


class T1wRanges(T2wRanges):
    """Ranges of the acquisition of T1w images."""

    RepetitionTime: OptionalRange = Field(default=(300, 764.38), description="ms")
    EchoTime: OptionalRange = Field(default=(6.824, 17.424), description="ms")
    EchoTrainLength: OptionalRange = Field(default=(2, 10), description="echoes")
    FlipAngle: OptionalRange = Field(default=(80, 160), description="degrees")
    Height: OptionalRange = Field(default=(320, 800), description="pixels")
    Width: OptionalRange = Field(default=(320, 800), description="pixels")
    PixelSpacing: OptionalRange = Field(default=(0.4688, 1), description="mm")


class Criteria(Section):
    """Criteria of one kind and what happens to a session that does not meet them."""

    action: Action = Field(
        default="warn",
        description="for a session out of range: list it and use it (warn), leave it out (exclude), or do nothing (ignore)",
    )


class Acquisition(Criteria):
    """Ranges of the acquisition."""

    T2w: T2wRanges = Field(
        default_factory=T2wRanges, description="least and greatest value of T2w images; null is not checked"
    )
    T1w: T1wRanges = Field(
        default_factory=T1wRanges, description="least and greatest value of T1w images; null is not checked"
    )


class Coverage(Criteria):
    """What has to be in the image."""

    min_height_mm: float = Field(default=200, ge=0, description="least height of the T2w image (mm)")
    classes: ListOf[str] = Field(
        default=("Vert", "Sacrum"),
        description="classes that a mask must contain; names that the label table lacks are ignored",
    )


class Quality(Criteria):
    """Brightness and noise of the images."""

    brightness: OrderedPair[float] = Field(
        default=(0.12, 0.8),
        description="least and greatest median of the body, as a share of the bright level (99.5th percentile)",
    )
    noise: PositiveFloat = Field(
        default=0.1, description="greatest standard deviation of the noise, as a share of the body's median"
    )


class Selection(Section):
    """Which sessions are used."""

    missing_contrast: Literal["stop", "exclude"] = Field(
        default="stop", description="for a session without T2w or T1w: stop the run, or leave the session out (exclude)"
    )
    acquisition: Acquisition = Field(default_factory=Acquisition, description="ranges of the acquisition (Table 2)")
    coverage: Coverage = Field(
        default_factory=Coverage, description="lumbar vertebrae and upper sacrum are in the image"
    )
    quality: Quality = Field(default_factory=Quality, description="brightness and noise")


class Split(Section):
    """Test patients and folds."""

    folds: int = Field(default=3, ge=2, description="number of folds")
    test_patients: Literal["auto"] | PositiveInt = Field(
        default="auto",
        description="number of patients kept for the test; auto is 33 for the paper's 181, otherwise a fifth",
    )
    stratify: Literal["site", "sex"] | None = Field(
        default=None, description="column of the sheet whose values are spread evenly over the folds"
    )
    file: str | None = Field(default=None, description="an existing split (`folds.tsv`) to use instead of a new one")
    seed: int = Field(default=1, description="seed of the split")


class Topology(Section):
    """An entry of `topologies`."""

    family: Literal["unet", "fcn8"] = Field(default="unet", description="U-Net or FCN8")
    input: Literal["single", "multi_kernel"] = Field(
        default="single", description="one block, or four kernel sizes side by side (M)"
    )
    encoder: Literal["unet", "vgg", "dense"] = Field(default="unet", description="convolutional blocks: U, V or Q")
    decoder: Literal["unet", "dense"] = Field(default="unet", description="convolutional blocks: U or Q")
    skip: Literal["concatenate", "attention", "ds1", "ds2"] = Field(
        default="concatenate",
        description="feature fusion: skip connections, attention gates (A), DS.v1 or DS.v2 (D)",
    )
    output: Literal["plain", "ds3"] = Field(default="plain", description="input of the classifier; ds3 is DS.v3 (D)")
    activation: Activation = Field(default="relu", description="activation of the hidden convolutions")
    batch_normalisation: SetOf[Literal["unet", "vgg", "dense", "attention"]] = Field(
        default=("unet", "dense"), description="kinds of blocks with batch normalisation"
    )
    transposed_kernel: int = Field(
        default=3, ge=2, description="side of the decoder's transposed kernels (pixels); their stride is 2"
    )
    up_sampling: Literal["nearest", "bilinear"] = Field(
        default="nearest", description="interpolation of deep supervision"
    )
    optimiser: Optimiser = Field(description="a Keras optimiser with Keras's other settings")
    learning_rate: PositiveFloat = Field(description="constant over all epochs")
    fully_connected: PositiveInt = Field(default=4096, description="channels of fc6 and fc7 in FCN8")


class Augmentation(Section):
    """Random changes of the training patches."""

    rotation_deg: float = Field(default=20, ge=0, le=180, description="greatest angle (degrees), either way")
    zoom: OrderedPair[PositiveFloat] = Field(default=(0.5, 1.5), description="least and greatest factor")
    shift: float = Field(default=0.1, ge=0, le=1, description="greatest shift, as a share of each side, either way")
    flip: float = Field(default=0.5, ge=0, le=1, description="probability of a horizontal flip")


class Training(Section):
    """Training of the networks."""

    base_filters: PositiveInt = Field(default=64, description="channels of the first level (m)")
    epochs: PositiveInt = Field(default=300, description="number of epochs")
    batch_size: PositiveInt = Field(default=20, description="patches per step")
    gradient_accumulation_steps: PositiveInt = Field(
        default=1,
        description="parts of a batch that are computed one after the other, their gradients added up, if memory cannot hold a "
        "whole batch; batch normalisation then sees one part at a time",
    )
    monitor: Literal["accuracy", "mean_iou"] = Field(
        default="accuracy",
        description="quantity of the validation patches whose greatest value marks the epoch that is kept",
    )
    batch_statistics: Literal["moving", "recomputed"] = Field(
        default="moving",
        description="mean and variance that batch normalisation uses after training: moving averages over the augmented patches, or "
        "recomputed on plain training patches before each validation, which helps short trainings",
    )
    precision: Literal["float32", "tf32", "mixed_float16", "mixed_bfloat16"] = Field(
        default="float32",
        description="float32, tf32 (float32 with TensorFloat-32 in convolutions, Ampere and later), or mixed precision (float16 for "
        "V100, bfloat16 for later cards)",
    )
    xla: bool = Field(
        default=False, description="compile the steps with XLA; on a GPU two runs of one seed then differ by rounding"
    )
    device: Literal["auto", "cpu", "gpu"] = Field(
        default="auto", description="auto uses a GPU if there is one; gpu requires one; a change retrains nothing"
    )
    tensorboard: bool = Field(
        default=False,
        description="write TensorBoard's event files to `results/<study>/tensorboard/`; a change retrains nothing",
    )
    seed: int = Field(default=1, ge=0, description="seed of weights, order and augmentation")
    augmentation: Augmentation = Field(
        default_factory=Augmentation, description="random changes of the training patches (Section 5.1)"
    )


class Starter(Section):
    """Starter networks, trained on phantoms alone."""

    phantoms: PositiveInt = Field(default=1000, description="phantom patients to train on; about 1 MB each")
    held_out: PositiveInt = Field(default=40, description="phantom patients to choose the best epoch on")
    slices: PositiveInt = Field(default=8, description="slices of each phantom, at random places")
    topology: str = Field(default="UD", description="topology of the networks, one of `topologies`")
    base_filters: PositiveInt = Field(default=16, description="channels of the first level (m)")
    pixel_size_mm: float = Field(default=1.0, ge=0.5, le=2, description="mm; images are resampled to it")
    patch_size: int = Field(default=192, ge=64, multiple_of=32, description="rows and columns of a patch (pixels)")
    batch_size: PositiveInt = Field(default=8, description="samples per step")
    steps_per_epoch: PositiveInt = Field(default=250, description="steps between two validations")
    epochs: PositiveInt = Field(default=80, description="number of epochs; each has samples of its own")
    easy_epochs: int = Field(
        default=4,
        ge=0,
        description="epochs of phantoms as they are, after which contrasts and artefacts are drawn at random",
    )
    learning_rate: PositiveFloat = Field(default=0.001, description="greatest rate of Adam; it falls as a cosine")
    seed: int = Field(default=1, ge=0, description="seed of phantoms, samples and weights")


class Search(Section):
    """Hyper-parameter search."""

    topologies: Annotated[SetOf[str], Field(min_length=1)] | None = Field(
        default=None, description="topologies to try; null for those of `train`"
    )
    folds: SetOf[PositiveInt] = Field(default=(1,), min_length=1, description="folds whose validation patches decide")
    epochs: PositiveInt = Field(
        default=30,
        description="number of epochs of a trial; fewer than `training.epochs`, because it only has to rank",
    )
    learning_rates: dict[Optimiser, Rates | None] = Field(
        min_length=1,
        description="optimisers to try, each with its learning rates, such as `adam: [0.001, 0.00033]`; null removes one",
    )
    activations: SetOf[Activation] = Field(
        default=("relu", "prelu"), min_length=1, description="activations of the hidden convolutions to try"
    )


class Combine(Section):
    """The ensembles that are evaluated and how."""

    ensembles: SetOf[str] = Field(default=(), description="names from `ensembles`")
    combiners: SetOf[Combiner] = Field(
        default=("Arith", "Geo", "NAD", "TCD"),
        description="means (equations 1 and 2) and meta-learners: input scores N or tensors T; average A, concatenate C or sum S; "
        "dense D (Table 6). Beyond the paper: Flip, the arithmetic mean over the images as they are and flipped from front to back, "
        "for twice the passes",
    )


class Stacking(Section):
    """The dense meta-learner."""

    channels: PositiveInt = Field(default=64, description="channels of its hidden layer")
    epochs: PositiveInt = Field(default=50, description="number of epochs")
    optimiser: Optimiser = Field(default="adam", description="a Keras optimiser with Keras's other settings")
    learning_rate: PositiveFloat = Field(default=0.00033, description="constant over all epochs")
    out_of_fold: bool = Field(
        default=False,
        description="learn from the outputs of networks that have not seen the patient (those of the fold in which it is a "
        "validation patient); false uses the fold's own networks, as the paper",
    )


class Uncertainty(Section):
    """Maps of uncertainty, beyond the paper."""

    experiment: str | None = Field(
        default=None,
        description="experiment whose entropy and mutual information between networks are mapped for the test sessions "
        "(`uncertainty/`) and drawn; null for none",
    )


class Comparison(Section):
    """The statistical comparison."""

    reference: str = Field(description="experiment that every other one is tested against")
    significance: float = Field(default=0.05, gt=0, lt=1, description="p-value below which a difference is marked")
    resamples: int = Field(
        default=1000,
        ge=100,
        description="cohorts drawn from the test patients for intervals of differences and the stability of ranks",
    )
    seed: int = Field(default=1, ge=0, description="seed of the drawing")
    surface_distances_for: ListOf[str] | None = Field(
        default=None,
        description="experiments with surface distances and confusion matrices (a minute per experiment at the paper's size); null "
        "for those of figures.cases",
    )


class CaseSlice(Section):
    """A test slice that figure 7 shows by name."""

    participant_id: str = Field(description="as in the sheet, without sub-")
    session_id: str = Field(description="as in the sheet, without ses-")
    slice: int = Field(ge=0, description="0 for the slice farthest to the patient's right")


class Figures(Section):
    """Experiments shown in the figures."""

    cases: ListOf[str] = Field(
        default=(),
        description="predictions of figure 7; the last one decides which slices are best, median and worst, and the errors of each "
        "are drawn",
    )
    slices: ListOf[CaseSlice] = Field(
        default=(),
        description="test slices that figure 7 shows in addition to best, median and worst, labelled by the first fold's networks",
    )
    box_plots: ListOf[str] = Field(default=(), description="boxes of figure 8")


class StudyConfig(Section):
    """The config of a study."""

    config_version: Literal[1] = Field(default=1, description="version of the config's layout")
    study: Annotated[str, matching("^[A-Za-z0-9_-]+$", "text of letters, digits, _ and -")] = Field(
        description="name of the study; its results go to `results/<study>/`"
    )
    sessions: str = Field(
        default="sessions.tsv", description="sheet of sessions (tab-separated); not used with `phantom`"
    )
    # Not strict: `--config metrics_only=true` reaches us as text.
    metrics_only: bool = Field(
        default=False,
        strict=False,
        description="draw figures and tables from metrics that were copied from where the study ran; needs no sheet and no images",
    )
    layout: Layout | None = Field(
        default=None,
        description="layout of a folder of images, for `snakemake write_sheet`, which writes the sheet of its sessions; nothing else "
        "uses it",
    )
    phantom: Phantom | None = Field(
        default=None, description="make a cohort of phantom patients with known truth instead of reading `sessions`"
    )
    bundle_experiment: str = Field(
        default="best",
        description="experiment that `snakemake bundle` packs into one file, such as UMD+TH; best is the best model by validation",
    )
    bundle: str | None = Field(
        default=None,
        description="bundle with which `snakemake segment` segments the sessions of `sessions`; its channels, classes and "
        "preprocessing replace those of this config",
    )
    channels: Annotated[
        tuple[Literal["T2w", "T1w"], ...],
        AS_LIST,
        AfterValidator(_t2w_first),
        WithJsonSchema({"enum": [["T2w"], ["T2w", "T1w"]]}),
    ] = Field(
        default=("T2w", "T1w"),
        description="contrasts of the networks' input; T2w comes first, is the fixed image and carries the masks",
    )
    background: int = Field(default=0, description="id of the background class")
    classes: ListOf[LabelClass] = Field(min_length=2, max_length=255, description="label table, ids 0, 1, 2 … in order")
    label_descriptions: str | None = Field(
        default=None,
        description="ITK-SNAP's label descriptions of your masks: a label means the class of its name, and `values` of `classes` are "
        "ignored",
    )
    registration: Registration = Field(
        default_factory=Registration, description="registration of T1w to T2w (Section 3.1.1)"
    )
    normalisation: Normalisation = Field(default_factory=Normalisation, description="z-score (Section 3.1.1)")
    patches: Patches = Field(default_factory=Patches, description="patches (Section 3.1.3)")
    selection: Selection = Field(
        default_factory=Selection,
        description="which sessions are used (Section 3.1.1, Table 2); what the headers do not state is not checked",
    )
    split: Split = Field(default_factory=Split, description="test patients and folds (Section 3)")
    train: SetOf[str] = Field(min_length=1, description="topologies to train")
    topologies: dict[Name, Topology] = Field(
        description="definitions of network topologies (Table 4); see docs/networks.md"
    )
    training: Training = Field(default_factory=Training, description="training of the networks (Sections 5.1 to 5.3)")
    starter: Starter = Field(
        default_factory=Starter, description="starter networks, target `starter`; see docs/starter.md"
    )
    search: Search | None = Field(
        default=None,
        description="hyper-parameter search, target `search` (Section 5.2): every topology with every optimiser, learning rate and "
        "activation; see docs/search.md",
    )
    ensembles: dict[Name, Annotated[SetOf[str], Field(min_length=2)]] = Field(
        default_factory=dict, description="definitions of ensembles (Table 5)"
    )
    combine: Combine = Field(default_factory=Combine, description="ensembles to evaluate and how")
    stacking: Stacking = Field(default_factory=Stacking, description="the dense meta-learner (Section 4.2.2, Table 6)")
    uncertainty: Uncertainty = Field(
        default_factory=Uncertainty, description="beyond the paper: maps of an experiment's uncertainty in each pixel"
    )
    labellings: SetOf[Labelling] = Field(
        default=("MAP", "TH"), min_length=1, description="how scores become labels (Section 4.3)"
    )
    comparison: Comparison = Field(description="the statistical comparison (Section 6)")
    tables: dict[TableName, ListOf[str] | None] = Field(
        default_factory=dict,
        description="columns of the tables: experiments, or networks+MAP for all networks, ensembles+NAD+TH for all ensembles; null "
        "leaves a table out",
    )
    figures: Figures = Field(default_factory=Figures, description="experiments shown in the figures")


def json_schema() -> dict[str, Any]:
    """Build the JSON schema of a complete config (draft 2020-12), without pydantic's titles."""
    schema = StudyConfig.model_json_schema()
    for model in (schema, *schema["$defs"].values()):
        model.pop("title")
        for entry in model.get("properties", {}).values():
            entry.pop("title", None)
    return schema
