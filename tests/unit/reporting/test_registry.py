"""Declarations of figures and tables, read from the sources of the modules that draw them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from lumbarseg.errors import InputError
from lumbarseg.labels import LabelTable
from lumbarseg.reporting.registry import SECTIONS, Declaration, declarations, make

MODULE = """
from lumbarseg.reporting.registry import figure


@figure(
    "fig_10",
    section="Errors",
    caption="One line, "
    "and another.",
    needs={"iou": "metrics/iou.csv"},
)
def figure_10(iou, labels):
    return iou, labels
"""


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A package whose folder `figures` has one module."""
    (tmp_path / "figures").mkdir()
    (tmp_path / "figures/new.py").write_text(MODULE)
    return tmp_path


def change(package: Path, old: str, new: str) -> None:
    module = package / "figures/new.py"
    module.write_text(module.read_text().replace(old, new))


def test_declarations_reads_a_new_function_in_a_new_file(package: Path) -> None:
    assert declarations(package, "mine") == [
        Declaration(
            kind="figure",
            name="fig_10",
            section="Errors",
            caption="One line, and another.",
            needs={"iou": "metrics/iou.csv"},
            parameters=("iou", "labels"),
            function="mine.figures.new.figure_10",
            file=package / "figures/new.py",
        )
    ]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"metrics/iou.csv"', "PATH", "new.py, line 5: @figure, needs: not a literal"),
        ('section="Errors"', 'section="Error"', "line 5: @figure: unknown section `Error`; use one of Data, Segmentation"),
        ("caption=", "captoin=", "line 5: @figure: .*unexpected keyword argument 'captoin'"),
        ('    section="Errors",\n', "", "line 5: @figure: .*missing 1 required .*'section'"),
        ("def figure_10(iou, labels):", "def figure_9(iou, labels):\n    return iou\n\n\n" + MODULE.partition("figure\n\n\n")[2].partition("def")[0] + "def figure_10(iou, labels):", "`fig_10` is declared twice"),
    ],
    ids=["a name instead of a value", "section", "misspelt argument", "missing argument", "same name"],
)  # fmt: skip
def test_declarations_refuses_mistakes_with_file_and_line(package: Path, old: str, new: str, message: str) -> None:
    change(package, old, new)
    with pytest.raises(InputError, match=message):
        declarations(package)


def test_declarations_orders_sections_then_tables_then_numbers() -> None:
    found = declarations()
    order = [(SECTIONS.index(one.section), one.kind == "figure") for one in found]
    assert order == sorted(order)
    names = [one.name for one in found if one.section == "Data"]
    assert names[:3] == ["table_1", "table_2", "table_3"]
    assert names.index("fig_2") < names.index("fig_3") < names.index("registration")


def test_make_passes_paths_and_a_label_table(package: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(package / "figures")
    labels = {"classes": [{"id": 0, "name": "Background", "colour": "#000000"}], "background": 0}
    iou, table = make("new.figure_10", {"iou": "metrics/iou.csv"}, {"labels": labels})
    assert iou == Path("metrics/iou.csv")
    assert isinstance(table, LabelTable)


def run(program: str) -> str:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, env=environment)
    return ended.stdout.strip()


def test_declarations_imports_nothing_that_draws() -> None:
    heavy = ("matplotlib", "pandas", "numpy", "scipy", "jinja2", "PIL")
    program = (
        "import sys\n"
        "from lumbarseg.reporting.registry import declarations\n"
        "assert declarations()\n"
        f"print([name for name in {heavy} if name in sys.modules])"
    )
    assert run(program) == "[]"


def test_declared_modules_need_neither_pyplot_nor_tensorflow_nor_imaging() -> None:
    modules = sorted({one.function.rpartition(".")[0] for one in declarations()})
    absent = ("tensorflow", "keras", "nibabel", "SimpleITK", "matplotlib.pyplot")
    program = (
        f"import sys, lumbarseg.reporting.results_page, {', '.join(modules)}\n"
        "from lumbarseg.reporting.figures.style import new_figure, styled\n"
        "styled(lambda: new_figure(1, 1))()\n"
        f"print([name for name in {absent} if name in sys.modules])"
    )
    assert run(program) == "[]"
