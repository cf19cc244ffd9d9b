"""Figures, tables and the page from copied metrics (`metrics_only: true`), without images and TensorFlow."""

import shutil

import pandas as pd
import pytest

from factories.workflow import copy_workflow, snakemake

BLOCKED = ("tensorflow", "keras", "SimpleITK", "nibabel", "pydicom", "blosc2", "fsl")
METRICS_ONLY = ("--configfile", "my_study.yaml", "--config", "metrics_only=true")
SITE = f"""import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {BLOCKED!r}:
            raise ImportError(f"{{name}} is not part of this environment")
sys.meta_path.insert(0, Blocked())
"""


@pytest.fixture
def laptop(finished, tmp_path, monkeypatch):
    """A fresh copy of the workflow with the metrics of the finished study, in an environment without what networks need."""
    folder = copy_workflow(tmp_path / "laptop")
    shutil.copy(finished / "my_study.yaml", folder)
    shutil.copytree(finished / "results/small/metrics", folder / "results/small/metrics")
    shutil.copy(finished / "results/small/folds.tsv", folder / "results/small")
    site = tmp_path / "site"
    site.mkdir()
    (site / "sitecustomize.py").write_text(SITE)
    monkeypatch.setenv("PYTHONPATH", str(site))
    return folder


def files_of(folder, kind):
    return sorted(path.relative_to(folder) for path in (folder / "results/small" / kind).iterdir())


def test_metrics_only_makes_the_same_tables_figures_and_page(laptop, finished):
    run = snakemake(laptop, *METRICS_ONLY, "--cores", "2")
    assert run.status == 0, run.output[-4000:]
    for kind in ("tables", "figures", "report"):
        assert files_of(laptop, kind) == files_of(finished, kind)
    for table in files_of(laptop, "tables"):
        assert (laptop / table).read_bytes() == (finished / table).read_bytes(), table
    for figure in files_of(laptop, "figures"):
        assert (laptop / figure).read_bytes() == (finished / figure).read_bytes(), figure


def test_metrics_only_marks_missing_experiments_and_folds_in_tables(laptop):
    metrics = laptop / "results/small/metrics/iou.csv"
    iou = pd.read_csv(metrics)
    lacking = (iou["experiment"] == "U1+TH") | ((iou["experiment"] == "UD+TH") & (iou["fold"] == 2))
    iou[~lacking].to_csv(metrics, index=False)
    run = snakemake(laptop, "results/small/tables/table_7.md", *METRICS_ONLY, "--cores", "1")
    assert run.status == 0, run.output[-4000:]
    text = (laptop / "results/small/tables/table_7.md").read_text()
    assert "No results yet for U1+TH, E2+Geo+TH." in text
    assert "Without fold 2, which has no results of UD+TH." in text
    assert "nan" not in text.lower()


def test_metrics_only_is_never_inferred_from_a_missing_sheet(laptop):
    run = snakemake(laptop, "--configfile", "my_study.yaml", "--dry-run", "--quiet", "rules")
    assert run.status == 1
    assert "cohort/sessions.tsv: sheet of sessions not found" in run.output
