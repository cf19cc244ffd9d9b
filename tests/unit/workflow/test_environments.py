"""Requirement files, conda environments and the container agree with pyproject.toml and with each other."""

import importlib.util
import json
import re
import subprocess
import sys
import tomllib
from importlib import metadata

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from factories.workflow import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
LIBRARY = PROJECT["project"]["dependencies"]
EXTRAS = PROJECT["project"]["optional-dependencies"]
GROUPS = PROJECT["dependency-groups"]
WORKFLOW = [*LIBRARY, *EXTRAS["workflow"], *GROUPS["build"]]
CONTENTS = {
    "requirements.txt": WORKFLOW,
    "onnx.txt": [*WORKFLOW, *EXTRAS["onnx"]],
    "gpu.txt": [*WORKFLOW, *EXTRAS["gpu"]],
    "v100.txt": [*WORKFLOW, *EXTRAS["v100"]],
    "tests.txt": [*WORKFLOW, *EXTRAS["onnx"], *GROUPS["tests"]],
    "figures.txt": [*GROUPS["build"], *(one for one in GROUPS["figures"] if isinstance(one, str))],
    "docs.txt": GROUPS["docs"],
}
"""By requirement file, what `make lock` pins in it."""


def pinned(name: str) -> dict[str, set[str]]:
    versions: dict[str, set[str]] = {}
    for package, version in re.findall(
        r"^([a-z0-9._-]+)==([^ ;\\]+)", (ROOT / "envs" / name).read_text(), re.MULTILINE
    ):
        versions.setdefault(package, set()).add(version)
    return versions


def names_of(requirements: list[str]) -> set[str]:
    return {re.match(r"[\w.-]+", one)[0].lower() for one in requirements}


@pytest.mark.parametrize("name", CONTENTS)
def test_requirement_files_pin_every_package_with_a_hash_and_name_no_index(name):
    text = (ROOT / "envs" / name).read_text()
    blocks = re.findall(r"^[a-z0-9._-]+==.*?(?=^[a-z0-9._-]+==|\Z)", text, re.MULTILINE | re.DOTALL)
    assert len(blocks) > 20
    assert all("--hash=sha256:" in block for block in blocks)
    assert "://" not in text


@pytest.mark.parametrize("name", CONTENTS)
def test_requirement_files_pin_what_pyproject_names(name):
    missing = names_of(CONTENTS[name]) - set(pinned(name))
    assert not missing, "make lock"


@pytest.mark.parametrize("name", ["tests.txt", "gpu.txt", "v100.txt", "onnx.txt"])
def test_requirement_files_have_the_versions_of_the_workflow(name):
    workflow, other = pinned("requirements.txt"), pinned(name)
    assert {package: other[package] for package in workflow} == workflow


def test_requirements_for_a_v100_have_a_cudnn_that_supports_it():
    old, new = (
        tuple(int(number) for number in next(iter(pinned(name)["nvidia-cudnn-cu12"])).split(".")[:2])
        for name in ("v100.txt", "gpu.txt")
    )
    assert (9, 3) <= old < (9, 11) <= new


def test_requirements_for_figures_have_few_packages_and_no_tensorflow():
    workflow, figures = pinned("requirements.txt"), pinned("figures.txt")
    assert {package: workflow[package] for package in figures} == figures
    assert not {"tensorflow", "keras", "simpleitk", "nibabel", "pydicom"} & set(figures)


@pytest.mark.parametrize("name", ["requirements.txt", "figures.txt"])
def test_the_build_backend_is_pinned_where_setup_installs_the_project(name):
    assert PROJECT["build-system"]["requires"] == GROUPS["build"]
    assert names_of(GROUPS["build"]) <= set(pinned(name))


CONDA = {
    "lumbarseg.yaml": names_of(LIBRARY),
    # Snakemake runs outside of the environment, and so does `lumbarseg watch`, which uses rich.
    "figures.yaml": names_of(CONTENTS["figures.txt"]) - {"snakemake", "rich", "setuptools"},
}


def entries_of(name: str) -> list[str]:
    return yaml.safe_load((ROOT / "envs" / name).read_text())["dependencies"][-1]["pip"]


@pytest.mark.parametrize("name", CONDA)
def test_conda_environments_have_the_versions_and_hashes_of_the_requirement_files(name):
    known = set(re.findall(r"sha256:[0-9a-f]{64}", (ROOT / "envs/requirements.txt").read_text()))
    workflow = pinned("requirements.txt")
    for entry in entries_of(name):
        package, version = re.match(r"([a-z0-9._-]+)==([^ ]+)", entry).groups()
        assert version in workflow[package]
        hashes = re.findall(r"--hash=(\S+)", entry)
        assert hashes
        assert set(hashes) <= known


@pytest.mark.parametrize("name", CONDA)
def test_conda_environments_have_everything_that_their_packages_need(name):
    """Pip checks hashes of all packages or of none. What packages need is read from those that are installed."""
    listed = {re.match(r"[a-z0-9._-]+", entry)[0] for entry in entries_of(name)}
    assert listed >= CONDA[name]
    needed = {
        canonicalize_name(one.name)
        for package in listed
        if is_installed(package)
        for one in map(Requirement, metadata.requires(package) or [])
        if one.marker is None or one.marker.evaluate({"extra": ""})
    }
    assert needed <= listed
    assert ("keras" in listed) == (name == "lumbarseg.yaml")


def is_installed(package: str) -> bool:
    try:
        metadata.distribution(package)
    except metadata.PackageNotFoundError:
        return False
    return True


def test_conda_environments_are_those_that_make_lock_writes():
    written = subprocess.run(
        [sys.executable, "-c", "import json, conda_environments; print(json.dumps(conda_environments.contents()))"],
        cwd=ROOT / "envs",
        capture_output=True,
        check=True,
        timeout=60,
    )
    for name, content in json.loads(written.stdout).items():
        assert (ROOT / "envs" / name).read_text() == content


def test_rules_import_only_packages_that_come_with_snakemake():
    """With `--sdm conda` and `--sdm apptainer` Snakemake runs in an environment without the library's packages."""
    rules = [ROOT / "Snakefile", *sorted((ROOT / "rules").glob("*.smk"))]
    imports = [
        line
        for file in rules
        for line in re.findall(r"^from lumbarseg\S* import .*$", file.read_text(encoding="utf-8"), re.MULTILINE)
    ]
    assert imports
    absent = names_of(LIBRARY) - {"pydantic", "pyyaml", "jinja2"} | {"keras", "sitk", "fsl", "pil"}
    code = [
        "import sys",
        "class Absent:",
        "    def find_spec(self, name, path=None, target=None):",
        f"        if name.partition('.')[0].lower() in {absent}:",
        "            raise ModuleNotFoundError(f'the rules import {name}')",
        "sys.meta_path.insert(0, Absent())",
        *imports,
    ]
    environment = {"PYTHONPATH": str(ROOT / "workflow_scripts")}
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(code)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env=environment,
    )
    assert done.returncode == 0, done.stderr


def test_the_container_installs_the_pinned_requirements_by_commands_a_shell_can_read():
    text = (ROOT / "envs/lumbarseg.def").read_text()
    sections = dict(re.findall(r"^%(\w+)\n(.*?)(?=^%|\Z)", text, re.MULTILINE | re.DOTALL))
    assert {"arguments", "files", "post", "environment", "test", "runscript"} <= set(sections)
    (name,) = re.findall(r"requirements=(\S+)", sections["arguments"])
    others = re.findall(r"--build-arg requirements=(\S+)", text)
    assert all((ROOT / path).is_file() for path in (name, *others))
    assert "--require-hashes -r /opt/requirements.txt" in sections["post"]
    for section in ("post", "environment", "test", "runscript"):
        subprocess.run(["sh", "-n"], input=sections[section], text=True, check=True)
    tested = re.search(r"import ([\w, ]+);", sections["test"])[1].split(", ")
    assert len(tested) >= 5
    assert [package for package in tested if importlib.util.find_spec(package) is None] == []


def test_flirt_comes_from_an_environment_of_its_own():
    environment = yaml.safe_load((ROOT / "envs/fsl.yaml").read_text())
    assert environment["name"] == "fsl"  # what docs/cluster.md activates
    assert environment["dependencies"] == ["fsl-flirt"]
    assert "fsl.fmrib.ox.ac.uk" in environment["channels"][0]
