"""Age, sex, weight and site of a patient as people write them.

This module is read each time Snakemake parses the workflow, so it imports nothing heavy.
"""

import re

from lumbarseg.cohort.table import whole_number_as_text

_UNKNOWN = {
    "", "#n/a", "#n/d", "#na", "#nv", "<na>", "k. a.", "k.a.", "missing", "n. a.", "n. d.", "n.a.", "n.d.", "n/a", "n/d", "n/k", "na",
    "nan", "nil", "none", "not available", "not known", "not recorded", "not reported", "not specified", "not stated", "null",
    "undefined", "unk", "unk.", "unknown", "unspecified",
    "unbekannt", "keine angabe", "inconnu", "inconnue", "non renseigné", "desconocido", "desconocida", "sconosciuto", "onbekend",
}  # fmt: skip
_SIGNS_OF_UNKNOWN = re.compile("[-–—−.?*]+")

# Codes of statistics programs, which are no ages, weights or sexes.
_CODE_OF_UNKNOWN = re.compile("-9{1,4}|9{3,4}")

_RANGES = {"age": (0, 120, "years"), "weight": (0.3, 500, "kg")}
_NUMBER = "(?P<number>[0-9]{1,9}([.,][0-9]*)?|[.,][0-9]+)"
_YEARS = r"(\s*(y|yrs?|years?|a|j|jahre?|ans?|años?|anni)\.?)?"
_AGE = re.compile(rf"((?P<above>>|over|above)|>=|≥)?\s*{_NUMBER}{_YEARS}(\s*(\+|(or|and) (older|over|above)))?{_YEARS}")
_WEIGHT = re.compile(rf"{_NUMBER}(\s*(kgs?|kilos?|kilograms?)\.?)?")

# Letters mean parts of a year only in DICOM's form (006M), because 45M is a man of 45.
_PART_OF_YEAR = re.compile(r"([0-9]{3}(?=[mwd]$)|[0-9]{1,4}(?=\s*[a-z]{3}))\s*(m(onths?)?|w(eeks?)?|d(ays?)?)")
_A_YEAR = {"m": 12, "w": 52, "d": 365}

# DICOM writes F, M and O, BIDS words too, and ISO 5218 numbers; D is what German forms write, X what passports do. H and V are
# refused: next to a Spanish H an M would be a woman, and V is a Dutch woman or a Spanish man.
_SEX = {
    **dict.fromkeys(
        (
            "f", "female", "w", "woman", "2", "girl", "weiblich", "frau", "femme", "féminin", "feminin", "mujer", "femenino", "donna",
            "femmina", "femminile", "mulher", "feminino", "vrouw", "vrouwelijk", "k", "kvinna", "kvinde", "kvinne", "kobieta", "nainen",
            "ж", "женский", "жінка", "женщина", "女", "女性", "여", "여성",
        ),
        "F",
    ),
    **dict.fromkeys(
        (
            "m", "male", "man", "1", "boy", "männlich", "maennlich", "mann", "homme", "masculin", "hombre", "masculino", "varón", "varon",
            "uomo", "maschio", "maschile", "homem", "mannelijk", "mand", "mężczyzna", "mies",
            "м", "мужской", "чоловік", "мужчина", "男", "男性", "남", "남성",
        ),
        "M",
    ),
    **dict.fromkeys(("o", "other", "9", "x", "d", "divers", "diverse", "intersex", "non-binary", "nonbinary"), "O"),
    **dict.fromkeys(("0", "u", "undetermined"), ""),
}  # fmt: skip


def read_demographic(name: str, cell: str) -> str:
    """Read a cell of age, sex, weight or site.

    Args:
        name: `age` (years), `sex`, `weight` (kg) or `site`.
        cell: as in the sheet, without blanks around it.

    Returns:
        Age and weight as a number with a point (74.1 for 74,1 and for 74,1 kg; 45 for DICOM's 045Y, 0.5 for 006M; of 90+, which
        anonymisers write, the number, and of >89 the next), sex as F, M or O, site without the decimals that spreadsheets add to
        whole numbers; empty for what is unknown. Three decimals are decimals, because no patient weighs 1000 kg.

    Raises:
        ValueError: age or weight is no number in its range, or sex is none of those; the text says what is allowed.
    """
    folded = cell.casefold()
    if folded in _UNKNOWN or _SIGNS_OF_UNKNOWN.fullmatch(folded):
        return ""
    if name == "site":
        return whole_number_as_text(cell)
    code = whole_number_as_text(folded)
    if _CODE_OF_UNKNOWN.fullmatch(code):
        return ""
    if name == "sex":
        if code not in _SEX:
            raise ValueError("F, M or O")
        return _SEX[code]
    least, greatest, unit = _RANGES[name]
    number = _age(folded) if name == "age" else _number(_WEIGHT.fullmatch(folded))
    if not number or not least <= float(number) <= greatest:
        raise ValueError(f"a number of {unit} from {least} to {greatest}")
    return number


def _age(cell: str) -> str:
    """Return an age in years; empty for what is none."""
    if part := _PART_OF_YEAR.fullmatch(cell):
        return f"{round(int(part[1]) / _A_YEAR[part[2][0]], 2):g}"
    found = _AGE.fullmatch(cell)
    number = _number(found)
    return str(int(float(number)) + 1) if found and found["above"] else number


def _number(found: re.Match[str] | None) -> str:
    """Return the number of a match with a point and without leading zeros; empty without a match."""
    return re.sub("^0+(?=[0-9])", "", found["number"].replace(",", ".")) if found else ""
