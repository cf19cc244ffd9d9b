"""Which figures and tables a study has, and what each needs.

This module is read each time Snakemake parses the workflow, so it imports nothing heavy.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from lumbarseg.config import published
from lumbarseg.config.history import MONITOR_COLUMNS
from lumbarseg.config.study import Study
from lumbarseg.errors import InputError
from lumbarseg.reporting.registry import Declaration, declarations


@dataclass(frozen=True)
class ReportSettings:
    """What figures and tables can ask for: a parameter of a drawing function has one of these names.

    All values are plain data, as parameters of Snakemake's rules have to be.

    Attributes:
        labels: `classes` and `background` of the config; functions get a `LabelTable`.
        channels: contrasts.
        with_t1w: whether T1w is one of them, and so is registered.
        patch_size: rows and columns of a patch.
        folds: 1 … number of folds.
        topologies: by trained network, its complete entry.
        networks: the trained networks, in the config's order.
        ensembles: by combined ensemble, its networks.
        ensemble_sizes: by combined ensemble, the number of its networks.
        meta_learners: the stacking combiners that are trained, `NAD`.
        stacking: optimiser and learning_rate of the meta-learners.
        monitor: column of a history whose greatest value marks the epoch that is kept.
        columns: by name of a table of IoU, the experiments that are its columns.
        published_columns: the same, of tables that can be compared with the paper's; empty for other classes than the paper's.
        shown: experiments of Figure 7.
        shown_models: models of these experiments.
        threshold_models: the same, if labels by thresholds are part of the study.
        compared: experiments of Figure 8.
        measured: experiments with surface distances and confusion matrices.
        units: of the statistical comparison, `slice` and `patient`.
        significance: the p-value below which a difference is marked.
        uncertain: the experiment whose uncertainty is mapped; empty if none is.
        registration_limits: `unusual_shift_mm` and `unusual_rotation_deg`.
    """

    labels: Mapping[str, Any]
    channels: Sequence[str]
    with_t1w: bool
    patch_size: int
    folds: Sequence[int]
    topologies: Mapping[str, Mapping[str, Any]]
    networks: Sequence[str]
    ensembles: Mapping[str, Sequence[str]]
    ensemble_sizes: Mapping[str, int]
    meta_learners: Sequence[str]
    stacking: Mapping[str, Any]
    monitor: str
    columns: Mapping[str, Sequence[str]]
    published_columns: Mapping[str, Sequence[str]]
    shown: Sequence[str]
    shown_models: Sequence[str]
    threshold_models: Sequence[str]
    compared: Sequence[str]
    measured: Sequence[str]
    units: Sequence[str]
    significance: float
    uncertain: str
    registration_limits: Mapping[str, float]


def report_settings(study: Study) -> ReportSettings:
    """Take out of a study what figures and tables ask for."""
    config = study.config
    columns = {name: study.columns(entries) for name, entries in config.tables.items() if entries is not None}
    shown = study.columns(config.figures.cases)
    models = {experiment.rpartition("+")[0] for experiment in shown}
    shown_models = [model.name for model in study.models if model.name in models]
    measured = config.comparison.surface_distances_for
    is_the_papers = [one.name for one in config.classes] == published.class_names()
    plain = study.as_dict()
    return ReportSettings(
        labels={"classes": plain["classes"], "background": plain["background"]},
        channels=plain["channels"],
        with_t1w="T1w" in config.channels,
        patch_size=config.patches.patch_size,
        folds=study.folds,
        topologies={name: study.topology(name) for name in study.networks},
        networks=study.networks,
        ensembles=study.ensembles,
        ensemble_sizes={name: len(members) for name, members in study.ensembles.items()},
        meta_learners=study.stacking_combiners,
        stacking={key: plain["stacking"][key] for key in ("optimiser", "learning_rate")},
        monitor=MONITOR_COLUMNS[config.training.monitor],
        columns=columns,
        published_columns=columns if is_the_papers else {},
        shown=shown,
        shown_models=shown_models,
        threshold_models=shown_models if "TH" in config.labellings else [],
        compared=study.columns(config.figures.box_plots),
        measured=shown if measured is None else study.columns(measured),
        units=["slice", "patient"],
        significance=config.comparison.significance,
        uncertain=config.uncertainty.experiment or "",
        registration_limits={key: plain["registration"][key] for key in ("unusual_shift_mm", "unusual_rotation_deg")},
    )


@dataclass(frozen=True)
class Entry:
    """A figure or table that a study has.

    Attributes:
        kind: `figure` or `table`.
        name: stem of its files, `errors_UMD+TH`.
        section: of the page.
        title: heading.
        caption: one or more sentences.
        files: by parameter of the function, the file below `results/<study>/` that it needs.
        settings: by parameter of the function, the value of the setting.
        function: full name of the function that makes it.
        module: the file of this function.
        below: the table that this one is folded away below.
        is_one_of_many: whether it is one of several that are declared together (`for_each`).
        of_study: whether the study includes it.
    """

    kind: str
    name: str
    section: str
    title: str
    caption: str
    files: Mapping[str, str]
    settings: Mapping[str, Any]
    function: str
    module: Path
    below: str = ""
    is_one_of_many: bool = False
    of_study: bool = True

    @property
    def parameters_of_files(self) -> list[str]:
        """The parameters of the function that get files."""
        return list(self.files)


def contents(settings: ReportSettings, declared: Sequence[Declaration] | None = None) -> list[Entry]:
    """List the figures and tables that a study has, in the order of the page.

    Args:
        settings: of the study.
        declared: from `registry.declarations`, which are read if left out.

    Raises:
        InputError: a declaration names a setting that does not exist, or the config names a table as the workflow does.
    """
    found: list[Entry] = []
    for one in declarations() if declared is None else declared:
        if not one.when or _setting(settings, one.when, one):
            items = _setting(settings, one.for_each, one) if one.for_each else [""]
            found += [_entry(one, item, settings) for item in items]
    tables = [one.name for one in found if one.kind == "table"]
    for name in settings.columns:
        if tables.count(name) > 1:
            raise InputError(
                f"config: `tables.{name}` is the name of a table that the workflow makes itself; rename it"
            )
    return found


def _entry(declared: Declaration, item: str, settings: ReportSettings) -> Entry:
    fill = {declared.item: item, "title": title_of(item)} if declared.for_each else {}

    def filled(text: str) -> str:
        return text.format(**fill) if fill else text

    values = {}
    for parameter in declared.parameters:
        if parameter == declared.item:
            values[parameter] = item
        elif parameter not in declared.needs:
            value = _setting(settings, parameter, declared)
            values[parameter] = value[item] if parameter == declared.for_each else value
    name = filled(declared.name)
    return Entry(
        kind=declared.kind,
        name=name,
        section=declared.section,
        title=filled(declared.title) or title_of(name),
        caption=filled(declared.caption),
        files={parameter: filled(path) for parameter, path in declared.needs.items()},
        settings=values,
        function=declared.function,
        module=declared.file,
        below=filled(declared.below),
        is_one_of_many=bool(declared.for_each),
        of_study=declared.of_study,
    )


def _setting(settings: ReportSettings, name: str, declared: Declaration) -> Any:
    if name not in (known := [field.name for field in fields(settings)]):
        raise InputError(
            f"{declared.file}: {declared.kind} `{declared.name}` asks for `{name}`, which is neither in its `needs` nor a setting; "
            f"the settings are {', '.join(known)}"
        )
    return getattr(settings, name)


def title_of(name: str) -> str:
    """Return the heading of a name: `fig_8` → `Figure 8`, `table_A1` → `Table A.1`."""
    kind, _, number = name.partition("_")
    word = {"fig": "Figure", "table": "Table"}.get(kind)
    if word is None or not number:
        return name
    return f"{word} {number[0]}.{number[1:]}" if number[0].isalpha() and number[1:].isdigit() else f"{word} {number}"


def page_settings(study: Study) -> dict[str, str]:
    """Describe what was run, for the page of results: the settings that change a result, name and text."""
    config = study.config
    training, registration, patches = config.training, config.registration, config.patches
    return {
        "Channels": " and ".join(config.channels),
        "Registration": (
            f"{registration.engine}, {registration.degrees_of_freedom} degrees of freedom"
            if "T1w" in config.channels
            else "none, one contrast"
        ),
        "Normalisation": f"z-score of each {config.normalisation.scope}, non-zero voxels",
        "Patches": f"{patches.patch_size} × {patches.patch_size}, stride {patches.stride}",
        "Folds": f"{config.split.folds}, seed {config.split.seed}",
        "Networks": f"{', '.join(study.networks)}; m = {training.base_filters}, {training.epochs} epochs, batch size "
        f"{training.batch_size}, {training.precision}, best epoch by {training.monitor}, seed {training.seed}",
        "Ensembles": "; ".join(f"{name}: {' '.join(members)}" for name, members in study.ensembles.items()),
        "Combiners": f"{', '.join(config.combine.combiners)}; meta-learners {config.stacking.epochs} epochs",
        "Labelling": ", ".join(config.labellings),
    }
