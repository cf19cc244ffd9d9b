"""A small study and its metrics, made once."""

from pathlib import Path

import pytest

from factories.reporting import report_study, write_metrics


@pytest.fixture(scope="session")
def study():
    return report_study()


@pytest.fixture(scope="session")
def results(study, tmp_path_factory) -> Path:
    """The folder of the study's results."""
    folder = tmp_path_factory.mktemp("report") / "results"
    write_metrics(folder, study)
    return folder
