"""Tables: CSV files that the workflow wrote, read back as they were."""

import os
import zlib

import pandas as pd

from lumbarseg.errors import InputError

TEXTS = ("participant_id", "session_id", "experiment", "class_name")
"""Columns that are text even if all their values look like numbers."""


def read_csv(path: str | os.PathLike[str], columns: list[str] | None = None, separator: str = ",") -> pd.DataFrame:
    """Read a table. Texts stay texts: patient 007 is not 7, and a patient or class NA is not missing.

    Args:
        path: a CSV file, compressed or not.
        columns: to read; all if None.
        separator: between cells.

    Returns:
        The rows; empty cells are missing values.

    Raises:
        InputError: the file is damaged, or has not all of the columns.
    """
    try:
        return pd.read_csv(
            path,
            sep=separator,
            usecols=columns,
            dtype=dict.fromkeys(TEXTS, str),
            keep_default_na=False,
            na_values=["", "nan"],
        )
    except FileNotFoundError:
        raise
    except (OSError, EOFError, ValueError, zlib.error) as error:
        reason = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
        raise InputError(f"{path}: damaged table ({reason}); delete it and run the same command again") from error
