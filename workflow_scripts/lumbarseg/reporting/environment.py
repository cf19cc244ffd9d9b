"""The environment of the evaluation: versions and hardware."""

import os
import platform
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PACKAGES = ("tensorflow", "keras", "numpy", "scipy", "pandas", "snakemake")


def describe_machine(packages: Iterable[str] = PACKAGES) -> dict[str, str]:
    """Describe software and hardware, without a name of the machine or of its user.

    Args:
        packages: packages whose versions are listed; those that are not installed are left out.

    Returns:
        Name and description of each line on the page of results.
    """
    versions = []
    for name in packages:
        try:
            versions.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            continue
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {
        "Versions": f"Python {platform.python_version()}, {', '.join(versions)}",
        "Evaluated on": f"{_processor()}, {os.cpu_count()} cores, {memory:.0f} GiB, {platform.system()} {platform.machine()}",
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
