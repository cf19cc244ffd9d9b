"""Write docs/configuration.md and the JSON schema for editors from the config's models: `make docs`."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from lumbarseg.config.messages import expected, keys
from lumbarseg.config.schema import json_schema

HOME = Path(__file__).parents[1]
PAGE = HOME / "docs/configuration.md"
SCHEMA = HOME / "rules/schemas/config.schema.json"
HEAD = """# Configuration

`config.yaml` holds the paper's study, complete. Your study is a small YAML file laid over it:

```
snakemake --configfile my_study.yaml --cores all
```

Sections are merged key by key; a list replaces the earlier list. A topology that `config.yaml` defines and your file redefines keeps
the keys that your file does not set; the run warns of it. An unknown key, or a value that is not allowed, stops the run with a
sentence that names the file and the key.

Editors that read JSON schemas (VS Code with the YAML extension, for example) check and complete a study that starts with this line:

```
# yaml-language-server: $schema=rules/schemas/config.schema.json
```

| key | meaning | allowed | default |
|---|---|---|---|
"""


def rows() -> Iterator[str]:
    """One line of the table for each key."""
    for name, entry, is_required in keys():
        default = "required" if is_required else _default(entry)
        yield f"| `{name}` | {entry.get('description', '')} | {_allowed(entry)} | {default} |"


def _allowed(entry: dict[str, Any]) -> str:
    words = expected(entry)
    return words if words and not words.startswith(" or") else f"section{words}"


def _default(entry: dict[str, Any]) -> str:
    if "default" not in entry:
        return ""
    return (
        f"`{yaml.safe_dump(entry['default'], default_flow_style=True, width=1000).strip().removesuffix('...').strip()}`"
    )


def page() -> str:
    """Return the whole page."""
    return HEAD + "\n".join(rows()) + "\n"


def schema() -> str:
    """Return the JSON schema for editors: a study is laid over config.yaml, so only entries of lists have required keys."""
    whole = json_schema()
    for name, model in {"": whole, **whole["$defs"]}.items():
        if name not in ("LabelClass", "CaseSlice"):
            model.pop("required", None)
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "A study of lumbarseg"}
    return json.dumps(head | whole, indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    SCHEMA.write_text(schema(), encoding="utf-8")
