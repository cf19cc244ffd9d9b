"""Time and memory of a session's images by step: `python benchmarks/session_images.py [sessions]`.

Phantom sessions of 512 × 512 × 12 go from DICOM to patches and quality pages as a user would have it, one job at a time. Wall time,
processor time and memory are those of Snakemake's benchmark files. Start-up is what Python needs for a script's imports alone,
measured in processes of their own; what Snakemake adds around a job is the rest of the run's wall time.
"""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd
import yaml
from measured import ROOT, print_table

STEPS = {
    "convert_session": ["nifti"],
    "mask_session": [],
    "register_session": ["registered"],
    "normalise_session": ["normalised"],
    "patch_session": ["patches"],
    "quality_session": ["quality"],
}
STUDY = {
    "study": "images",
    "phantom": {"patients": 4, "matrices": [512], "slices": [12, 12]},
    "registration": {"engine": "itk"},
}
SESSIONS_OF_THE_PAPER, CORES = 181, 2


def start_up(script: str) -> float:
    """Seconds that a process needs for the imports of a script, least of three."""
    lines = (ROOT / "workflow_scripts" / f"{script}.py").read_text(encoding="utf-8").splitlines()
    imports = "\n".join(line for line in lines if line.startswith(("import ", "from ")))
    seconds = []
    for _ in range(3):
        started = time.perf_counter()
        subprocess.run([sys.executable, "-c", imports], check=True, env={"PYTHONPATH": str(ROOT / "workflow_scripts")})
        seconds.append(time.perf_counter() - started)
    return min(seconds)


def size(folder: Path) -> float:
    """MiB of a folder's files."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 2**20


if __name__ == "__main__":
    sessions = int(sys.argv[1]) if len(sys.argv) > 1 else STUDY["phantom"]["patients"]
    with tempfile.TemporaryDirectory() as scratch:
        study = Path(scratch, "study.yaml")
        study.write_text(yaml.safe_dump(STUDY | {"phantom": STUDY["phantom"] | {"patients": sessions}}))
        call = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile"), "--directory", scratch]
        call += ["--configfile", str(study), "--cores", "1", "--quiet", "all"]
        subprocess.run([*call, "--until", "phantom", "--", "convert"], check=True)
        started = time.perf_counter()
        subprocess.run([*call, "--", "patch", "quality"], check=True)
        whole = (time.perf_counter() - started) / sessions
        results = Path(scratch, "results", "images")
        rows = []
        for step, folders in STEPS.items():
            jobs = pd.concat(pd.read_csv(file, sep="\t") for file in (results / "benchmarks" / step).glob("*.tsv"))
            seconds = float(jobs["s"].median())
            stored = sum(size(results / folder) for folder in folders) / sessions
            rows.append(
                [step, seconds, start_up(step), float(jobs["max_rss"].replace("-", 0).astype(float).max()), stored]
            )
    print_table(["step", "s a session", "of this start-up", "most memory MiB", "MiB on disk"], rows)
    total, begin = sum(row[1] for row in rows), sum(row[2] for row in rows)
    print(
        f"\nJobs: {total:.1f} s a session, {100 * begin / total:.0f} % of it start-up; with Snakemake around them {whole:.1f} s."
    )
    hours = SESSIONS_OF_THE_PAPER * whole / CORES / 3600
    print(
        f"{SESSIONS_OF_THE_PAPER} sessions on {CORES} cores, two jobs at a time: {60 * hours:.0f} min, at most {max(row[3] for row in rows):.0f} MiB a job."
    )
