"""Tab-separated tables that users write by hand or with a spreadsheet.

This module is read each time Snakemake parses the workflow, so it imports nothing heavy.
"""

import csv
import io
import os
from collections.abc import Sequence
from pathlib import Path

from lumbarseg.errors import InputError


def read_table(path: str | os.PathLike[str], required: Sequence[str] = ()) -> list[tuple[int, dict[str, str]]]:
    """Read a tab-separated table with one header row.

    What spreadsheets add is accepted: a byte order mark, Windows line ends, capital letters in column names, spaces
    around cells, quotes around cells, and empty rows.

    Args:
        path: the file; it must exist.
        required: columns that must be there, in lower case.

    Returns:
        For each row that is not empty its line number in the file and its cells by column name (in lower case); a
        missing cell is an empty text.

    Raises:
        InputError: the file is not UTF-8 text, is not separated by tabs, lacks a required column or has one twice, or has
            a cell with a line break.
    """
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 text; save it again as tab-separated text in UTF-8") from error
    reader = csv.reader(io.StringIO(text), delimiter="\t")
    columns = [cell.strip().lower() for cell in next(reader, [])]
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
    for cells in reader:
        row = dict.fromkeys(columns, "") | {
            column: cell.strip() for column, cell in zip(columns, cells, strict=False) if column
        }
        if any("\n" in cell for cell in cells):
            raise InputError(
                f"{path}, line {reader.line_num}: a cell contains a line break or an open quote; fix the cell"
            )
        if any(row.values()):
            rows.append((reader.line_num, row))
    return rows
