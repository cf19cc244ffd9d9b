"""Which library files define a rule's result."""

import re

import grimp
import pytest

from factories.workflow import ROOT
from lumbarseg.workflow.library_inputs import INFRASTRUCTURE, LIBRARY, library_inputs

SCRIPTS = sorted((ROOT / "workflow_scripts").glob("*.py"))
RULES = "\n".join(path.read_text() for path in sorted((ROOT / "rules").glob("*.smk")))


def modules(script):
    """The modules of `library_inputs`, as names."""
    files = [path for path in library_inputs(script)[1:] if path.suffix == ".py"]
    parts = [path.relative_to(LIBRARY.parent).with_suffix("").parts for path in files]
    return {".".join(part for part in names if part != "__init__") for names in parts}


@pytest.fixture(scope="module")
def graph():
    return grimp.build_graph("lumbarseg", cache_dir=None)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_library_inputs_are_all_that_a_script_imports_directly_or_not(script, graph):
    direct = set(re.findall(r"^ *from (lumbarseg[\w.]*) import", script.read_text(), re.MULTILINE))
    names = re.findall(r"^ *from (lumbarseg[\w.]*) import (\w+)$", script.read_text(), re.MULTILINE)
    direct |= {f"{package}.{name}" for package, name in names if f"{package}.{name}" in graph.modules}
    expected = set(direct)
    # grimp knows modules, not what is left out: go through what is not left out, step by step.
    pending = list(direct)
    while pending:
        module = pending.pop()
        if module not in INFRASTRUCTURE:
            # Whoever imports a module runs the packages that contain it.
            parts = module.split(".")
            run = [".".join(parts[:length]) for length in range(2, len(parts) + 1)]
            found = set().union(*map(graph.find_modules_directly_imported_by, run)) - expected
            expected |= found
            pending += found
    expected -= set(INFRASTRUCTURE)
    packages = {
        name for name in modules(script) if (LIBRARY.parent.joinpath(*name.split(".")) / "__init__.py").is_file()
    }
    assert modules(script) - packages == expected - packages


def test_library_inputs_of_training_hold_what_chooses_the_best_epoch_and_no_plotting():
    inputs = {
        path.relative_to(LIBRARY).as_posix() for path in library_inputs(ROOT / "workflow_scripts/train_network.py")[1:]
    }
    assert {"evaluation/metrics.py", "models/blocks.py", "data/augmentation.py", "data/storage.py"} <= inputs
    assert not [name for name in inputs if name.startswith(("reporting/", "deployment/", "inference/", "workflow/"))]


def test_library_inputs_bring_a_modules_data_files():
    inputs = {path.name for path in library_inputs(ROOT / "workflow_scripts/results_page.py")}
    assert "results_page.html" in inputs


def test_library_inputs_leave_out_a_module_that_is_not_imported(tmp_path):
    script = tmp_path / "script.py"
    script.write_text("def late():\n    from lumbarseg.evaluation import metrics\n")
    names = {path.stem for path in library_inputs(script)}
    assert {"script", "metrics"} <= names
    assert "statistics" not in names


def test_library_inputs_leave_out_what_a_study_does_not_use():
    script = ROOT / "workflow_scripts/train_network.py"
    packages = [
        {path.parent.name for path in library_inputs(script, unused)}
        for unused in ((), ("lumbarseg.training.phantoms",))
    ]
    assert {"phantom", "synthesis"} <= packages[0]
    assert not {"phantom", "synthesis"} & packages[1]


def test_rules_with_a_script_take_its_library_inputs():
    for rule in re.split(r"^(?:rule|checkpoint) ", RULES, flags=re.MULTILINE)[1:]:
        script = re.search(r'script:\s+"\.\./workflow_scripts/(\w+)\.py"', rule)
        if script and not rule.startswith("write_sheet"):
            assert re.search(rf'library_inputs\("{script[1]}"[,)]', rule), rule.splitlines()[0]
