"""A table as what it is made of, and as CSV, Markdown and LaTeX files."""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from lumbarseg.atomic_io import atomic_write

MISSING = "n/a"
"""What stands where a number was expected and there is none; pandas and R read it as a missing value."""

WITHOUT_BACKGROUND = "IoU without Bg."
WITH_BACKGROUND = "IoU with Bg."

LETTERS = "ᵃᵇᶜᵈᵉᶠᵍʰⁱʲᵏˡᵐⁿᵒᵖʳˢᵗᵘᵛʷˣʸᶻ"
"""Marks of footnotes, in their order."""
_BREAK = r"\\"
_PLAIN = dict(zip(LETTERS, "abcdefghijklmnoprstuvwxyz", strict=True))


@dataclass(frozen=True)
class Table:
    """A table, before it is written.

    Attributes:
        values: texts and numbers; what the CSV holds, unrounded.
        caption: one or more sentences, plain text.
        sd: standard deviations in the shape of `values`, printed after them as `86.1 ± 0.4`.
        printed: what Markdown and LaTeX show, where it is not `values`; texts, in which a line break stacks two lines.
        marks: letters of footnotes in the shape of what is printed, set behind its cells; empty texts elsewhere.
        footnotes: sentences that stand below the table.
        decimals: of printed numbers that are not whole numbers by type; None for as many as each has, one to four.
        best_bold: whether to make the best of each row bold: all cells that print the same highest number, as in the paper.
        missing: what stands in a cell without a number.
    """

    values: pd.DataFrame
    caption: str
    sd: pd.DataFrame | None = None
    printed: pd.DataFrame | None = None
    marks: pd.DataFrame | None = None
    footnotes: Sequence[str] = ()
    decimals: int | None = 1
    best_bold: bool = True
    missing: str = ""

    def cells(self) -> "Cells":
        """Round, mark and join what is printed."""
        shown = (self.values if self.printed is None else self.printed).drop(columns="class_id", errors="ignore")
        names = [str(column) for column in shown.columns]
        numbers = [name for name in names if pd.api.types.is_numeric_dtype(shown[name])]
        best = _best(shown, numbers, self.decimals) if self.best_bold and self.decimals is not None else set()
        rows = []
        for row in range(len(shown)):
            cells = []
            for name in names:
                value = _text(shown[name].iloc[row], self.decimals)
                has_number = name in numbers and value
                deviation = "" if self.sd is None or not has_number else _text(self.sd[name].iloc[row], self.decimals)
                mark = "" if self.marks is None or name not in self.marks else self.marks[name].iloc[row]
                cells.append(
                    Cell(value or (self.missing if name in numbers else ""), (row, name) in best, deviation, mark)
                )
            rows.append(cells)
        return Cells(self.caption, names, [name in numbers for name in names], rows, list(self.footnotes))


@dataclass(frozen=True)
class Cell:
    """A printed cell: its text, whether it is the best of its row, the deviation behind it, and letters of footnotes."""

    text: str
    best: bool = False
    deviation: str = ""
    mark: str = ""


@dataclass(frozen=True)
class Cells:
    """A table as it is printed: caption, headings, which columns hold numbers, rows of cells, footnotes."""

    caption: str
    headings: list[str]
    numeric: list[bool]
    rows: list[list[Cell]]
    footnotes: list[str]


def write_table(
    table: Table, csv_path: str | os.PathLike[str], md_path: str | os.PathLike[str], tex_path: str | os.PathLike[str]
) -> None:
    """Write a table as CSV (unrounded), Markdown and LaTeX (booktabs).

    In Markdown and LaTeX the column class_id is left out, numbers are rounded, and the best of a row is bold.

    Args:
        table: what to write.
        csv_path: the file for machines.
        md_path: the file for people.
        tex_path: the file for papers; a `table*` that needs the package booktabs.
    """
    printed = table.cells()
    texts = {csv_path: "", md_path: _markdown(printed), tex_path: _latex(printed)}
    for path, text in texts.items():
        with atomic_write(path) as temporary:
            if path is csv_path:
                _for_machines(table).to_csv(temporary, index=False, lineterminator="\n", na_rep=table.missing)
            else:
                temporary.write_text(text, encoding="utf-8")


def _for_machines(table: Table) -> pd.DataFrame:
    """The averages at the foot of a table are of no class: an empty cell there is no number that is missing."""
    values = table.values
    return values.assign(class_id=values["class_id"].astype("string").fillna("")) if "class_id" in values else values


def read_markdown(path: Path) -> Cells:
    """Read a table back from its Markdown file, as it is printed.

    Args:
        path: a file of `write_table`.
    """
    lines = path.read_text(encoding="utf-8").splitlines()
    inside = [line for line in lines if line.startswith("| ")]
    headings, rules, *body = [[part.strip() for part in re.split(r"(?<!\\)\|", line)[1:-1]] for line in inside]
    rows = [[_read_cell(part) for part in row] for row in body]
    footnotes = [line for line in lines[lines.index(inside[-1]) + 1 :] if line]
    return Cells(
        lines[0], [_plain(heading) for heading in headings], [rule.endswith(":") for rule in rules], rows, footnotes
    )


def _plain(text: str) -> str:
    return text.replace("\\|", "|").replace("<br>", "\n")


def _read_cell(text: str) -> Cell:
    unmarked = text.rstrip(LETTERS)
    mark = text[len(unmarked) :]
    value, _, deviation = unmarked.partition(" ± ")
    best = value.startswith("**") and value.endswith("**") and len(value) > 4
    return Cell(_plain(value[2:-2] if best else value), best, deviation, mark)


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


def _markdown(table: Cells) -> str:
    def line(cells: Sequence[str]) -> str:
        return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", "<br>") for cell in cells) + " |"

    lines = [
        table.caption,
        "",
        line([_heading(name) for name in table.headings]),
        "| " + " | ".join("---:" if numeric else ":---" for numeric in table.numeric) + " |",
    ]
    for row in table.rows:
        texts = [f"**{cell.text}**" if cell.best else cell.text for cell in row]
        lines.append(line([text + (f" ± {c.deviation}" if c.deviation else "") + c.mark for text, c in zip(texts, row, strict=True)]))  # fmt: skip
    for footnote in table.footnotes:
        lines += ["", footnote]
    return "\n".join(lines) + "\n"


def _latex(table: Cells) -> str:
    wide = len(table.headings) > 10
    # An experiment's name is stacked at its plus signs, which makes the column as narrow as its numbers.
    heads = [_stacked(_heading(name).replace("+", "\n+")) for name in table.headings]
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


def _heading(column: str) -> str:
    """Columns for machines have names that a printed table does without."""
    return _HEADINGS.get(column, column)


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
