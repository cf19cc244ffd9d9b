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

_SHOWN = 40  # characters of a cell in a message


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
        InputError: the file is not text, is not separated by tabs, lacks a required column or has one twice, has a cell with
            a line break, a tab or an open quote, or a row has more cells than the header has columns.
    """
    text, _ = read_text(path)
    # With a final line end, a quote that is open at the end of the file has a line break in its cell.
    reader = csv.reader(io.StringIO(text if text.endswith("\n") else f"{text}\n"), delimiter="\t")
    lines: list[tuple[int, list[str]]] = []
    first = 1
    try:
        for cells in reader:
            lines.append((first, cells))
            first = reader.line_num + 1
    except csv.Error as error:
        raise InputError(
            f"{path}, line {first}: {error}; close an open quote, or save it again as tab-separated text"
        ) from error
    filled = [(number, cells) for number, cells in lines if any(map(_bare, cells))]
    for number, cells in filled[:1]:
        _require_closed_cells(path, number, cells)
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
    width = max((at for at, column in enumerate(columns, start=1) if column), default=0)
    rows = []
    for number, cells in filled[1:]:
        _require_closed_cells(path, number, cells)
        surplus = next((_bare(cell) for cell in cells[width:] if _bare(cell)), "")
        if surplus:
            raise InputError(
                f"{path}, line {number}: cell “{surplus[:_SHOWN]}” is beyond the {width} columns of the header; remove the "
                "surplus tab before it, or name its column"
            )
        row = dict.fromkeys(columns, "") | {
            column: _bare(cell) for column, cell in zip(columns, cells, strict=False) if column
        }
        if any(row.values()):
            rows.append((number, row))
    return rows


def _require_closed_cells(path: str | os.PathLike[str], line: int, cells: list[str]) -> None:
    """Require cells without line breaks and tabs, which come from quotes that are not closed in their cell.

    Raises:
        InputError: names the line in which the row begins.
    """
    for mark, name in (("\n", "line break"), ("\t", "tab")):
        if any(mark in cell for cell in cells):
            raise InputError(f"{path}, line {line}: a cell contains a {name} or an open quote; fix the cell")


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
