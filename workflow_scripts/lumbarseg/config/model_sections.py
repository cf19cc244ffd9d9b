"""Sections of the config on networks and results: topologies, training, ensembles, comparison, figures."""

from typing import Annotated, Literal

from pydantic import Field

from lumbarseg.config.fields import (
    Activation,
    Combiner,
    FilePath,
    Id,
    ListOf,
    Optimiser,
    OrderedPair,
    PositiveFloat,
    PositiveInt,
    Rates,
    Section,
    Seed,
    SetOf,
    text_matching,
)


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
    contrast: float = Field(
        default=0,
        ge=0,
        le=1,
        description="probability of another appearance of each channel (contrast, coil, resolution, ghosts, noise), for images of other "
        "scanners than the training's; 0 as the paper",
    )


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
    start_from: (
        Annotated[
            str,
            text_matching(
                r"^(starter|.+\.(zip|keras))$",
                "`starter`, the path of a bundle (.zip) or the path of a network (.keras)",
            ),
        ]
        | None
    ) = Field(
        default=None,
        description="network whose weights networks start from, as far as layers fit: the starter that comes with the workflow "
        "(starter), or that of a bundle (.zip) or file (.keras); null for random weights, as the paper",
    )
    phantom_share: float = Field(
        default=0,
        ge=0,
        lt=1,
        description="share of each batch whose patches are replaced by phantoms (`starter.phantoms`), drawn at the training's pixel "
        "sizes; the number of steps stays",
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
    seed: Seed = Field(default=1, description="seed of weights, order and augmentation")
    augmentation: Augmentation = Field(
        default_factory=Augmentation, description="random changes of the training patches (Section 5.1)"
    )


class Starter(Section):
    """Starter networks, trained on phantoms alone."""

    phantoms: PositiveInt = Field(default=400, description="phantom patients to learn from; about 1 MB each")
    held_out: PositiveInt = Field(default=40, description="phantom patients on which the best epoch is chosen")
    tested: PositiveInt = Field(default=20, description="phantom patients on which the finished networks are tested")
    slices: PositiveInt = Field(default=8, description="slices of each phantom, at random places")
    topology: str = Field(default="UD", description="topology of the networks, one of `topologies`")
    base_filters: PositiveInt = Field(default=16, description="channels of the first level (m)")
    pixel_size_mm: float = Field(default=1.0, ge=0.5, le=2, description="mm; images are resampled to it")
    patch_size: int = Field(default=192, ge=64, multiple_of=32, description="rows and columns of a patch (pixels)")
    batch_size: PositiveInt = Field(default=8, description="samples per step")
    steps_per_epoch: PositiveInt = Field(default=250, description="steps between two validations")
    validation_samples: PositiveInt = Field(default=96, description="samples of a validation")
    epochs: PositiveInt = Field(default=20, description="epochs of the T2w network; each has samples of its own")
    easy_epochs: int = Field(
        default=2,
        ge=0,
        description="epochs of phantoms as they are; randomisation then grows over as many epochs to its full strength",
    )
    t1w_epochs: PositiveInt = Field(
        default=6, description="epochs of the network of T2w and T1w, which starts from the T2w network"
    )
    learning_rate: PositiveFloat = Field(default=0.001, description="greatest rate of Adam; it falls as a cosine")
    seed: Seed = Field(default=1, description="seed of phantoms, samples and weights")


class Draft(Section):
    """Drafts of masks, to be corrected by hand."""

    bundle: FilePath | None = Field(
        default=None,
        description="bundle that drafts are made with, such as your own study's; null for the starter networks that come with the "
        "workflow",
    )
    next: PositiveInt = Field(default=10, description="how many sessions the list names as those to draw next")
    novelty: float = Field(
        default=0.5,
        ge=0,
        le=1,
        description="weight of novelty in the order of the list; the rest is that of uncertainty",
    )


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
    seed: Seed = Field(default=1, description="seed of the drawing")
    surface_distances_for: ListOf[str] | None = Field(
        default=None,
        description="experiments with surface distances and confusion matrices (a minute per experiment at the paper's size); null "
        "for those of figures.cases",
    )


class CaseSlice(Section):
    """A test slice that figure 7 shows by name."""

    participant_id: Id = Field(description="as in the sheet, without sub-")
    session_id: Id = Field(description="as in the sheet, without ses-")
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
