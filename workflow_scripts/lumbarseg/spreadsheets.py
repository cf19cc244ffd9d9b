"""Tables that a spreadsheet opens without running what is in their cells (OWASP, CSV injection)."""

import re
import unicodedata
from typing import TYPE_CHECKING

from lumbarseg.characters import is_invisible

if TYPE_CHECKING:
    import pandas as pd

# Spreadsheets end a cell at whichever of these their settings name, in Germany at a semicolon, and inside quotes at a line break.
_ENDS_OF_CELLS = re.compile("[;,\t\n\v\f\x85\u2028\u2029]")

_FORMULA = re.compile(r"[=+\-@].*\w", re.DOTALL)
_NUMBER = r"[+-]?((\d+\.?\d*|\.\d+)([eE][+-]?\d+)?( (mm|ms|MHz|%))?|inf)"
_NUMBERS = re.compile(rf"(?a:{_NUMBER}([;,] ?{_NUMBER})*)")


def harmless_text(text: str) -> str:
    """Return a text with an apostrophe before each part that a spreadsheet would take for a formula; numbers stay.

    Parts begin with the text and behind semicolons, commas, tabs and line breaks. Carriage returns become blanks, because writers
    leave them without quotes and readers end a row there.
    """
    text = text.replace("\r", " ")
    for start in reversed([0, *(end.end() for end in _ENDS_OF_CELLS.finditer(text))]):
        if _is_formula(text[start:]):
            text = f"{text[:start]}'{text[start:]}"
    return text


def _is_formula(text: str) -> bool:
    """Whether a text begins with a sign of formulas, of any width, behind quotes, blanks and what programs may remove."""
    start = next((at for at, sign in enumerate(text) if not (sign == '"' or sign.isspace() or is_invisible(sign))), 0)
    plain = unicodedata.normalize("NFKC", text[start : start + 1]) + text[start + 1 :]
    return bool(_FORMULA.match(plain)) and not _NUMBERS.fullmatch(text[start:])


def harmless_table(table: "pd.DataFrame") -> "pd.DataFrame":
    """Return a table whose texts and column names are harmless (`harmless_text`); the same table if they are."""
    numbered = table.set_axis(range(table.shape[1]), axis="columns")
    for at, column in list(numbered.items()):
        if column.dtype.kind in "biufcmM":
            continue
        changed = {cell: harmless_text(cell) for cell in column.dropna().unique() if isinstance(cell, str)}
        changed = {cell: text for cell, text in changed.items() if cell != text}
        if changed:
            numbered[at] = column.astype(object).map(lambda cell, changed=changed: changed.get(cell, cell))
    names = table.columns.map(lambda name: harmless_text(name) if isinstance(name, str) else name)
    return numbered.set_axis(names, axis="columns")
