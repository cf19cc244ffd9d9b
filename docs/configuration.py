"""Write docs/configuration.md from the schema, so that it never says something else: `make docs`."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

HOME = Path(__file__).parents[1]
HEAD = """# Configuration

`config.yaml` holds the paper's study, complete. Your study is a small YAML file laid over it:

```
snakemake --configfile my_study.yaml
```

Sections are merged key by key; a list replaces the list below it. A key that does not stand here stops the run with a
sentence. This page is made from `rules/schemas/config.schema.yaml` by `make docs`.

| key | what it is | allowed | when left out |
|---|---|---|---|
"""


def rows(schema: dict[str, Any], path: str = "") -> Iterator[str]:
    """One line of the table for each key below a section of the schema."""
    required = schema.get("required", [])
    for key, entry in schema.get("properties", {}).items():
        name = f"{path}.{key}" if path else key
        default = "needed" if key in required else _default(entry)
        yield f"| `{name}` | {entry.get('description', '')} | {_allowed(entry)} | {default} |"
        yield from rows(entry, name)
        inner = entry.get("additionalProperties")
        if isinstance(inner, dict):
            yield from rows(inner, f"{name}.<name>")
        yield from rows(entry.get("items", {}) if isinstance(entry.get("items"), dict) else {}, f"{name}[]")


def _default(entry: dict[str, Any]) -> str:
    if "default" not in entry:
        return "—"
    value = entry["default"]
    return (
        "" if value == {} else f"`{yaml.safe_dump(value, default_flow_style=True).strip().removesuffix('...').strip()}`"
    )


def _allowed(entry: dict[str, Any]) -> str:
    if "anyOf" in entry:
        return " or ".join(_allowed(choice) for choice in entry["anyOf"])
    if "const" in entry:
        return f"`{entry['const']}`"
    if "enum" in entry:
        return ", ".join(f"`{'null' if value is None else value}`" for value in entry["enum"])
    kind = entry.get("type", "")
    words = " or ".join(kind) if isinstance(kind, list) else kind
    words = {"object": "section", "array": "list", "string": "text", "string or null": "text or `null`"}.get(
        words, words
    )
    for key, sign in (("minimum", "≥"), ("exclusiveMinimum", ">"), ("maximum", "≤"), ("exclusiveMaximum", "<")):
        if key in entry:
            words += f" {sign} {entry[key]}"
    return words


def page() -> str:
    """The whole page."""
    schema = yaml.safe_load((HOME / "rules/schemas/config.schema.yaml").read_text(encoding="utf-8"))
    return HEAD + "\n".join(rows(schema)) + "\n"


if __name__ == "__main__":
    Path(sys.argv[1] if len(sys.argv) > 1 else HOME / "docs/configuration.md").write_text(page(), encoding="utf-8")
