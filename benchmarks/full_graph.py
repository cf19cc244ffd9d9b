"""Time and memory of planning the full study, 13 topologies × 3 folds, as dry runs: `python benchmarks/full_graph.py [SESSIONS …]`.

By default 181 sessions as in the paper.
"""

import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HOME = Path(__file__).parents[1]
SESSIONS_OF_THE_PAPER = 181


def write_sheet(folder: Path, sessions: int) -> Path:
    """Write a sheet; its files are empty, for a dry run opens none."""
    rows = ["participant_id\tsession_id\tt2w\tt1w\tmask\tage\tsex\tweight\tsite"]
    for number in range(sessions):
        names = [f"{number}_{kind}.nii.gz" for kind in ("t2w", "t1w", "mask")]
        for name in names:
            (folder / name).touch()
        rows.append("\t".join([f"p{number}", "01", *names, "53", "F", "74.1", "north"]))
    sheet = folder / "sessions.tsv"
    sheet.write_text("\n".join(rows) + "\n")
    return sheet


def plan(arguments: list[str]) -> tuple[int, float, float]:
    """Plan a run: the number of its jobs, seconds, and the largest memory (MiB) of all plans until now."""
    command = [sys.executable, "-m", "snakemake", "--dry-run", "--quiet", "rules", *arguments]
    started = time.perf_counter()
    done = subprocess.run(command, cwd=HOME, check=True, capture_output=True, text=True)
    seconds = time.perf_counter() - started
    jobs = int(done.stdout.rpartition("total")[2].split()[0])
    return jobs, seconds, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024


if __name__ == "__main__":
    for sessions in sorted(map(int, sys.argv[1:])) or [SESSIONS_OF_THE_PAPER]:
        with tempfile.TemporaryDirectory() as folder:
            sheet = ["--config", f"sessions={write_sheet(Path(folder), sessions)}"]
            for profile in ([], ["--profile", "slurm"]):
                jobs, seconds, memory = plan([*sheet, *profile])
                name = " ".join(profile) or "default profile"
                print(f"{sessions} sessions, {name}: {jobs} jobs planned in {seconds:.1f} s, at most {memory:.0f} MiB")
