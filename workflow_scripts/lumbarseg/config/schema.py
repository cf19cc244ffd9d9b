"""The config of a study as a pydantic model, made of the sections next to it: every key with its type, range, default and meaning (units in it).

These models are the one source of docs/configuration.md, of the JSON schema for editors and of the messages that users get for a
wrong value. They validate and fill in defaults, nothing else: rules leave these modules out of their inputs, because their values
reach the jobs as parameters. They are imported each time Snakemake parses the workflow, so they import nothing heavy.
"""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, WithJsonSchema
from pydantic_core import PydanticCustomError

from lumbarseg.config.fields import (
    AS_LIST,
    ExperimentName,
    FilePath,
    Labelling,
    ListOf,
    Name,
    Section,
    SetOf,
    TableName,
    text_matching,
)
from lumbarseg.config.image_sections import (
    LabelClass,
    Layout,
    Normalisation,
    Patches,
    Phantom,
    Registration,
    Selection,
    Split,
)
from lumbarseg.config.model_sections import (
    Combine,
    Comparison,
    Draft,
    Figures,
    Search,
    Stacking,
    Starter,
    Topology,
    Training,
    Uncertainty,
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


class StudyConfig(Section):
    """The config of a study."""

    config_version: Literal[1] = Field(default=1, description="version of the config's layout")
    study: Annotated[str, text_matching("^[A-Za-z0-9_-]{1,100}$", "text of at most 100 letters, digits, _ and -")] = (
        Field(description="name of the study; its results go to `results/<study>/`")
    )
    sessions: FilePath = Field(
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
    bundle: FilePath | None = Field(
        default=None,
        description="bundle with which `snakemake segment` segments the sessions of `sessions`, or starter for the one that comes with "
        "the workflow; its channels, classes and preprocessing replace those of this config",
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
    background: int = Field(default=0, description="id of the background class, one of `classes`")
    classes: ListOf[LabelClass] = Field(min_length=2, max_length=255, description="label table, ids 0, 1, 2 … in order")
    partial_labels: Annotated[SetOf[str], Field(min_length=1)] | None = Field(
        default=None,
        description="names of the classes that the masks hold, if they do not hold all: an unlabelled pixel may then be any other "
        "class; null for all",
    )
    classes_left_out: SetOf[str] = Field(
        default=(),
        description="classes that `segment` and `draft` leave out, such as those that fail; their pixels become background",
    )
    label_descriptions: FilePath | None = Field(
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
    draft: Draft = Field(default_factory=Draft, description="drafts of masks, target `draft`; see docs/drafts.md")
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
    tables: dict[TableName, ListOf[ExperimentName] | None] = Field(
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
