"""Tables 1 to 3: patients, acquisition and data set."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from lumbarseg.data.csv_tables import read_csv
from lumbarseg.reporting.registry import table
from lumbarseg.reporting.tables.writing import Table

ACQUISITION_FIELDS = {
    "RepetitionTime": ("Repetition Time (ms)", 1000.0),
    "EchoTime": ("Echo Time (ms)", 1000.0),
    "SpacingBetweenSlices": ("Spacing Between Slices (mm)", 1.0),
    "ImagingFrequency": ("Imaging Frequency (MHz)", 1.0),
    "MagneticFieldStrength": ("Magnetic Field Strength (T)", 1.0),
    "EchoTrainLength": ("Echo Train Length", 1.0),
    "FlipAngle": ("Flip Angle (°)", 1.0),
    "Height": ("Height (px)", 1.0),
    "Width": ("Width (px)", 1.0),
    "PixelSpacing": ("Pixel Spacing (mm)", 1.0),
    "EchoNumber": ("Echo Number", 1.0),
    "Slices": ("Slices", 1.0),
}
"""What Table 2 lists: field of the BIDS sidecar or the image header → name in the table, factor to its unit."""


@table(
    "table_1",
    section="Data",
    caption="Patients of this study.",
    needs={"cohort": "metrics/cohort.csv"},
)
def table_1(cohort: Path) -> Table:
    """Make Table 1."""
    return Table(cohort_table(read_csv(cohort)), best_bold=False)


@table(
    "table_2",
    section="Data",
    caption="Ranges of the acquisition parameters.",
    needs={"cohort": "metrics/cohort.csv"},
)
def table_2(cohort: Path, channels: Sequence[str]) -> Table:
    """Make Table 2."""
    sessions = read_csv(cohort)
    fields = sessions.melt("participant_id", [name for name in sessions if str(name).startswith(tuple(channels))])
    fields[["contrast", "field"]] = fields["variable"].str.split("_", n=1, expand=True)
    return Table(acquisition_table(fields.dropna(subset="value"), sorted(channels)), decimals=None, best_bold=False)


@table(
    "table_3",
    section="Data",
    caption="Data set used for training and testing.",
    needs={"cohort": "metrics/cohort.csv", "folds": "folds.tsv"},
)
def table_3(cohort: Path, folds: Path, patch_size: int) -> Table:
    """Make Table 3."""
    assignments = read_csv(folds, separator="\t")
    return Table(dataset_table(read_csv(cohort), assignments, patch_size), best_bold=False)


def cohort_table(sheet: pd.DataFrame) -> pd.DataFrame:
    """Describe the patients, as Table 1.

    Args:
        sheet: the sheet of sessions: participant_id, age (years), weight (kg), sex (M/F, male/female or 1/2, of any case),
            as numbers or texts; what cannot be read as a number or is empty counts as unknown. Of a patient's sessions
            the first that has a value gives it.

    Returns:
        quantity, n (patients whose value is known), mean, std (with n − 1), min, max; a row each for age and weight, then
        n alone for women, men, and those of unknown sex if there are any.
    """
    patients = sheet.replace(r"^\s*$", np.nan, regex=True).groupby("participant_id", sort=False).first()
    rows: list[dict[str, object]] = []
    for column, quantity in (("age", "Age (year)"), ("weight", "Weight (kg)")):
        values = pd.to_numeric(_column(patients, column), errors="coerce").dropna()
        rows.append(
            {
                "quantity": quantity,
                "n": len(values),
                "mean": values.mean(),
                "std": values.std(),
                "min": values.min(),
                "max": values.max(),
            }
        )
    # DICOM writes F and M, BIDS female and male too, and ISO 5218 has 1 for men and 2 for women.
    sex = _column(patients, "sex").astype("string").str.strip().str.lower().str.replace(".0", "", regex=False)
    women, men = sex.isin(["f", "female", "2"]), sex.isin(["m", "male", "1"])
    rows += [{"quantity": "Women", "n": int(women.sum())}, {"quantity": "Men", "n": int(men.sum())}]
    if not (women | men).all():
        rows.append({"quantity": "Sex unknown", "n": int((~(women | men)).sum())})
    return pd.DataFrame(rows, columns=["quantity", "n", "mean", "std", "min", "max"])


def _column(frame: pd.DataFrame, name: str) -> pd.Series:
    return frame[name] if name in frame else pd.Series(np.nan, index=frame.index)


def acquisition_table(fields: pd.DataFrame, contrasts: Sequence[str] = ("T1w", "T2w")) -> pd.DataFrame:
    """List the ranges of the acquisition parameters, as Table 2.

    Args:
        fields: tidy: contrast, field (a key of `ACQUISITION_FIELDS`; others are passed over), value in the unit of BIDS
            (seconds for times), one row for each image with the field.
        contrasts: which contrasts to list.

    Returns:
        parameter, and for each contrast its minimum, maximum and n (images that have the field) as `T1w min`, `T1w max`,
        `T1w n`; parameters that no image has are left out.
    """
    values = fields.assign(value=pd.to_numeric(fields["value"], errors="coerce")).dropna(subset="value")
    rows = []
    for field, (parameter, factor) in ACQUISITION_FIELDS.items():
        row: dict[str, object] = {"parameter": parameter}
        of_field = values[values["field"] == field]
        for contrast in contrasts:
            found = of_field.loc[of_field["contrast"] == contrast, "value"] * factor
            row |= {f"{contrast} min": found.min(), f"{contrast} max": found.max(), f"{contrast} n": len(found)}
        if len(of_field):
            rows.append(row)
    columns = ["parameter", *(f"{contrast} {what}" for contrast in contrasts for what in ("min", "max", "n"))]
    return pd.DataFrame(rows, columns=columns)


def dataset_table(sessions: pd.DataFrame, folds: pd.DataFrame, patch_side: int) -> pd.DataFrame:
    """Count what networks are trained and tested on, as Table 3.

    Args:
        sessions: participant_id, session_id, slices, patches (numbers of 2-D slices and of patches); one row per session.
        folds: the table `folds.tsv`: participant_id, fold, subset (train, validation, test).
        patch_side: rows and columns of a patch.

    Returns:
        quantity, Train & Validation, Test, Total; rows: patients, sessions, 2-D slices, patches.
    """
    test = set(folds.loc[folds["subset"] == "test", "participant_id"])
    development = set(folds["participant_id"]) - test
    parts = {"Train & Validation": development, "Test": test, "Total": development | test}
    columns = {}
    for name, participants in parts.items():
        part = sessions[sessions["participant_id"].isin(participants)]
        columns[name] = [part["participant_id"].nunique(), len(part), part["slices"].sum(), part["patches"].sum()]
    quantities = ["Patients", "Sessions", "2-D slices", f"Patches {patch_side}×{patch_side}"]
    return pd.DataFrame({"quantity": quantities, **columns}).astype(dict.fromkeys(parts, np.int64))
