"""Config files that mean what they seem to mean: YAML reads some of them without an error, but not as they are written.

This module is read each time Snakemake parses the workflow, so it imports nothing heavy.
"""

import json
import os
import re
from collections.abc import Hashable, Iterator
from pathlib import Path
from typing import Any

import yaml

from lumbarseg.errors import InputError

_PLAIN = {f"tag:yaml.org,2002:{kind}" for kind in ("null", "bool", "int", "float", "str", "timestamp", "map", "seq")}
_MERGE = "tag:yaml.org,2002:merge"
_NUMBERS = ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float")

# What YAML 1.1 reads as numbers in base 8 and 60: 010 is 8, 1:30 is 90.
_OTHER_BASE = re.compile(r"[-+]?(0[0-7_]+|[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?)")

_DEEPEST = 30  # levels of sections and lists; the config has 6
_MOST_ENTRIES = 100_000  # with what aliases repeat; the paper's config has 700
_SHOWN = 60  # characters of a key or value in a message


def read_config(file: Path) -> dict[str, Any]:
    """Read a config file as Snakemake does: JSON, whose tabs are no YAML, or else YAML. An empty one has no keys."""
    text = file.read_text(encoding="utf-8")
    try:
        return json.loads(text) or {}
    except json.JSONDecodeError:
        return yaml.safe_load(text) or {}


def require_unambiguous(path: str | os.PathLike[str]) -> None:
    """Require a config file that YAML reads as it is written.

    Args:
        path: YAML or JSON; a file that does not exist is passed over.

    Raises:
        InputError: the file is not UTF-8, no YAML, nested too deeply or repeats itself; a key appears twice, a number is read in
            base 8 or 60 or has more digits than Python reads, a date does not exist, or a value has a tag of YAML.
    """
    file = Path(path)
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError:
        return
    except UnicodeDecodeError as error:
        raise InputError(f"{file}: not UTF-8 text; save it as UTF-8") from error
    except OSError as error:
        raise InputError(f"{file}: cannot be read ({error.strerror}); name a readable file") from error
    try:
        if not _is_json(file, text):
            _require_plain_yaml(file, text)
    except yaml.MarkedYAMLError as error:
        line = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise InputError(f"{file}{line}: not valid YAML ({error.problem}); correct it") from error
    except yaml.YAMLError as error:  # a character that YAML does not allow
        raise InputError(f"{file}: not valid YAML (a control character); remove it") from error
    except RecursionError as error:
        raise InputError(f"{file}: nested more than {_DEEPEST} levels deep; simplify it") from error


def _is_json(file: Path, text: str) -> bool:
    """Return whether a file is JSON, which Snakemake tries first, and require that no key appears twice in it."""

    def unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
        found: dict[str, object] = {}
        for key, value in pairs:
            if key in found:
                raise InputError(f"{file}: the key `{key[:_SHOWN]}` appears twice; remove one")
            found[key] = value
        return found

    def number(digits: str) -> int:
        try:
            return int(digits)
        except ValueError as error:
            raise InputError(
                f"{file}: the number {digits[:_SHOWN]}… has {len(digits)} characters; correct it"
            ) from error

    try:
        json.loads(text, object_pairs_hook=unique, parse_int=number)
    except json.JSONDecodeError:
        return False
    return True


def _require_plain_yaml(file: Path, text: str) -> None:
    loader = yaml.SafeLoader(text)
    root = loader.get_single_node()
    for number, (node, level) in enumerate(_nodes(root) if root else ()):
        place = f"{file}, line {node.start_mark.line + 1}"
        if level > _DEEPEST:
            raise InputError(f"{place}: nested more than {_DEEPEST} levels deep; simplify it")
        if number >= _MOST_ENTRIES:
            raise InputError(f"{place}: more than {_MOST_ENTRIES} entries, counting what aliases repeat; simplify it")
        if node.tag not in _PLAIN:
            raise InputError(f"{place}: a value has the YAML tag `{node.tag[:_SHOWN]}`; write it without a tag")
        if isinstance(node, yaml.MappingNode):
            _require_unique_keys(place, node)
        if not isinstance(node, yaml.ScalarNode):
            continue
        try:
            str(loader.construct_object(node))
        except (ValueError, OverflowError) as error:
            raise InputError(
                f"{place}: YAML cannot read `{node.value[:_SHOWN]}` as a number or date; correct it, or write it as text in quotes"
            ) from error
        if node.tag in _NUMBERS and _OTHER_BASE.fullmatch(node.value):
            meant = yaml.safe_load(node.value)
            raise InputError(
                f"{place}: YAML reads `{node.value[:_SHOWN]}` as {meant}; write {meant}, or the number that is meant without "
                "leading zeros and colons, or text in quotes"
            )
    if root:
        loader.construct_document(root)


def _nodes(root: yaml.Node) -> Iterator[tuple[yaml.Node, int]]:
    """Iterate over a document's values and keys, each with its level; aliases as often as they are used."""
    pending = [(root, 1)]
    while pending:
        node, level = pending.pop()
        yield node, level
        if isinstance(node, yaml.MappingNode):
            pending += [(part, level + 1) for key, value in node.value for part in (key, value) if part.tag != _MERGE]
        elif isinstance(node, yaml.SequenceNode):
            pending += [(part, level + 1) for part in node.value]


def _require_unique_keys(place: str, node: yaml.MappingNode) -> None:
    seen: dict[Hashable, int] = {}
    for key, _ in node.value:
        if not isinstance(key, yaml.ScalarNode):
            raise InputError(f"{place}: a key is a list or a section; write it as text")
        line, name = key.start_mark.line + 1, (key.tag, key.value)
        if name in seen:
            raise InputError(
                f"{place.rpartition(', line ')[0]}, line {line}: the key `{key.value[:_SHOWN]}` is already in line {seen[name]}; "
                "remove one"
            )
        seen[name] = line
