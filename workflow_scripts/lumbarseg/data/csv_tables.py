"""Tables: CSV files that the workflow wrote, read back as they were."""

import os
import zlib

import pandas as pd

from lumbarseg.errors import InputError

TEXTS = (
    "participant_id", "session_id", "experiment", "reference", "model", "topology", "class_name", "worst_class", "drafted_by",
)  # fmt: skip
"""Columns of names that users choose: text even if all of them look like numbers, or like no number (`nan`)."""


def read_csv(path: str | os.PathLike[str], columns: list[str] | None = None, separator: str = ",") -> pd.DataFrame:
    """Read a table. Texts stay texts: patient 007 is not 7, and a patient or class NA is not missing.

    Args:
        path: a CSV file, compressed or not.
        columns: to read; all if None.
        separator: between cells.

    Returns:
        The rows; missing values are empty cells, and `nan` in other columns than those of `TEXTS`.

    Raises:
        InputError: the file is damaged, or has not all of the columns.
    """
    try:
        names = pd.read_csv(path, sep=separator, nrows=0).columns
        return pd.read_csv(
            path,
            sep=separator,
            usecols=columns,
            dtype=dict.fromkeys(TEXTS, str),
            keep_default_na=False,
            na_values={name: [""] if name in TEXTS else ["", "nan"] for name in names},
        )
    except FileNotFoundError:
        raise
    except (OSError, EOFError, ValueError, zlib.error) as error:
        reason = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
        raise InputError(f"{path}: damaged table ({reason}); delete it and run the same command again") from error
