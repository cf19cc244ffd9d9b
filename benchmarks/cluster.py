"""What the workflow asks of a cluster, and what it costs on top of the jobs themselves, on the test cluster:

    python tests/slurm/cluster.py .venv/bin/python benchmarks/cluster.py

Planning of the full study with the profile (a dry run): seconds, memory, submissions. Then a small study up to its first
network: from submission to start, and how much longer than their scripts jobs take.
"""

import re
import resource
import subprocess
import sys
import tempfile
import time
from datetime import datetime
from pathlib import Path

import pandas as pd
from full_graph import HOME, write_sheet

sys.path.insert(0, str(HOME / "tests"))

from factories.workflow import copy_workflow, small_study, write_cohort, write_study

SNAKEMAKE = [sys.executable, "-m", "snakemake", "--profile", "slurm"]


def plan(folder: Path) -> str:
    """Plan the full study; say jobs, submissions, seconds, memory."""
    started = time.perf_counter()
    command = [*SNAKEMAKE, "--dry-run", "--config", f"sessions={write_sheet(folder)}"]
    text = subprocess.run(command, cwd=HOME, check=True, capture_output=True, text=True).stdout
    seconds = time.perf_counter() - started
    counts = dict(re.findall(r"^(\w+) +(\d+)$", text.rpartition("Job stats:")[2], re.MULTILINE))
    groups = len(re.findall(r"Group job \w+ \(jobs", text))
    rules = "\n\n\n".join(path.read_text() for path in (HOME / "rules").glob("*.smk")).split("\n\n\n")
    local = "|".join(
        re.search(r"^(?:rule|checkpoint) (\w+):$", rule, re.MULTILINE)[1] for rule in rules if "localrule: True" in rule
    )
    single = sum(1 for line in text.splitlines() if re.match(rf"Job \d+: (?!(?:{local}):)", line))
    memory = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    return (
        f"full study: {counts['total']} jobs in {groups + single} submissions ({groups} of groups, {single} single), planned in "
        f"{seconds:.1f} s with {memory:.0f} MiB"
    )


def small(folder: Path) -> pd.DataFrame:
    """Run a small study up to one network; a row a submission."""
    copy_workflow(folder)
    write_cohort(folder / "cohort", 6)
    write_study(folder, small_study("cohort/sessions.tsv"))
    target = "results/small/networks/UD/fold-1/network.keras"
    command = [*SNAKEMAKE, target, "--configfile", "my_study.yaml", "--set-threads", "train_network=2"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    text = subprocess.run(["scontrol", "show", "job", "--oneliner"], check=True, capture_output=True, text=True).stdout
    rows = []
    for line in text.splitlines():
        when = {
            name: datetime.fromisoformat(stamp) for name, stamp in re.findall(r"(Submit|Start|End)Time=(\S+)", line)
        }
        rule = re.search(r"Comment=rule_([a-z]+_?[a-z]*)", line)[1]
        done = list(
            folder.glob(
                "results/small/benchmarks/*_session/*.tsv"
                if rule.startswith("images")
                else f"results/small/benchmarks/{rule}/*.tsv"
            )
        )
        scripts = sum(pd.read_csv(file, sep="\t")["s"].iloc[0] for file in done)
        rows.append(
            {
                "submission": rule,
                "jobs": len(done),
                "processors": int(re.search(r"NumCPUs=(\d+)", line)[1]),
                "memory": re.search(r"mem=(\w+)", line)[1],
                "limit": re.search(r"TimeLimit=(\S+)", line)[1],
                "waited, s": (when["Start"] - when["Submit"]).seconds,
                "took, s": (when["End"] - when["Start"]).seconds,
                "scripts, s": round(scripts, 1),
            }
        )
    return pd.DataFrame(rows)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        print(plan(Path(name)))
    with tempfile.TemporaryDirectory() as name:
        started = time.perf_counter()
        print(small(Path(name) / "workflow").to_string(index=False))
        print(f"the whole run {time.perf_counter() - started:.0f} s")
