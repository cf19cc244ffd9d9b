"""Write envs/lumbarseg.yaml and envs/figures.yaml from the requirement files: `make lock` calls this.

Usage: python3 envs/conda_environments.py

Each package is there with its version and hashes, and so is all that it depends on, because pip checks hashes of all packages or of
none. Nothing is fetched.
"""

import re
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path

ENVS = Path(__file__).parent
PROJECT = tomllib.loads((ENVS.parent / "pyproject.toml").read_text(encoding="utf-8"))
# Snakemake runs outside of the environment, and so does `lumbarseg watch`, which uses rich.
OUTSIDE = {"snakemake", "rich"}
HEADS = {
    "lumbarseg.yaml": "# The library's packages for `snakemake --sdm conda`, with the versions and hashes of requirements.txt.",
    "figures.yaml": "# The packages of figures, tables and the page of results for `snakemake --sdm conda`, with the versions and hashes of\n"
    "# figures.txt.",
}
_BLOCK = re.compile(r"^([a-z0-9._-]+)==.*?(?=^[a-z0-9._-]+==|\Z)", re.MULTILINE | re.DOTALL)


def names_of(requirements: Iterable[object]) -> set[str]:
    """Return the names of packages in a list of pyproject.toml."""
    found = (re.match(r"[\w.-]+", one) for one in requirements if isinstance(one, str))
    return {match[0].lower() for match in found if match}


def locked(text: str) -> dict[str, tuple[list[str], set[str]]]:
    """Return, by package of a requirement file, its requirement with hashes, and the packages that need it.

    A package that has several versions, for several systems, is there once, with all of them.
    """
    found: dict[str, tuple[list[str], set[str]]] = {}
    for match in _BLOCK.finditer(text):
        lines, needed_by = found.setdefault(match[1], ([], set()))
        requirement, _, comment = match[0].partition("# via")
        lines.append(" ".join(requirement.replace("\\\n", " ").split()).removesuffix("#").strip())
        needed_by |= set(re.findall(r"[a-z0-9][a-z0-9._-]*", comment.replace("#", " ")))
    return found


def closure(roots: set[str], packages: Mapping[str, tuple[list[str], set[str]]]) -> list[str]:
    """Return packages and all that they need, sorted."""
    wanted = set(roots)
    while more := {name for name, (_, needed_by) in packages.items() if needed_by & wanted} - wanted:
        wanted |= more
    return sorted(wanted)


def environment(head: str, requirements: Path, roots: set[str]) -> str:
    """Return the content of a conda environment."""
    packages = locked(requirements.read_text(encoding="utf-8"))
    lines = [head, "# Written by envs/conda_environments.py.", "channels: [conda-forge]", "dependencies:"]
    lines += ["  - python=3.11", "  - pip", "  - pip:"]
    for name in closure(roots, packages):
        for requirement in packages[name][0]:
            first, *hashes = requirement.split(" --hash=")
            lines += ["      - >-", f"        {first}", *(f"        --hash={one}" for one in hashes)]
    return "\n".join(lines) + "\n"


def contents() -> dict[str, str]:
    """Return the content of each environment by its file's name."""
    library = names_of(PROJECT["project"]["dependencies"])
    figures = names_of(PROJECT["dependency-groups"]["figures"]) - OUTSIDE
    return {
        "lumbarseg.yaml": environment(HEADS["lumbarseg.yaml"], ENVS / "requirements.txt", library),
        "figures.yaml": environment(HEADS["figures.yaml"], ENVS / "figures.txt", figures),
    }


if __name__ == "__main__":
    for name, content in contents().items():
        (ENVS / name).write_text(content, encoding="utf-8")
