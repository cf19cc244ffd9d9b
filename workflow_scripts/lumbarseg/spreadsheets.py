"""Tables that a spreadsheet opens without running what is in their cells (OWASP, CSV injection)."""

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

# Blanks and invisible signs that programs may remove, then a sign that begins a formula, also in full width.
_FORMULA = re.compile("[\\s\ufeff\u200b-\u200f\u2060]*[=+\\-@\uff1d\uff0b\uff0d\uff20].*\\w", re.DOTALL)
_NUMBER = re.compile(r"(?a:[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?( (mm|ms|MHz|%))?)|[+-]?inf")


def harmless_text(text: str) -> str:
    """Return a text with an apostrophe before it if a spreadsheet would take it for a formula; a number stays.

    Carriage returns become blanks, because writers leave them without quotes and readers end a row there.
    """
    text = text.replace("\r", " ")
    return f"'{text}" if _FORMULA.match(text) and not _NUMBER.fullmatch(text) else text


def harmless_table(table: "pd.DataFrame") -> "pd.DataFrame":
    """Return a table whose texts and column names are harmless (`harmless_text`); the same table if they are."""
    texts = {}
    for name in table.columns[table.columns.map(lambda one: isinstance(one, str))]:
        column = table[name]
        if column.dtype.kind in "biufcmM":
            continue
        changed = {cell: harmless_text(cell) for cell in column.dropna().unique() if isinstance(cell, str)}
        changed = {cell: text for cell, text in changed.items() if cell != text}
        if changed:
            texts[name] = column.astype(object).map(lambda cell, changed=changed: changed.get(cell, cell))
    return table.assign(**texts).rename(columns=lambda name: harmless_text(name) if isinstance(name, str) else name)
