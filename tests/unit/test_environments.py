"""The requirement files say one thing."""

import re
import runpy

import pytest
import yaml

from workflow_runs import ROOT


def pinned(name: str) -> dict[str, set[str]]:
    versions: dict[str, set[str]] = {}
    for package, version in re.findall(
        r"^([a-z0-9._-]+)==([^ ;\\]+)", (ROOT / "envs" / name).read_text(), re.MULTILINE
    ):
        versions.setdefault(package, set()).add(version)
    return versions


@pytest.mark.parametrize("name", ["requirements.txt", "tests.txt"])
def test_every_package_is_pinned_with_a_hash_and_no_index_is_named(name):
    text = (ROOT / "envs" / name).read_text()
    blocks = re.findall(r"^[a-z0-9._-]+==.*?(?=^[a-z0-9._-]+==|\Z)", text, re.MULTILINE | re.DOTALL)
    assert len(blocks) > 50
    assert all("--hash=sha256:" in block for block in blocks)
    assert "://" not in text


def test_tests_run_with_the_workflows_own_versions():
    workflow, tests = pinned("requirements.txt"), pinned("tests.txt")
    assert {package: tests[package] for package in workflow} == workflow


def test_the_conda_environment_has_the_same_versions():
    listed = yaml.safe_load((ROOT / "envs/lumbarseg.yaml").read_text())["dependencies"][-1]["pip"]
    workflow = pinned("requirements.txt")
    assert len(listed) > 10
    for package, version in (entry.split("==") for entry in listed):
        assert version in workflow[package], package


def test_the_page_on_configuration_is_made_from_the_schema():
    page = runpy.run_path(str(ROOT / "docs/configuration.py"))["page"]()
    assert page == (ROOT / "docs/configuration.md").read_text(encoding="utf-8"), "make docs"
