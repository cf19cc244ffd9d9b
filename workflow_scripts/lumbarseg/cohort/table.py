"""Tab-separated tables that users write by hand or with a spreadsheet.

This module is read each time Snakemake parses the workflow, so it imports nothing heavy.
"""

import csv
import io
import os
import re
from collections.abc import Sequence

from lumbarseg.errors import InputError
from lumbarseg.user_files import WINDOWS, read_text

# Not removed by `str.strip`: zero-width blanks and the byte order mark, which come with text copied from web pages.
_INVISIBLE = "\ufeff\u200b\u200c\u200d\u2060"


def read_table(path: str | os.PathLike[str], required: Sequence[str] = ()) -> list[tuple[int, dict[str, str]]]:
    """Read a tab-separated table with one header row.

    What spreadsheets add is accepted: UTF-16, Windows-1252, a byte order mark, line ends of Windows and of old Macs, capital
    letters in column names, blanks around cells, quotes around cells, and empty rows, also above the header.

    Args:
        path: the file; it must exist.
        required: columns that must be there, in lower case.

    Returns:
        For each row that is not empty its line number in the file and its cells by column name (in lower case); a
        missing cell is an empty text.

    Raises:
        InputError: the file is not text, is not separated by tabs, lacks a required column or has one twice, or has a cell
            with a line break.
    """
    text, _ = read_text(path)
    reader = csv.reader(io.StringIO(text), delimiter="\t")
    try:
        lines = [(reader.line_num, cells) for cells in reader]
    except csv.Error as error:
        raise InputError(f"{path}, line {reader.line_num}: {error}; save it again as tab-separated text") from error
    filled = [(number, cells) for number, cells in lines if any(map(_bare, cells))]
    columns = [_bare(cell).lower() for cell in filled[0][1]] if filled else []
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
    rows = []
    for number, cells in filled[1:]:
        row = dict.fromkeys(columns, "") | {
            column: _bare(cell) for column, cell in zip(columns, cells, strict=False) if column
        }
        if any("\n" in cell for cell in cells):
            raise InputError(f"{path}, line {number}: a cell contains a line break or an open quote; fix the cell")
        if any(row.values()):
            rows.append((number, row))
    return rows


def _bare(cell: str) -> str:
    """Return a cell without the blanks around it."""
    bare = cell.strip()
    while bare != (shorter := bare.strip(_INVISIBLE).strip()):
        bare = shorter
    return bare


def whole_number_as_text(cell: str) -> str:
    """Return an id without the decimals that spreadsheets add to whole numbers: 12 for 12.0 and for 12,00."""
    return re.sub(r"(?a:^(\d+)[.,]0*$)", r"\1", cell)


def encoding_warning(path: str | os.PathLike[str]) -> str:
    """Return a sentence about a table whose encoding had to be guessed; empty for a table in Unicode.

    Raises:
        InputError: the file is not text.
    """
    if read_text(path)[1] != WINDOWS:
        return ""
    return f"{path}: not Unicode text, read as {WINDOWS}; if letters with accents are wrong, save it as UTF-8"
