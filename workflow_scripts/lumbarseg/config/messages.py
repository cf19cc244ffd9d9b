"""What is wrong in a config, as one sentence: pydantic's errors, worded from the models that define the keys."""

import difflib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from decimal import Decimal
from functools import cache
from typing import Any

from pydantic import ValidationError

from lumbarseg.config.schema import RENAMED, json_schema

_ALL_KEYS = "(docs/configuration.md lists every key)"
_LONGEST = 60  # characters of a wrong value that a message repeats


def explain(error: ValidationError, file_of: Callable[[Sequence[str]], str], under: Sequence[str] = ()) -> str:
    """Word the most telling error of a config as one sentence.

    A renamed or unknown key comes first, because it often causes the others; then a wrong value; then a missing key.

    Args:
        error: of validating a `StudyConfig`, or the section `under`.
        file_of: returns the file to name for a path of keys.
        under: the path of the validated section; empty for the whole config.

    Returns:
        For example "my_study.yaml: `training.epochs` must be at least 1, not 0; correct it (docs/configuration.md lists every key)".
    """
    errors = [_Located(one, under) for one in error.errors(include_url=False)]
    first = min(errors, key=lambda one: one.rank)
    # what is missing is in no file, but its section may be
    return f"{file_of(first.path[:-1] if first.is_missing else first.path)}: {first.sentence()}"


def similar(name: str, known: Sequence[str]) -> str:
    """Return "did you mean `epochs`?" for a name close to a known one, otherwise nothing."""
    close = difflib.get_close_matches(name, known, n=1)
    return f"did you mean `{close[0]}`?" if close else ""


def expected(entry: Mapping[str, Any]) -> str:
    """Word what an entry of the JSON schema allows: "a whole number of at least 1"; empty for a section."""
    entry = _resolved(entry)
    if "patternErrorMessage" in entry:
        return str(entry["patternErrorMessage"])
    choices = _choices(entry)
    if choices:
        return _either(choices)
    if "anyOf" in entry:
        return " or ".join(expected(choice) for choice in entry["anyOf"])
    if entry.get("type") == "array":
        items = entry.get("prefixItems") or ([entry["items"]] if "items" in entry else [])
        return f"a list of {'two ' if len(items) == 2 else ''}{_plural(items[0])}"
    word, bounds = _WORDS.get(entry.get("type", ""), ("", ""))[0], _bounds(entry)
    return f"{word} of {bounds}" if bounds.startswith("at") else f"{word} {bounds}".strip()


def _plural(entry: Mapping[str, Any]) -> str:
    """Word what each entry of a list may be."""
    entry = _resolved(entry)
    word, bounds = _WORDS.get(entry.get("type", ""), ("", "values"))[1], _bounds(entry)
    return ", ".join(_choices(entry)) or (
        f"{word} of {bounds}" if bounds.startswith("at") else f"{word} {bounds}".strip()
    )


def _choices(entry: Mapping[str, Any]) -> list[str]:
    """The values that an entry lists; none unless it lists all that are allowed."""
    if "const" in entry or "enum" in entry:
        return [_found(value) for value in entry.get("enum", [entry.get("const")])]
    if entry.get("type") == "null":
        return ["null"]
    parts = [_choices(choice) for choice in entry.get("anyOf", [])]
    return [choice for part in parts for choice in part] if all(parts) else []


def keys() -> Iterator[tuple[str, dict[str, Any], bool]]:
    """Iterate over the config's keys in order: dotted name, entry of the JSON schema, whether it has to be set."""
    yield from _keys(_schema(), "")


def _keys(section: Mapping[str, Any], path: str) -> Iterator[tuple[str, dict[str, Any], bool]]:
    for key, entry in section.get("properties", {}).items():
        name = f"{path}{key}"
        yield name, entry, key in section.get("required", ())
        inner = _section(entry)
        yield from _keys(inner, f"{name}.")
        for below in (inner.get("additionalProperties"), *inner.get("patternProperties", {}).values()):
            yield from _keys(_section(below) if isinstance(below, dict) else {}, f"{name}.<name>.")
        yield from _keys(_section(inner.get("items", {})), f"{name}[].")


class _Located:
    """One of pydantic's errors with its place in the config."""

    def __init__(self, error: Mapping[str, Any], under: Sequence[str]) -> None:
        self._error, self._kind = error, {"invalid_key": "extra_forbidden"}.get(error["type"], error["type"])
        location = list(error["loc"])
        if self._kind == "missing" and location and isinstance(location[-1], int):
            location.pop()  # a list that is too short
        self.path, self._entry = _place([*under, *map(str, location)])

    @property
    def rank(self) -> int:
        """0 for what to report first."""
        if self.path == ["config_version"]:
            return 0
        if self._kind == "extra_forbidden":
            return 1 if self._new_name else 2
        # pydantic calls a list too short when entries of it are wrong
        return {"missing": 4, "too_short": 5}.get(self._kind, 3)

    @property
    def is_missing(self) -> bool:
        """Whether the key is not there."""
        return self._kind == "missing" and isinstance(self._error["input"], Mapping)

    @property
    def _new_name(self) -> str | None:
        return RENAMED.get(".".join(self.path))

    def sentence(self) -> str:
        key, value = ".".join(self.path), self._error["input"]
        if self._kind == "extra_forbidden":
            return self._about_key(key)
        if self.is_missing:
            return f"`{key}` is missing; add it {_ALL_KEYS}"
        if not self.path:
            return f"the config must be a section of keys, not {_found(value)}; write `key: value` lines {_ALL_KEYS}"
        if key == "config_version":
            return f"`config_version` must be 1, not {_found(value)}; use the version of the workflow that it was written for"
        if self._error["loc"][-1:] == ("[key]",):
            return self._about_name(".".join(self.path[:-1]), self.path[-1])
        return f"`{key}` {self._about_value(value)}"

    def _about_key(self, key: str) -> str:
        if self._new_name:
            return f"`{key}` is now `{self._new_name}`; rename it"
        name = self.path[-1]
        elsewhere = [f"`{one}`" for one, _, _ in keys() if one.split(".")[-1] == name and "<" not in one]
        siblings = _schema_at(self.path[:-1]).get("properties", {})
        remedy = f"did you mean {_either(elsewhere)}?" if 0 < len(elsewhere) <= 3 else similar(name, list(siblings))
        return f"unknown key `{key}`; {remedy or f'remove it {_ALL_KEYS}'}"

    def _about_name(self, section: str, name: str) -> str:
        """About a name under a section whose keys the user chooses."""
        allowed = _schema_at(self.path[:-1]).get("propertyNames", {}).get("enum", [])
        if self._kind == "string_type":
            return f"the name {name} under `{section}` must be text; write it in quotes"
        meaning = f"must be {_either([f'`{one}`' for one in allowed])}" if allowed else self._error["msg"]
        return f"the name `{name}` under `{section}` {meaning}; {similar(name, allowed) or 'rename it'}"

    def _about_value(self, value: Any) -> str:
        remedy = f"correct it {_ALL_KEYS}"
        context, entry, kind = self._error.get("ctx", {}), self._entry, self._kind
        if kind == "repeated":
            return f"{self._error['msg']}; remove one"
        if kind in ("unordered", "channels"):
            return f"{self._error['msg']}, not {_found(value)}; {remedy}"
        if kind in ("too_short", "too_long") and "prefixItems" not in _resolved(entry):
            bound = "at least" if kind == "too_short" else "at most"
            limit = context["min_length" if kind == "too_short" else "max_length"]
            return f"must have {bound} {limit} {'entry' if limit == 1 else 'entries'}, not {context['actual_length']}; {remedy}"
        if kind in _OUT_OF_BOUNDS:
            return f"must be {_bounds(entry) or expected(entry)}, not {_found(value)}; {remedy}"
        found = f"{_found(value)} ({self._error['msg']})" if kind == "class_name" else _found(value)
        if isinstance(value, str) and kind in ("int_type", "float_type"):
            found = f"the text {found}"
            # YAML 1.1 reads 1e-3 as text, the likeliest way to come here
            number = _as_number(value, whole=kind == "int_type")
            remedy = f"write {number}" if number else remedy
        if isinstance(value, str):
            remedy = similar(value, _resolved(entry).get("enum", [])) or remedy
        elif kind == "string_type" and isinstance(value, int | float):
            remedy = "write it in quotes"
        return f"must be {expected(entry) or 'a section of keys'}, not {found}; {remedy}"


_WORDS = {
    "integer": ("a whole number", "whole numbers"),
    "number": ("a number", "numbers"),
    "string": ("text", "texts"),
    "boolean": ("true or false", "true or false"),
    "null": ("null", "null"),
    "object": ("", "sections of keys"),
}
_OUT_OF_BOUNDS = ("greater_than", "greater_than_equal", "less_than", "less_than_equal", "multiple_of")
_BOUNDS = (
    ("minimum", "at least"),
    ("exclusiveMinimum", "above"),
    ("maximum", "at most"),
    ("exclusiveMaximum", "below"),
    ("multipleOf", "a multiple of"),
)


@cache
def _schema() -> dict[str, Any]:
    return json_schema()


def _resolved(entry: Mapping[str, Any]) -> dict[str, Any]:
    """Follow a reference to another model."""
    reference = entry.get("$ref")
    return {**_schema()["$defs"][reference.rsplit("/", 1)[1]], **entry} if reference else dict(entry)


def _section(entry: Mapping[str, Any]) -> dict[str, Any]:
    """The part of an entry that has keys or items; of "a section or null" the section."""
    entry = _resolved(entry)
    return next((_resolved(one) for one in entry.get("anyOf", []) if one.get("type") != "null"), entry)


def _below(entry: Mapping[str, Any], part: str) -> dict[str, Any] | None:
    inner = _section(entry)
    if part in inner.get("properties", {}):
        return inner["properties"][part]
    if inner.get("type") == "array" and part.isdigit():
        prefix = inner.get("prefixItems", [])
        return prefix[int(part)] if int(part) < len(prefix) else inner.get("items")
    more = [inner.get("additionalProperties"), *inner.get("patternProperties", {}).values()]
    return next((one for one in more if isinstance(one, dict)), None)


def _place(parts: Sequence[str]) -> tuple[list[str], dict[str, Any]]:
    """Split pydantic's location into the path in the config (without the names of union members) and its schema entry."""
    entry: dict[str, Any] = _schema()
    for number, part in enumerate(parts):
        below = _below(entry, part)
        if below is None:
            known = parts[:number] if _is_tag(entry, part) else parts[: number + 1]
            return list(known), entry
        entry = below
    return list(parts), entry


def _is_tag(entry: Mapping[str, Any], part: str) -> bool:
    """Whether a part of a location is no key: the name of a union's member, or the sign for a mapping's key."""
    return part == "[key]" or "properties" not in _section(entry)


def _schema_at(path: Sequence[str]) -> dict[str, Any]:
    return _section(_place(path)[1])


def _bounds(entry: Mapping[str, Any]) -> str:
    return " and ".join(f"{word} {entry[key]:.12g}" for key, word in _BOUNDS if key in entry)


def _either(words: Sequence[str]) -> str:
    return " or ".join(part for part in (", ".join(words[:-1]), words[-1]) if part)


def _found(value: Any) -> str:
    return f"`{_shown(value)}`" if isinstance(value, str) else _shown(value)


def _shown(value: Any) -> str:
    if isinstance(value, str):
        text = value
    else:
        try:
            text = json.dumps(value, ensure_ascii=False, default=str)
        except (TypeError, ValueError):
            text = str(value)
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


def _as_number(text: str, whole: bool) -> str:
    """Return a text's number as YAML reads it, 0.001 for 1e-3; empty for a text that is no such number."""
    try:
        number = Decimal(text)
    except ArithmeticError:
        return ""
    return f"{number:f}" if number.is_finite() and not (whole and number % 1) else ""
