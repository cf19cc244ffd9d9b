"""A study as its config describes it: checked, with defaults filled in, and its networks, ensembles and experiments by name.

This module is read each time Snakemake parses the workflow, so it imports nothing heavy.
"""

import itertools
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from lumbarseg.characters import is_invisible
from lumbarseg.config.messages import explain, similar
from lumbarseg.config.reading import read_config
from lumbarseg.config.schema import StudyConfig
from lumbarseg.config.topology import complete_topology
from lumbarseg.errors import InputError

MEANS = ("Arith", "Geo", "Flip")
"""Combiners without weights: equations 1 and 2; and, beyond the paper, the arithmetic mean over the images as they are and
flipped from front to back."""

META_LEARNERS = ("NAD", "NCD", "NSD", "TAD", "TCD", "TSD")
"""Stacking combiners: input {N: scores, T: meta-learner inputs}, merging {A: average, C: concatenate, S: sum}, dense (Table 6)."""


HYPER_PARAMETERS = ("optimiser", "learning_rate", "activation")
"""What the paper chose for each topology by its validation accuracy (Table 4)."""


@dataclass(frozen=True)
class Model:
    """A network or an ensemble: what gives one set of scores.

    Attributes:
        name: `UMD` or `E12+NAD`.
        networks: the topologies whose outputs it combines; one for a network.
        combiner: one of `MEANS` or `META_LEARNERS`; empty for a network.
    """

    name: str
    networks: tuple[str, ...]
    combiner: str = ""

    @property
    def ensemble(self) -> str:
        """The ensemble's short name (`E12`), or the network's."""
        return self.name.split("+")[0]

    @property
    def is_stacked(self) -> bool:
        """Whether its combiner has weights that are trained."""
        return self.combiner in META_LEARNERS

    @property
    def takes_mean(self) -> bool:
        """Whether it is made of the arithmetic mean of several outputs; their sum is a multiple of it."""
        return self.combiner in ("Arith", "Flip") or (self.is_stacked and self.combiner[1] in "AS")


@dataclass(frozen=True)
class Trial:
    """One combination of the hyper-parameter search.

    Attributes:
        name: `UMD_adam_0.00033_relu`.
        topology: `UMD`.
        entry: its complete entry with this optimiser, learning rate and activation.
    """

    name: str
    topology: str
    entry: dict[str, Any]

    @property
    def hyper_parameters(self) -> dict[str, Any]:
        """Optimiser, learning_rate and activation."""
        return {key: self.entry[key] for key in HYPER_PARAMETERS}


class Study:
    """A study: its checked config, and what the rules ask of it.

    Attributes:
        config: the validated config, with all defaults.
    """

    def __init__(self, config: Mapping[str, Any], files: Sequence[Path] = ()) -> None:
        """Check the config and fill in defaults.

        Args:
            config: all config files merged, later ones over earlier ones; is not changed.
            files: the config files, in the order they were laid over each other, to name the one that is wrong.

        Raises:
            InputError: an unknown key, a value out of range or that contradicts another one, or a name that is not defined.
        """
        self._given, self._files = config, files
        try:
            self.config = StudyConfig.model_validate(dict(config))
        except ValidationError as error:
            raise InputError(explain(error, self._file)) from None
        self._check_classes()
        self._check_patches()
        self._check_names()

    def as_dict(self) -> dict[str, Any]:
        """Return the complete config as plain data; the sections `layout`, `phantom` and `search` only where there are any."""
        plain = self.config.model_dump(mode="json")
        return {key: value for key, value in plain.items() if value is not None or key not in _OPTIONAL_SECTIONS}

    # ---- what the study consists of -------------------------------------------------------------------------------

    @property
    def networks(self) -> list[str]:
        """The topologies that are trained, in the config's order."""
        return list(self.config.train)

    def topology(self, name: str) -> dict[str, Any]:
        """A topology's entry with every default filled in (Table 4)."""
        return complete_topology(name, self.config.topologies[name].model_dump(mode="json"), self._file)

    @property
    def ensembles(self) -> dict[str, list[str]]:
        """The ensembles that are combined, with their networks (Table 5)."""
        return {name: list(self.config.ensembles[name]) for name in self.config.combine.ensembles}

    @cached_property
    def models(self) -> list[Model]:
        """All networks, then all ensembles with each combiner."""
        single = [Model(name, (name,)) for name in self.networks]
        combined = [
            Model(f"{ensemble}+{combiner}", tuple(members), combiner)
            for ensemble, members in self.ensembles.items()
            for combiner in self.config.combine.combiners
        ]
        return single + combined

    @property
    def meta_learners(self) -> list[Model]:
        """The models whose combiner is trained."""
        return [model for model in self.models if model.is_stacked]

    @property
    def stacking_combiners(self) -> list[str]:
        """The combiners with weights that are trained, in the config's order (Table 6)."""
        return [name for name in self.config.combine.combiners if name in META_LEARNERS] if self.ensembles else []

    @property
    def trials(self) -> dict[str, Trial]:
        """The combinations of the hyper-parameter search, by name; none where the config has no `search`."""
        search = self.config.search
        if not search:
            return {}
        found = {}
        for topology in search.topologies or self.networks:
            for optimiser, rates in search.learning_rates.items():
                # A later config file cannot take a key of an earlier one away, but it can set it to null.
                for rate, activation in itertools.product(rates or [], search.activations):
                    values = (optimiser, rate, activation)
                    entry = self.topology(topology) | dict(zip(HYPER_PARAMETERS, values, strict=True))
                    name = f"{topology}_{optimiser}_{rate:g}_{activation}"
                    found[name] = Trial(name, topology, entry)
        return found

    @property
    def experiments(self) -> list[str]:
        """Every model with every labelling: `UMD+TH`, `E12+NAD+TH`, …"""
        return [f"{model.name}+{labelling}" for model in self.models for labelling in self.config.labellings]

    @property
    def unlabelled(self) -> list[int]:
        """The ids of the classes that masks do not hold; none if they hold all."""
        held = self.config.partial_labels
        classes = self.config.classes if held is not None else ()
        return [one.id for one in classes if one.name not in (held or ()) and one.id != self.config.background]

    @property
    def folds(self) -> list[int]:
        """1 … number of folds."""
        return list(range(1, self.config.split.folds + 1))

    def columns(self, entries: Iterable[str]) -> list[str]:
        """The experiments that entries of a table stand for.

        `networks+MAP` stands for every network, `ensembles+NAD+TH` for every ensemble; anything else for itself.
        """
        found: list[str] = []
        for entry in entries:
            kind, _, rest = entry.partition("+")
            names = {"networks": self.networks, "ensembles": list(self.ensembles)}.get(kind, [kind])
            found += [f"{name}+{rest}" for name in names]
        return found

    def differences_from(self, paper: "Study") -> list[tuple[str, str, str]]:
        """List the settings that change a result and differ from another study's.

        Args:
            paper: the study to compare with.

        Returns:
            Key, this study's value and the other's, as texts; topologies and ensembles are compared as far as they are used.
        """
        ours, theirs = (dict(_flat(study._settings())) for study in (self, paper))
        return [
            (key, _printed(ours.get(key, _ABSENT)), _printed(theirs.get(key, _ABSENT)))
            for key in dict.fromkeys([*ours, *theirs])
            if ours.get(key, _ABSENT) != theirs.get(key, _ABSENT) and not (key.startswith(_USED) and key not in ours)
        ]

    def _settings(self) -> dict[str, Any]:
        """What defines the results, with topologies and ensembles complete and as far as they are used."""
        plain = self.config.model_dump(
            mode="json", include=set(_DEFINING), exclude={"training": {"device", "tensorboard"}}
        )
        used = {"topologies": {name: self.topology(name) for name in self.networks}, "ensembles": self.ensembles}
        return {key: plain[key] for key in _DEFINING} | {"classes": [one.name for one in self.config.classes]} | used

    @cached_property
    def warnings(self) -> list[str]:
        """What is probably not meant: a topology redefined in part, which keeps keys of an earlier config file; classes nobody teaches.

        Config files are merged key by key, so `topologies: {UMD: {learning_rate: 0.001}}` keeps the blocks of the paper's UMD.
        """
        found = []
        merged: dict[str, dict[str, Any]] = {}
        for file in self._files:
            content = read_config(file).get("topologies")
            for name, entry in (content if isinstance(content, Mapping) else {}).items():
                kept = {key: value for key, value in merged.get(name, {}).items() if key not in (entry or {})}
                if kept:
                    shown = ", ".join(f"`{key}: {_printed(value)}`" for key, value in kept.items())
                    found.append(
                        f"{file}: `topologies.{name}` redefines a topology in part and keeps {shown} of the earlier definition; "
                        "set these keys too, or give the topology a new name"
                    )
                merged[name] = merged.get(name, {}) | (entry or {})
        training = self.config.training
        if self.config.partial_labels and not training.start_from and not training.phantom_share:
            found.append(
                f"{self._file(['partial_labels'])}: nothing teaches the networks the classes that `partial_labels` leaves out; set "
                "`training.start_from` or `training.phantom_share` (docs/your_own_data.md)"
            )
        return found

    # ---- checks ---------------------------------------------------------------------------------------------------

    def _file(self, path: Sequence[str]) -> str:
        """Name the last config file that sets `path`, because it is the one that counts, or the command line's `--config`."""
        if not self._files:
            return "config"
        found, given = _value(self._given, path)
        for file in reversed(self._files):
            is_there, value = _value(read_config(file), path)
            if is_there:
                changed = found and value != given and not isinstance(value, Mapping)
                return "--config" if changed else str(file)
        return "--config" if found else str(self._files[-1])

    def _last_file(self, *paths: Sequence[str]) -> str:
        """Name the last of the config files that set the paths: the user's own, if it sets one of them."""
        order = ["config", *map(str, self._files), "--config"]
        return max(map(self._file, paths), key=order.index)

    def _check_classes(self) -> None:
        classes, ids = self.config.classes, [one.id for one in self.config.classes]
        if ids != list(range(len(ids))):
            raise InputError(
                f"{self._file(['classes'])}: the ids of `classes` are {_some(ids)}, not 0, 1, 2 … in order; renumber the classes"
            )
        if self.config.background not in ids:
            raise InputError(
                f"{self._file(['background'])}: `background` is {self.config.background}, the id of no class; set it to one of "
                f"{_some(ids)}"
            )
        # Names that print alike are one name.
        names = Counter(_plain_name(one.name) for one in classes)
        values = Counter(value for one in classes for value in ([one.id] if one.values is None else one.values))
        for one in classes:
            if names[_plain_name(one.name)] > 1:
                raise InputError(
                    f"{self._file(['classes'])}: `classes` has the name {one.name} twice; give each class its own name"
                )
        for value, number in values.items():
            if number > 1:
                raise InputError(
                    f"{self._file(['classes'])}: the mask value {value} occurs twice under `classes`; give each value to one class "
                    "(a class without `values` has its id)"
                )

    def _check_patches(self) -> None:
        patches = self.config.patches
        if patches.stride > patches.patch_size:
            where = self._last_file(["patches", "stride"], ["patches", "patch_size"])
            raise InputError(
                f"{where}: `patches.stride` is {patches.stride}, more than `patches.patch_size` ({patches.patch_size}), so pixels "
                f"between patches would be left out; set it to at most {patches.patch_size}"
            )

    def _check_names(self) -> None:
        config = self.config
        define = "define it under `topologies`"
        self._require(config.train, config.topologies, ["train"], "topology", define)
        for name in config.train:
            self.topology(name)
        names = [label.name for label in config.classes if label.id != config.background]
        self._require(config.classes_left_out, names, ["classes_left_out"], "class", "correct the name")
        if config.search:
            where = ["search", "topologies"]
            self._require(config.search.topologies or (), config.topologies, where, "topology", define)
            tried, folds = map(str, config.search.folds), map(str, self.folds)
            self._require(tried, folds, ["search", "folds"], "fold", "raise `split.folds`")
        self._check_partial_labels()
        self._check_phantom_share()
        for name, members in config.ensembles.items():
            if name in config.topologies:
                raise InputError(
                    f"{self._file(['ensembles', name])}: `ensembles.{name}` has the name of a topology; rename the ensemble"
                )
            self._require(members, config.topologies, ["ensembles", name], "topology", define)
        chosen, where = config.combine.ensembles, ["combine", "ensembles"]
        self._require(chosen, config.ensembles, where, "ensemble", "define it under `ensembles`")
        for name in chosen:
            untrained = [member for member in config.ensembles[name] if member not in config.train]
            if untrained:
                raise InputError(
                    f"{self._last_file(['train'], ['ensembles', name], ['combine', 'ensembles'])}: the ensemble {name} needs the "
                    f"network `{untrained[0]}`, which is not in `train`; add it there, or set `combine.ensembles` without {name}"
                )
        shown = {
            "figures.cases": self.columns(config.figures.cases),
            "figures.box_plots": self.columns(config.figures.box_plots),
            "comparison.surface_distances_for": self.columns(config.comparison.surface_distances_for or ()),
            "comparison.reference": [config.comparison.reference],
            "uncertainty.experiment": [config.uncertainty.experiment] if config.uncertainty.experiment else [],
        }
        for key, experiments in shown.items():
            remedy = "add what it needs to `train`, `combine` or `labellings`"
            self._require(experiments, self.experiments, key.split("."), "experiment", remedy)

    def _check_phantom_share(self) -> None:
        share, size = self.config.training.phantom_share, self.config.training.batch_size
        if share and not 0 < round(share * size) < size:
            raise InputError(
                f"{self._file(['training', 'phantom_share'])}: `training.phantom_share` of {share:g} makes {round(share * size)} of the "
                f"{size} patches of a batch phantoms; set it between {1 / size:.3g} and {1 - 1 / size:.3g}, or to 0"
            )

    def _check_partial_labels(self) -> None:
        held, where = self.config.partial_labels or (), ["partial_labels"]
        names = [one.name for one in self.config.classes if one.id != self.config.background]
        background = next((one.name for one in self.config.classes if one.id == self.config.background), None)
        if background in held:
            raise InputError(
                f"{self._file(where)}: `partial_labels` names the background `{background}`, which unlabelled pixels may or may not "
                "be; remove it"
            )
        self._require(held, names, where, "class", "add it to `classes`")
        if len(held) == len(names):
            raise InputError(f"{self._file(where)}: `partial_labels` names all classes; remove it, or set it to null")

    def _require(
        self, names: Iterable[str], defined: Iterable[str], path: Sequence[str], what: str, remedy: str
    ) -> None:
        known = list(defined)
        for name in names:
            if name not in known:
                close = similar(name, known)
                listed = ", ".join(known[:13]) + (", …" if len(known) > 13 else "")
                raise InputError(
                    f"{self._file(path)}: `{'.'.join(path)}` names the unknown {what} `{name}`{f' ({close})' if close else ''}; "
                    f"{f'choose one of {listed}, or ' if known else ''}{remedy}"
                )


_OPTIONAL_SECTIONS = ("layout", "phantom", "search")
_DEFINING = ("channels", "classes", "background", "partial_labels", "registration", "normalisation", "patches", "split", "train", "training",
             "combine", "stacking", "labellings", "comparison")  # fmt: skip
_USED = ("topologies.", "ensembles.")
_ABSENT = "—"


def _some(ids: Sequence[int]) -> str:
    return ", ".join(map(str, ids[:13])) + (", …" if len(ids) > 13 else "")


def _plain_name(name: str) -> str:
    """Return what two names that print alike have in common."""
    visible = "".join(sign for sign in unicodedata.normalize("NFKC", name) if not is_invisible(sign))
    return " ".join(visible.casefold().split())


def _value(content: Any, path: Sequence[str]) -> tuple[bool, Any]:
    """Return whether a config sets a path of keys, and its value there."""
    for part in path:
        if isinstance(content, Mapping) and part in content:
            content = content[part]
        elif isinstance(content, list) and part.isdigit() and int(part) < len(content):
            content = content[int(part)]
        else:
            return False, None
    return True, content


def _flat(content: Mapping[str, Any], path: str = "") -> Iterable[tuple[str, Any]]:
    for key, value in content.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{path}{key}.")
        else:
            yield f"{path}{key}", value


def _printed(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(_printed, value))
    return str(value).removesuffix(".0") if isinstance(value, float) else str(value)
