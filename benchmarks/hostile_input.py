"""Count the tests with hostile, damaged and contradictory input by kind: `python benchmarks/hostile_input.py [KIND …]`."""

import sys
from collections import Counter
from pathlib import Path

import pytest

HOME = Path(__file__).parents[1]
KINDS = {
    "bundles": ("deployment/test_bundle.py", "deployment/test_manifest_model.py", "models/test_stored_network.py"),
    "images": ("core/test_image_files.py", "data/test_storage.py", "data/test_csv_tables.py"),
    "headers": ("imaging/test_dicom_contradictions.py",),
    "folders": ("imaging/test_dicom_folder.py", "core/test_user_files.py"),
    "identity": ("imaging/test_deidentification.py",),
    "sheets": (
        "cohort/test_table.py", "cohort/test_sheet.py", "cohort/test_written_sheets.py", "cohort/test_split.py",
        "cohort/test_demographics.py",
    ),
    "config": ("config/test_reading.py", "config/test_schema.py", "config/test_study.py"),
    "spreadsheets": ("core/test_spreadsheets.py",),
    "kills": ("core/test_temporary_files.py", "core/test_atomic_io.py"),
    "pages": ("deployment/test_session_page.py",),
}  # fmt: skip
"""By kind, the files of `tests/unit` whose tests try it."""


class Outcomes:
    """A plugin of pytest: how many tests were tried, and how many of them passed.

    Attributes:
        tried: by file below `tests/unit`, the number of tests that were not skipped.
        passed: of these.
    """

    def __init__(self) -> None:
        self.tried: Counter[str] = Counter()
        self.passed: Counter[str] = Counter()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Count a test by its call, or by its set-up or tear-down if that failed."""
        file = report.nodeid.partition("::")[0].removeprefix("tests/unit/")
        if report.when == "call" and not report.skipped:
            self.tried[file] += 1
            self.passed[file] += report.passed
        elif report.failed:
            self.tried[file] += report.when == "setup"
            self.passed[file] -= report.when == "teardown"


if __name__ == "__main__":
    chosen = {kind: KINDS[kind] for kind in sys.argv[1:] or KINDS}
    outcomes = Outcomes()
    files = [str(HOME / "tests/unit" / file) for names in chosen.values() for file in names]
    pytest.main([f"--rootdir={HOME}", "-q", *files], plugins=[outcomes])
    print("| kind | tried | passed |\n|---|---|---|")
    for kind, names in chosen.items():
        print(
            f"| {kind} | {sum(outcomes.tried[one] for one in names)} | {sum(outcomes.passed[one] for one in names)} |"
        )
    print(f"| all | {outcomes.tried.total()} | {outcomes.passed.total()} |")
