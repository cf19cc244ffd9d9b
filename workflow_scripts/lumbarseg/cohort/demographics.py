"""Age, sex, weight and site of a patient as people write them.

This module is read each time Snakemake parses the workflow, so it imports nothing heavy.
"""

import re

from lumbarseg.cohort.table import whole_number_as_text

_UNKNOWN = ("", "n/a", "na", "nan", "none", "null", "unknown", "-", "?")

_RANGES = {"age": (0, 120, "years"), "weight": (0.3, 500, "kg")}
_NUMBER = re.compile(r"(?a:\d+([.,]\d*)?|[.,]\d+)")

# DICOM writes F, M and O, BIDS words too, and ISO 5218 numbers.
_SEX = {
    **dict.fromkeys(("f", "female", "w", "woman", "2"), "F"),
    **dict.fromkeys(("m", "male", "man", "1"), "M"),
    **dict.fromkeys(("o", "other", "9"), "O"),
    "0": "",
}


def read_demographic(name: str, cell: str) -> str:
    """Read a cell of age, sex, weight or site.

    Args:
        name: `age` (years), `sex`, `weight` (kg) or `site`.
        cell: as in the sheet, without blanks around it.

    Returns:
        Age and weight as a number with a point (74.1 for 74,1; of 90+ and >89, which anonymisers write, the number), sex as F, M
        or O, site without the decimals that spreadsheets add to whole numbers; empty for what is unknown.

    Raises:
        ValueError: age or weight is no number in its range, or sex is none of those; the text says what is allowed.
    """
    if cell.casefold() in _UNKNOWN:
        return ""
    if name == "site":
        return whole_number_as_text(cell)
    if name == "sex":
        word = whole_number_as_text(cell).casefold()
        if word not in _SEX:
            raise ValueError("F, M or O")
        return _SEX[word]
    least, greatest, unit = _RANGES[name]
    shown = re.sub(r"^(>=?|≥)\s*|\+$", "", cell) if name == "age" else cell
    if not _NUMBER.fullmatch(shown) or not least <= float(shown.replace(",", ".")) <= greatest:
        raise ValueError(f"a number of {unit} from {least} to {greatest}")
    return shown.replace(",", ".")
