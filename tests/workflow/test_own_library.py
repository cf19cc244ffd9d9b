"""A copy of the workflow runs with its own library, whichever one is installed in the environment."""

from factories.workflow import copy_workflow, snakemake

RULE = """

rule where:
    output:
        "where.txt",
    params:
        parsed=__import__("lumbarseg").__file__,
    script:
        "workflow_scripts/where.py"
"""
SCRIPT = """
from pathlib import Path

import lumbarseg

Path(snakemake.output[0]).write_text(f"{snakemake.params.parsed}\\n{lumbarseg.__file__}\\n")
"""


def test_rules_and_scripts_of_a_copy_import_the_library_of_the_copy(tmp_path):
    folder = copy_workflow(tmp_path / "workflow")
    with (folder / "Snakefile").open("a") as file:
        file.write(RULE)
    (folder / "workflow_scripts/where.py").write_text(SCRIPT)
    run = snakemake(folder, "where", "--cores", "1")
    assert run.status == 0, run.output
    expected = str(folder / "workflow_scripts/lumbarseg/__init__.py")
    assert (folder / "where.txt").read_text().split() == [expected, expected]
