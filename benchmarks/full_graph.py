"""Time the planning of the full study: `python benchmarks/full_graph.py`. 181 sessions, 13 topologies × 3 folds, a dry run."""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

HOME = Path(__file__).parents[1]
SESSIONS = 181


def write_sheet(folder: Path) -> Path:
    """Write a sheet of the paper's size; its files are empty, for a dry run opens none."""
    rows = ["participant_id\tsession_id\tt2w\tt1w\tmask\tage\tsex\tweight\tsite"]
    for number in range(SESSIONS):
        names = [f"{number}_{kind}.nii.gz" for kind in ("t2w", "t1w", "mask")]
        for name in names:
            (folder / name).touch()
        rows.append("\t".join([f"p{number}", "01", *names, "53", "F", "74.1", "north"]))
    sheet = folder / "sessions.tsv"
    sheet.write_text("\n".join(rows) + "\n")
    return sheet


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "snakemake", "--dry-run", "--quiet", "rules", "--config"]
        command += [f"sessions={write_sheet(Path(folder))}"]
        for profile in ([], ["--profile", "slurm"]):
            started = time.perf_counter()
            done = subprocess.run([*command, *profile], cwd=HOME, check=True, capture_output=True, text=True)
            seconds = time.perf_counter() - started
            jobs = done.stdout.rpartition("total")[2].split()[0]
            print(f"{' '.join(profile) or 'default profile'}: {jobs} jobs planned in {seconds:.1f} s")
