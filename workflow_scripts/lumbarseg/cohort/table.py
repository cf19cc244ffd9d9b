"""Tab-separated tables that users write by hand or with a spreadsheet.

This module is read each time Snakemake parses the workflow, so it imports nothing heavy.
"""

import os
import re
from collections.abc import Sequence

from lumbarseg.errors import InputError
from lumbarseg.user_files import WINDOWS, read_text

# Not removed by `str.strip`: zero-width blanks and the byte order mark, which come with text copied from web pages.
_INVISIBLE = "\ufeff\u200b\u200c\u200d\u2060"

_SHOWN = 40  # characters of a cell in a message
_LONGEST = 10_000  # characters of a cell; paths have at most 4096


def read_table(path: str | os.PathLike[str], required: Sequence[str] = ()) -> list[tuple[int, dict[str, str]]]:
    """Read a tab-separated table with one header row.

    What spreadsheets add is accepted: UTF-16, Windows-1252, a byte order mark, line ends of Windows and of old Macs, capital
    letters in column names, blanks around cells, quotes around cells, and empty rows, also above the header. A line of the file
    is a row and a tab ends a cell, whatever quotes there are, so that a quote can take nothing away.

    Args:
        path: the file; it must exist.
        required: columns that must be there, in lower case.

    Returns:
        For each row that is not empty its line number in the file and its cells by column name (in lower case); a
        missing cell is an empty text.

    Raises:
        InputError: the file is not text, is not separated by tabs, lacks a required column or has one twice, has a cell with an
            open quote or of more than `_LONGEST` characters, or a cell outside the named columns.
    """
    text, _ = read_text(path)
    lines = [(number, _cells(path, number, line)) for number, line in enumerate(text.split("\n"), start=1)]
    filled = [(number, cells) for number, cells in lines if any(cells)]
    columns = [cell.lower() for cell in filled[0][1]] if filled else []
    missing = [column for column in required if column not in columns]
    if missing:
        separator = next((mark for mark in ";," if len(columns) == 1 and mark in columns[0]), None)
        if separator:
            raise InputError(f"{path}: columns are separated by “{separator}”; save it as tab-separated text")
        raise InputError(
            f"{path}: no column {', '.join(missing)} (columns: {', '.join(columns) or 'none'}); add it, separated by tabs"
        )
    twice = sorted({column for column in columns if column and columns.count(column) > 1})
    if twice:
        raise InputError(f"{path}: column {', '.join(twice)} appears twice; remove or rename one")
    width = max((at for at, column in enumerate(columns, start=1) if column), default=0)
    rows = []
    for number, cells in filled[1:]:
        for at, cell in enumerate(cells):
            if cell and at >= width:
                raise InputError(
                    f"{path}, line {number}: cell “{cell[:_SHOWN]}” is beyond the {width} columns of the header; remove the "
                    "surplus tab before it, or name its column"
                )
            if cell and not columns[at]:
                raise InputError(
                    f"{path}, line {number}: cell “{cell[:_SHOWN]}” is in column {at + 1}, which has no name; name the column in "
                    "the header, or empty the cell"
                )
        named = {column: cell for column, cell in zip(columns, cells, strict=False) if column}
        rows.append((number, dict.fromkeys(filter(None, columns), "") | named))
    return rows


def _cells(path: str | os.PathLike[str], number: int, line: str) -> list[str]:
    """Return the cells of a line without blanks around them, and without the quotes of a spreadsheet.

    Raises:
        InputError: a cell begins with a quote that it does not close, or is too long.
    """
    cells = line.split("\t")
    for at, cell in enumerate(cells):
        cells[at] = bare = _bare(cell)
        if len(bare) > _LONGEST:
            raise InputError(
                f"{path}, line {number}: a cell has more than {_LONGEST} characters; check that the file is tab-separated text"
            )
        if not bare.startswith('"'):
            continue
        quoted = re.fullmatch(r'"((?:[^"]|"")*)"', bare)
        if not quoted:
            rest = "".join(cells[at:])
            cause = "tab" if rest.count('"') % 2 == 0 else "line break"
            raise InputError(
                f"{path}, line {number}: a cell contains a {cause} or an open quote (“{bare[:_SHOWN]}”); fix the cell"
            )
        cells[at] = _bare(quoted[1].replace('""', '"'))
    return cells


def _bare(cell: str) -> str:
    """Return a cell without the blanks around it."""
    bare = cell.strip()
    while bare != (shorter := bare.strip(_INVISIBLE).strip()):
        bare = shorter
    return bare


def whole_number_as_text(cell: str) -> str:
    """Return an id without the decimals that spreadsheets add to whole numbers: 12 for 12.0 and for 12,00.

    Exactly three zeros are kept, because 1.000 and 1,000 may be 1 or 1000.
    """
    return re.sub(r"(?a:^(\d+)[.,](?!000$)0*$)", r"\1", cell)


def encoding_warning(path: str | os.PathLike[str]) -> str:
    """Return a sentence about a table whose encoding had to be guessed; empty for a table in Unicode.

    Raises:
        InputError: the file is not text.
    """
    if read_text(path)[1] != WINDOWS:
        return ""
    return f"{path}: not Unicode text, read as {WINDOWS}; if letters with accents are wrong, save it as UTF-8"
