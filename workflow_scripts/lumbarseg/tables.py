"""The paper's tables, as data frames and as CSV, Markdown and LaTeX files."""

import os
from collections.abc import Sequence

import numpy as np
import pandas as pd

from lumbarseg.anatomy import LabelTable
from lumbarseg.files import whole
from lumbarseg.metrics import mean_iou, over_folds

WITHOUT_BACKGROUND = "IoU without Bg."
WITH_BACKGROUND = "IoU with Bg."

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
"""What Table 2 lists: BIDS sidecar field (and what the image's header tells) → name in the table, factor to its unit."""


def iou_table(
    iou: pd.DataFrame, experiments: Sequence[str], classes: LabelTable
) -> tuple[pd.DataFrame, pd.DataFrame, list[str]]:
    """Make a table of IoU per class and experiment, as Table 7 and the tables of the supplement.

    Args:
        iou: the table `metrics/iou.csv`.
        experiments: the columns, in their order.
        classes: the label table: a row for each class, then one for the mean over the targets (equation 4) and one
            for the mean over all classes.

    Returns:
        Means over the folds, in per cent: class_id (missing in the last two rows), class_name, one column an experiment;
        standard deviations over the folds, in the same shape; and footnotes, one sentence each: which experiments have
        no results (their cells are empty), and which IoUs do not exist.
    """
    columns = list(dict.fromkeys(experiments))
    found = iou[iou["experiment"].isin(columns)]
    by_class = over_folds(found, ["experiment", "class_id"], "iou")
    averages = mean_iou(found, classes.background)
    rows = [*range(len(classes)), WITHOUT_BACKGROUND, WITH_BACKGROUND]
    frames = []
    for statistic in ("mean", "sd"):
        per_class = by_class.set_index(["class_id", "experiment"])[statistic].unstack()  # noqa: PD010 (keeps all-NaN columns)
        bottom = {
            row: over_folds(averages, ["experiment"], column).set_index("experiment")[statistic]
            for row, column in ((WITHOUT_BACKGROUND, "without_background"), (WITH_BACKGROUND, "with_background"))
        }
        cells = pd.concat([per_class, pd.DataFrame(bottom).T]).reindex(index=rows, columns=columns) * 100
        cells = cells.astype(np.float64).round(4).reset_index(drop=True)
        cells.insert(0, "class_id", pd.Series([*range(len(classes)), None, None], dtype="Int64"))
        cells.insert(1, "class_name", [*classes.names, WITHOUT_BACKGROUND, WITH_BACKGROUND])
        frames.append(cells)
    return frames[0], frames[1], _footnotes(found, columns, classes)


def _footnotes(found: pd.DataFrame, columns: Sequence[str], classes: LabelTable) -> list[str]:
    footnotes = []
    without = [name for name in columns if name not in set(found["experiment"])]
    if without:
        footnotes.append(f"No results yet for {', '.join(without)}.")
    missing = found[found["iou"].isna()]
    for class_id, rows in missing.groupby("class_id"):
        places = ", ".join(f"{name} (fold {fold})" for name, fold in zip(rows["experiment"], rows["fold"], strict=True))
        footnotes.append(
            f"{classes[class_id].name} is neither in the truth nor in the prediction of {places}; "
            "such folds and classes are left out of the means."
        )
    return footnotes


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
            (seconds for times), one row for each image that has the field.
        contrasts: which contrasts to list.

    Returns:
        parameter, and for each contrast its minimum, maximum and n (images that have the field) as `T1w min`, `T1w max`,
        `T1w n`; parameters no image has are left out.
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
        sessions: participant_id, session_id, slices, patches (numbers of 2-D slices and of patches); a row a session.
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


def write_table(
    frame: pd.DataFrame,
    csv_path: str | os.PathLike[str],
    md_path: str | os.PathLike[str],
    tex_path: str | os.PathLike[str],
    caption: str,
    *,
    sd: pd.DataFrame | None = None,
    decimals: int = 1,
    best_bold: bool = True,
    footnotes: Sequence[str] = (),
) -> None:
    """Write a table as CSV (unrounded), Markdown and LaTeX (booktabs).

    In Markdown and LaTeX the column class_id is left out, numbers are rounded, and the best of a row is bold: all cells
    that print the same highest number, as in the paper.

    Args:
        frame: texts and numbers; a missing value is an empty cell.
        csv_path: the file for machines.
        md_path: the file for people.
        tex_path: the file for papers; a `table*` that needs the package booktabs.
        caption: one or more sentences, plain text.
        sd: standard deviations in the shape of `frame`, printed after the values as `86.1 ± 0.4`.
        decimals: of printed numbers that are not whole numbers by type.
        best_bold: whether to make the best of each row bold.
        footnotes: sentences to stand below the table.
    """
    with whole(csv_path) as temporary:
        frame.to_csv(temporary, index=False, lineterminator="\n")
    shown = frame.drop(columns="class_id", errors="ignore")
    best = _best(shown, decimals) if best_bold else pd.DataFrame(False, index=shown.index, columns=shown.columns)
    with whole(md_path) as temporary:
        temporary.write_text(_markdown(shown, sd, best, caption, decimals, footnotes), encoding="utf-8")
    with whole(tex_path) as temporary:
        temporary.write_text(_latex(shown, sd, best, caption, decimals, footnotes), encoding="utf-8")


def _numeric(frame: pd.DataFrame) -> list[str]:
    return [column for column in _names(frame) if pd.api.types.is_numeric_dtype(frame[column])]


def _names(frame: pd.DataFrame) -> list[str]:
    return [str(column) for column in frame.columns]


def _best(frame: pd.DataFrame, decimals: int) -> pd.DataFrame:
    printed = frame[_numeric(frame)].astype(np.float64).map(lambda value: float(f"{value:.{decimals}f}"))
    best = printed.eq(printed.max(axis=1), axis=0) & printed.notna()
    return best.reindex(columns=frame.columns, fill_value=False)


def _cell(value: object, decimals: int) -> str:
    if value is None or value is pd.NA or value != value:
        return ""
    return f"{value:.{decimals}f}" if isinstance(value, float | np.floating) else str(value)


def _cells(frame: pd.DataFrame, row: int, decimals: int) -> dict[str, str]:
    return {column: _cell(frame[column].iloc[row], decimals) for column in _names(frame)}


def _deviations(sd: pd.DataFrame | None, frame: pd.DataFrame, row: int, decimals: int) -> dict[str, str]:
    return {} if sd is None else {column: _cell(sd[column].iloc[row], decimals) for column in _numeric(frame)}


def _markdown(
    frame: pd.DataFrame,
    sd: pd.DataFrame | None,
    best: pd.DataFrame,
    caption: str,
    decimals: int,
    footnotes: Sequence[str],
) -> str:
    numbers = _numeric(frame)
    lines = [
        caption,
        "",
        "| " + " | ".join(_heading(column).replace("|", "\\|") for column in _names(frame)) + " |",
        "| " + " | ".join("---:" if column in numbers else ":---" for column in _names(frame)) + " |",
    ]
    for row in range(len(frame)):
        texts, deviations = _cells(frame, row, decimals), _deviations(sd, frame, row, decimals)
        cells = []
        for column, text in texts.items():
            cell = text.replace("|", "\\|")
            cell = f"**{cell}**" if best[column].iloc[row] else cell
            cells.append(f"{cell} ± {deviations[column]}" if deviations.get(column) else cell)
        lines.append("| " + " | ".join(cells) + " |")
    for footnote in footnotes:
        lines += ["", footnote]
    return "\n".join(lines) + "\n"


def _latex(
    frame: pd.DataFrame,
    sd: pd.DataFrame | None,
    best: pd.DataFrame,
    caption: str,
    decimals: int,
    footnotes: Sequence[str],
) -> str:
    numbers = _numeric(frame)
    wide = len(frame.columns) > 10
    # An experiment's name is stacked at its plus signs, which makes the column as narrow as its numbers.
    stacked = [_escape(_heading(name)).replace("+", r"\\+") for name in _names(frame)]
    heads = [rf"\shortstack{{{head}}}" if r"\\" in head else head for head in stacked]
    lines = [
        r"\begin{table*}",
        r"\centering",
        rf"\caption{{{_escape(caption)}}}",
        r"\scriptsize" if wide else r"\small",
        rf"\setlength{{\tabcolsep}}{{{2 if wide else 4}pt}}",
        rf"\begin{{tabular}}{{{''.join('r' if name in numbers else 'l' for name in _names(frame))}}}",
        r"\toprule",
        " & ".join(heads) + r" \\",
        r"\midrule",
    ]
    for row in range(len(frame)):
        if frame.iloc[row, 0] == WITHOUT_BACKGROUND:
            lines.append(r"\midrule")
        texts, deviations = _cells(frame, row, decimals), _deviations(sd, frame, row, decimals)
        cells = []
        for column, text in texts.items():
            cell = rf"\textbf{{{_escape(text)}}}" if best[column].iloc[row] else _escape(text)
            cells.append(rf"{cell}{{\tiny$\,\pm\,${deviations[column]}}}" if deviations.get(column) else cell)
        lines.append(" & ".join(cells) + r" \\")
    lines += [r"\bottomrule", r"\end{tabular}"]
    lines += [rf"\par\smallskip\footnotesize {_escape(footnote)}" for footnote in footnotes]
    return "\n".join([*lines, r"\end{table*}"]) + "\n"


def _heading(column: str) -> str:
    """Columns for machines have names that a printed table does without."""
    return {"class_name": "Class", "quantity": "", "parameter": ""}.get(column, column)


_LATEX = {
    "\\": r"\textbackslash{}",
    **{sign: f"\\{sign}" for sign in "&%$#_{}"},
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "×": r"$\times$",
    "±": r"$\pm$",
    "°": r"$^{\circ}$",
    "−": "$-$",
    "…": r"\ldots{}",
}


def _escape(text: str) -> str:
    return "".join(_LATEX.get(sign, sign) for sign in text)
