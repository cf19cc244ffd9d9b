"""A study as its config describes it: checked, with defaults filled in, and its networks, ensembles and experiments by name.

This module is read each time Snakemake parses the workflow, so it imports nothing heavy.
"""

import copy
import difflib
import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import jsonschema
import yaml

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
    """The config of a study, with questions the rules ask of it."""

    def __init__(self, config: dict[str, Any], schema: Path, files: Sequence[Path] = ()) -> None:
        """Check the config and fill in defaults (in place, so that Snakemake's own `config` has them too).

        Args:
            config: all config files merged, later ones over earlier ones.
            schema: the JSON schema (YAML), with a default for every key that may be left out.
            files: the config files, in the order they were laid over each other, to name the one that is wrong.

        Raises:
            InputError: an unknown key, a value out of range, or a name that is not defined.
        """
        self.config = config
        self._files = files
        self._validate(yaml.safe_load(schema.read_text(encoding="utf-8")))
        self._check_names()

    def __getitem__(self, key: str) -> Any:
        return self.config[key]

    # ---- what the study consists of -------------------------------------------------------------------------------

    @property
    def networks(self) -> list[str]:
        """The topologies that are trained, in the config's order."""
        return list(self["train"])

    def topology(self, name: str) -> dict[str, Any]:
        """A topology's entry with every default filled in (Table 4)."""
        return complete_topology(name, self["topologies"][name])

    @property
    def ensembles(self) -> dict[str, list[str]]:
        """The ensembles that are combined, with their networks (Table 5)."""
        return {name: self["ensembles"][name] for name in self["combine"]["ensembles"]}

    @cached_property
    def models(self) -> list[Model]:
        """All networks, then all ensembles with each combiner."""
        single = [Model(name, (name,)) for name in self.networks]
        combined = [
            Model(f"{ensemble}+{combiner}", tuple(members), combiner)
            for ensemble, members in self.ensembles.items()
            for combiner in self["combine"]["combiners"]
        ]
        return single + combined

    @property
    def meta_learners(self) -> list[Model]:
        """The models whose combiner is trained."""
        return [model for model in self.models if model.is_stacked]

    @property
    def stacking_combiners(self) -> list[str]:
        """The combiners with weights that are trained, in the config's order (Table 6)."""
        return [name for name in self["combine"]["combiners"] if name in META_LEARNERS] if self.ensembles else []

    @property
    def trials(self) -> dict[str, Trial]:
        """The combinations of the hyper-parameter search, by name; none where the config has no `search`."""
        search = self.config.get("search")
        if not search:
            return {}
        found = {}
        for topology in search.get("topologies", self.networks):
            for optimiser, rates in search["learning_rates"].items():
                # A later config file cannot take a key of an earlier one away, but it can set it to null.
                for rate, activation in itertools.product(rates or [], search["activations"]):
                    values = (optimiser, float(rate), activation)
                    entry = self.topology(topology) | dict(zip(HYPER_PARAMETERS, values, strict=True))
                    name = f"{topology}_{optimiser}_{float(rate):g}_{activation}"
                    found[name] = Trial(name, topology, entry)
        return found

    @property
    def experiments(self) -> list[str]:
        """Every model with every labelling: `UMD+TH`, `E12+NAD+TH`, …"""
        return [f"{model.name}+{labelling}" for model in self.models for labelling in self["labellings"]]

    @property
    def folds(self) -> list[int]:
        """1 … number of folds."""
        return list(range(1, self["split"]["folds"] + 1))

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
        kept = {key: self[key] for key in _DEFINING if key in self.config}
        kept["training"] = {
            key: value for key, value in self["training"].items() if key not in ("device", "tensorboard")
        }
        used = {"topologies": {name: self.topology(name) for name in self.networks}, "ensembles": self.ensembles}
        return kept | {"classes": [tissue["name"] for tissue in self["classes"]]} | used

    # ---- checks ---------------------------------------------------------------------------------------------------

    def _validate(self, schema: dict[str, Any]) -> None:
        error = jsonschema.exceptions.best_match(_FillingValidator(schema).iter_errors(self.config))
        if error is None:
            return
        path = [str(part) for part in error.absolute_path]
        if error.validator == "additionalProperties":
            known = sorted(error.schema.get("properties", {}))
            for key in (key for key in error.instance if key not in known):
                close = difflib.get_close_matches(str(key), known, n=1)
                remedy = f"did you mean `{close[0]}`?" if close else "take it out"
                raise InputError(
                    f"{self._file([*path, str(key)])}: expected one of the keys {', '.join(known)}"
                    f"{' under `' + '.'.join(path) + '`' if path else ''}, found `{key}`; {remedy}"
                )
        expected = error.schema.get("description", "")
        raise InputError(
            f"{self._file(path)}: `{'.'.join(path) or 'the config'}` cannot be used: {error.message}"
            f"{'; expected: ' + expected if expected else ''}; correct it there (docs/configuration.md lists every key)"
        )

    def _file(self, path: Sequence[str]) -> str:
        """Name the last config file that says something at `path`, for it is the one that counts."""
        for file in reversed(self._files):
            content: Any = yaml.safe_load(file.read_text(encoding="utf-8")) or {}
            for part in path:
                if isinstance(content, Mapping) and part in content:
                    content = content[part]
                elif isinstance(content, list) and part.isdigit() and int(part) < len(content):
                    content = content[int(part)]
                else:
                    break
            else:
                return str(file)
        return str(self._files[-1]) if self._files else "config"

    def _check_names(self) -> None:
        self._require(self["train"], self["topologies"], ["train"], "a topology", "define it under `topologies`")
        for name in self["train"]:
            self.topology(name)
        search = self.config.get("search", {})
        where = ["search", "topologies"]
        self._require(
            search.get("topologies", []), self["topologies"], where, "a topology", "define it under `topologies`"
        )
        remedy = "leave it out, or raise `split.folds`"
        self._require(map(str, search.get("folds", [])), map(str, self.folds), ["search", "folds"], "a fold", remedy)
        for name, members in self["ensembles"].items():
            where = ["ensembles", name]
            self._require(members, self["topologies"], where, "a topology", "define it under `topologies`")
        chosen = self["combine"]["ensembles"]
        self._require(chosen, self["ensembles"], ["combine", "ensembles"], "an ensemble", "define it under `ensembles`")
        for name in chosen:
            remedy = "add it to `train`, or leave the ensemble out of `combine.ensembles`"
            self._require(
                self["ensembles"][name], self["train"], ["ensembles", name], "a network that is trained", remedy
            )
        for section, name in (("figures", "cases"), ("figures", "box_plots"), ("comparison", "measured")):
            remedy = "add what it needs to `train`, `combine` or `labellings`, or leave it out here"
            experiments = self.columns(self[section][name] or [])
            self._require(experiments, self.experiments, [section, name], "an experiment of this study", remedy)
        reference = self["comparison"]["reference"]
        mapped = self["uncertainty"]["experiment"]
        remedy = "name one of them, or null"
        where = ["uncertainty", "experiment"]
        self._require([mapped] if mapped else [], self.experiments, where, "an experiment of this study", remedy)
        remedy = "name one of them under `comparison.reference`"
        self._require([reference], self.experiments, ["comparison", "reference"], "an experiment of this study", remedy)

    def _require(
        self, names: Iterable[str], defined: Iterable[str], path: Sequence[str], what: str, remedy: str
    ) -> None:
        known = list(defined)
        for name in names:
            if name not in known:
                close = difflib.get_close_matches(name, known, n=1)
                shown = ", ".join(known[:13]) + (", …" if len(known) > 13 else "")
                raise InputError(
                    f"{self._file(path)}: `{'.'.join(path)}` names `{name}`; expected {what} ({shown or 'there is none'})"
                    f"{'; did you mean ' + close[0] + '?' if close else ''}; {remedy}"
                )


_DEFINING = ("channels", "classes", "background", "registration", "normalisation", "patches", "split", "train", "training",
             "combine", "stacking", "labellings", "comparison")  # fmt: skip
_USED = ("topologies.", "ensembles.")
_ABSENT = "—"


def _flat(content: Mapping[str, Any], path: str = "") -> Iterable[tuple[str, Any]]:
    for key, value in content.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{path}{key}.")
        else:
            yield f"{path}{key}", value


def _printed(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _fill_defaults(validator: Any, properties: dict[str, Any], instance: Any, schema: dict[str, Any]) -> Any:
    if isinstance(instance, dict):
        for key, subschema in properties.items():
            if "default" in subschema:
                instance.setdefault(key, copy.deepcopy(subschema["default"]))
    yield from jsonschema.Draft202012Validator.VALIDATORS["properties"](validator, properties, instance, schema)


_FillingValidator = jsonschema.validators.extend(jsonschema.Draft202012Validator, {"properties": _fill_defaults})
