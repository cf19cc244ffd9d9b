"""Say what a finished run cost: `python benchmarks/stages.py results/demo`. Jobs, time and memory by rule, and disk by folder."""

import sys
from pathlib import Path

import pandas as pd


def by_rule(results: Path) -> pd.DataFrame:
    """Sum the benchmark files of a study by rule.

    Args:
        results: `results/<study>`.

    Returns:
        jobs, wall seconds summed over jobs, CPU seconds, greatest resident memory in MiB; a row a rule, as they ran.
    """
    rows = []
    for path in results.glob("benchmarks/**/*.tsv"):
        rule = path.relative_to(results / "benchmarks").parts[0].removesuffix(".tsv")
        measured = pd.read_csv(path, sep="\t", na_values="-").iloc[0]
        rows.append((rule, measured["s"], measured["cpu_time"], measured["max_rss"], path.stat().st_mtime))
    frame = pd.DataFrame(rows, columns=["rule", "wall", "cpu", "memory", "time"])
    grouped = frame.groupby("rule").agg(
        jobs=("wall", "size"), wall=("wall", "sum"), cpu=("cpu", "sum"), memory=("memory", "max"), first=("time", "min")
    )
    return grouped.sort_values("first").drop(columns="first")


def by_folder(results: Path) -> pd.Series:
    """Disk use below a study's results, MiB a folder."""
    sizes = {
        folder.name: sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 2**20
        for folder in sorted(results.iterdir())
        if folder.is_dir()
    }
    return pd.Series(sizes)


if __name__ == "__main__":
    study = Path(sys.argv[1])
    print("| rule | jobs | wall s, all jobs | CPU s | most memory MiB |\n|---|---|---|---|---|")
    stages = by_rule(study)
    for row in stages.itertuples():
        print(f"| {row.Index} | {row.jobs} | {row.wall:.0f} | {row.cpu:.0f} | {row.memory:.0f} |")
    print(
        f"| all | {stages.jobs.sum()} | {stages.wall.sum():.0f} | {stages.cpu.sum():.0f} | {stages.memory.max():.0f} |\n"
    )
    folders = by_folder(study)
    print("| folder | MiB |\n|---|---|")
    for name, size in folders.items():
        print(f"| {name} | {size:.1f} |")
    print(f"| all | {folders.sum():.1f} |")
