"""A table, and the files it is written to: CSV, Markdown, LaTeX, and JSON for the page of results."""

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd

from lumbarseg.atomic_io import atomic_write, read_json, write_json
from lumbarseg.spreadsheets import harmless_table

MISSING = "n/a"
"""Text of a cell whose number is missing; pandas and R read it as a missing value."""

WITHOUT_BACKGROUND = "IoU without Bg."
WITH_BACKGROUND = "IoU with Bg."

LETTERS = "ᵃᵇᶜᵈᵉᶠᵍʰⁱʲᵏˡᵐⁿᵒᵖʳˢᵗᵘᵛʷˣʸᶻ"
"""Marks of footnotes, in their order."""
_BREAK = r"\\"
_PLAIN = dict(zip(LETTERS, "abcdefghijklmnoprstuvwxyz", strict=True))


@dataclass(frozen=True)
class Table:
    """A table, before it is written; its caption is in its declaration (`registry.table`).

    Attributes:
        values: texts and numbers; what the CSV holds, unrounded.
        remark: sentences that follow the caption, with numbers of this study.
        sd: standard deviations in the shape of `values`, printed after them as `86.1 ± 0.4`.
        printed: what people read, where it differs from `values`; a line break in a text stacks two lines.
        marks: letters of footnotes in the shape of what is printed, set after its cells; empty texts elsewhere.
        footnotes: sentences below the table.
        decimals: of printed numbers that are not whole numbers by type; None for as many as each has, one to four.
        best_bold: whether to print the best of each row in bold: all cells that print the same highest number, as in the paper.
        missing: text of a cell without a number.
    """

    values: pd.DataFrame
    remark: str = ""
    sd: pd.DataFrame | None = None
    printed: pd.DataFrame | None = None
    marks: pd.DataFrame | None = None
    footnotes: Sequence[str] = ()
    decimals: int | None = 1
    best_bold: bool = True
    missing: str = ""


@dataclass(frozen=True)
class Cell:
    """A printed cell.

    Attributes:
        text: what is printed.
        best: whether it is the best of its row.
        deviation: the standard deviation after it, or empty.
        mark: letters of footnotes, or empty.
    """

    text: str
    best: bool = False
    deviation: str = ""
    mark: str = ""


@dataclass(frozen=True)
class PrintedTable:
    """A table as people read it.

    Attributes:
        caption: sentences above it.
        headings: of the columns.
        numeric: by column, whether it holds numbers.
        rows: cells.
        footnotes: sentences below it.
    """

    caption: str
    headings: Sequence[str]
    numeric: Sequence[bool]
    rows: Sequence[Sequence[Cell]]
    footnotes: Sequence[str]


def print_table(table: Table, caption: str) -> PrintedTable:
    """Round, mark and join what is printed; the column class_id is left out.

    Args:
        table: what to print.
        caption: of its declaration.
    """
    shown = (table.values if table.printed is None else table.printed).drop(columns="class_id", errors="ignore")
    names = [str(column) for column in shown.columns]
    numbers = [name for name in names if pd.api.types.is_numeric_dtype(shown[name])]
    best = _best(shown, numbers, table.decimals) if table.best_bold and table.decimals is not None else set()
    rows = []
    for row in range(len(shown)):
        cells = []
        for name in names:
            value = _text(shown[name].iloc[row], table.decimals)
            has_number = name in numbers and value
            deviation = "" if table.sd is None or not has_number else _text(table.sd[name].iloc[row], table.decimals)
            mark = "" if table.marks is None or name not in table.marks else table.marks[name].iloc[row]
            text = value or (table.missing if name in numbers else "")
            cells.append(Cell(text, (row, name) in best, deviation, mark))
        rows.append(cells)
    return PrintedTable(
        caption=f"{caption} {table.remark}".strip(),
        headings=[_HEADINGS.get(name, name) for name in names],
        numeric=[name in numbers for name in names],
        rows=rows,
        footnotes=list(table.footnotes),
    )


def write_table(
    table: Table,
    caption: str,
    *,
    csv_path: str | os.PathLike[str],
    md_path: str | os.PathLike[str],
    tex_path: str | os.PathLike[str],
    json_path: str | os.PathLike[str],
) -> None:
    """Write a table to its files.

    Args:
        table: what to write.
        caption: of its declaration.
        csv_path: the values, unrounded, for machines.
        md_path: as printed, for people.
        tex_path: as printed, for papers; a `table*` that needs the package booktabs.
        json_path: as printed, cell by cell, for the page of results (`read_printed`).
    """
    printed = print_table(table, caption)
    with atomic_write(csv_path) as temporary:
        harmless_table(_tidy(table)).to_csv(temporary, index=False, lineterminator="\n", na_rep=table.missing)
    for path, text in ((md_path, _markdown(printed)), (tex_path, _latex(printed))):
        with atomic_write(path) as temporary:
            temporary.write_text(text, encoding="utf-8")
    write_json(json_path, asdict(printed))


def _tidy(table: Table) -> pd.DataFrame:
    """The averages at the foot of a table belong to no class: their empty class_id is no missing number."""
    values = table.values
    return values.assign(class_id=values["class_id"].astype("string").fillna("")) if "class_id" in values else values


def read_printed(path: str | os.PathLike[str]) -> PrintedTable:
    """Read a table as it is printed.

    Args:
        path: the JSON file of `write_table`.
    """
    content = read_json(path)
    rows = [[Cell(**cell) for cell in row] for row in content.pop("rows")]
    return PrintedTable(**content, rows=rows)


def _best(frame: pd.DataFrame, numbers: Sequence[str], decimals: int) -> set[tuple[int, str]]:
    printed = frame[list(numbers)].astype(np.float64).map(lambda value: float(f"{value:.{decimals}f}"))
    is_best = (printed.eq(printed.max(axis=1), axis=0) & printed.notna()).to_numpy()
    return {(row, numbers[column]) for row, column in np.argwhere(is_best)}


def _text(value: object, decimals: int | None) -> str:
    if value is None or value is pd.NA or value != value:
        return ""
    if not isinstance(value, float | np.floating):
        return str(value)
    return str(round(float(value), 4)) if decimals is None else f"{value:.{decimals}f}"


def _markdown(table: PrintedTable) -> str:
    def line(cells: Sequence[str]) -> str:
        return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", "<br>") for cell in cells) + " |"

    lines = [
        table.caption,
        "",
        line(table.headings),
        "| " + " | ".join("---:" if numeric else ":---" for numeric in table.numeric) + " |",
    ]
    for row in table.rows:
        texts = [f"**{cell.text}**" if cell.best else cell.text for cell in row]
        lines.append(line([text + (f" ± {c.deviation}" if c.deviation else "") + c.mark for text, c in zip(texts, row, strict=True)]))  # fmt: skip
    for footnote in table.footnotes:
        lines += ["", footnote]
    return "\n".join(lines) + "\n"


# Not by pandas' Styler: cells would still be escaped and made bold here (the mean is bold, its deviation is not), the rule above the
# averages would be part of a cell, and footnotes would be inserted into Styler's text.
def _latex(table: PrintedTable) -> str:
    wide = len(table.headings) > 10
    # Names of experiments are stacked at their plus signs, so that a column is as narrow as its numbers.
    heads = [_stacked(name.replace("+", "\n+")) for name in table.headings]
    lines = [
        r"\begin{table*}",
        r"\centering",
        rf"\caption{{{_escape(table.caption)}}}",
        r"\scriptsize" if wide else r"\small",
        rf"\setlength{{\tabcolsep}}{{{2 if wide else 4}pt}}",
        rf"\begin{{tabular}}{{{''.join('r' if numeric else 'l' for numeric in table.numeric)}}}",
        r"\toprule",
        " & ".join(heads) + r" \\",
        r"\midrule",
    ]
    for row in table.rows:
        if row[0].text == WITHOUT_BACKGROUND:
            lines.append(r"\midrule")
        cells = []
        for cell in row:
            text = rf"\textbf{{{_escape(cell.text)}}}" if cell.best else _stacked(cell.text)
            deviation = rf"{{\tiny$\,\pm\,${cell.deviation}}}" if cell.deviation else ""
            cells.append(text + deviation + _escape(cell.mark))
        lines.append(" & ".join(cells) + r" \\")
    lines += [r"\bottomrule", r"\end{tabular}"]
    lines += [rf"\par\smallskip\footnotesize {_escape(footnote)}" for footnote in table.footnotes]
    return "\n".join([*lines, r"\end{table*}"]) + "\n"


def _stacked(text: str) -> str:
    lines = [_escape(line) for line in text.split("\n")]
    return rf"\shortstack{{{_BREAK.join(lines)}}}" if len(lines) > 1 else lines[0]


_HEADINGS = {
    "class_name": "Class",
    "quantity": "",
    "parameter": "",
    **{name: name.capitalize() for name in ("session", "outcome", "criterion", "found", "expected", "flag")},
    "participant_id": "Participant",
    "session_id": "Session",
    "shift_mm": "Shift (mm)",
    "rotation_degrees": "Rotation (°)",
    "corner_displacement_mm": "Corners (mm)",
    "before": "Information before",
    "after": "Information after",
    "overlap_before": "Overlap before",
    "overlap_after": "Overlap after",
    **{name: name.capitalize() for name in ("stage", "jobs", "hours", "processors")},
    "hours_with_networks": "GPU hours",
    "most_memory": "Memory (GiB)",
    "in_epochs": "In epochs (%)",
    "rate": "10¹² operations a second",
}
"""Printed headings of columns, where a column's name is made for machines."""

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
    "¹": "$^1$",
    "²": "$^2$",
    **{letter: rf"\textsuperscript{{{plain}}}" for letter, plain in _PLAIN.items()},
}


def _escape(text: str) -> str:
    return "".join(_LATEX.get(sign, sign) for sign in text)
