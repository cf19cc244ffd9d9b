"""The requirement files say one thing."""

import importlib
import re
import subprocess

import pytest
import yaml

from factories.workflow import ROOT


def pinned(name: str) -> dict[str, set[str]]:
    versions: dict[str, set[str]] = {}
    for package, version in re.findall(
        r"^([a-z0-9._-]+)==([^ ;\\]+)", (ROOT / "envs" / name).read_text(), re.MULTILINE
    ):
        versions.setdefault(package, set()).add(version)
    return versions


@pytest.mark.parametrize("name", ["requirements.txt", "tests.txt", "gpu.txt", "v100.txt", "figures.txt"])
def test_every_package_is_pinned_with_a_hash_and_no_index_is_named(name):
    text = (ROOT / "envs" / name).read_text()
    blocks = re.findall(r"^[a-z0-9._-]+==.*?(?=^[a-z0-9._-]+==|\Z)", text, re.MULTILINE | re.DOTALL)
    assert len(blocks) > 50
    assert all("--hash=sha256:" in block for block in blocks)
    assert "://" not in text


@pytest.mark.parametrize("name", ["tests.txt", "gpu.txt", "v100.txt"])
def test_tests_and_cards_run_with_the_workflows_own_versions(name):
    workflow, other = pinned("requirements.txt"), pinned(name)
    assert {package: other[package] for package in workflow} == workflow


def test_a_v100_gets_a_cudnn_that_still_knows_it_and_newer_cards_a_newer_one():
    old, new = (
        tuple(int(number) for number in next(iter(pinned(name)["nvidia-cudnn-cu12"])).split(".")[:2])
        for name in ("v100.txt", "gpu.txt")
    )
    assert (9, 3) <= old < (9, 11) <= new


def test_figures_are_made_with_few_packages_of_the_workflows_versions_and_without_tensorflow():
    workflow, figures = pinned("requirements.txt"), pinned("figures.txt")
    assert {package: workflow[package] for package in figures} == figures
    assert not {"tensorflow", "keras", "simpleitk", "nibabel", "pydicom"} & set(figures)


@pytest.mark.parametrize("name", ["lumbarseg.yaml", "figures.yaml"])
def test_the_conda_environments_have_the_same_versions(name):
    listed = yaml.safe_load((ROOT / "envs" / name).read_text())["dependencies"][-1]["pip"]
    workflow = pinned("requirements.txt")
    assert len(listed) >= 8
    for package, version in (entry.split("==") for entry in listed):
        assert version in workflow[package], package


def test_the_container_is_made_from_the_pinned_requirements_by_commands_a_shell_can_read():
    text = (ROOT / "envs/lumbarseg.def").read_text()
    sections = dict(re.findall(r"^%(\w+)\n(.*?)(?=^%|\Z)", text, re.MULTILINE | re.DOTALL))
    assert {"arguments", "files", "post", "environment", "test", "runscript"} <= set(sections)
    (name,) = re.findall(r"requirements=(\S+)", sections["arguments"])
    others = re.findall(r"--build-arg requirements=(\S+)", text)
    assert all((ROOT / path).is_file() for path in (name, *others))
    assert "--require-hashes -r /opt/requirements.txt" in sections["post"]
    for section in ("post", "environment", "test", "runscript"):
        subprocess.run(["sh", "-n"], input=sections[section], text=True, check=True)
    for package in re.search(r"import ([\w, ]+);", sections["test"])[1].split(", "):
        importlib.import_module(package)


def test_flirt_comes_from_an_environment_of_its_own():
    environment = yaml.safe_load((ROOT / "envs/fsl.yaml").read_text())
    assert environment["dependencies"] == ["fsl-flirt"]
    assert "fsl.fmrib.ox.ac.uk" in environment["channels"][0]
