"""Figures and tables of the study: they are declared where they are drawn, in lumbarseg/reporting."""

import yaml
from lumbarseg.workflow.report import Report

results = Report(plan.study, paths)

try:
    results.entries
except InputError as error:
    raise WorkflowError(str(error)) from None


def differences_from():
    """Which settings differ from the paper's study: key, this study's value, the paper's."""
    home = Path(workflow.basedir)
    paper = yaml.safe_load((home / "config.yaml").read_text(encoding="utf-8"))
    return plan.study.differences_from(Study(paper))
