"""The hyper-parameter search as a user runs it, next to a finished study."""

import pandas as pd
import yaml

from factories.workflow import snakemake

RUN = ("--configfile", "my_study.yaml", "--cores", "2", "--set-threads", "search_network=1")
# No network survives steps of sgd at this length.
GRID = {
    "topologies": ["UD"], "epochs": 2, "activations": ["relu"],
    "learning_rates": {"adadelta": None, "rmsprop": None, "adam": [0.01], "sgd": [1e25]},
}  # fmt: skip


def test_search_ranks_combinations_and_leaves_the_study_as_it_was(again):
    file = again / "my_study.yaml"
    file.write_text(yaml.safe_dump(yaml.safe_load(file.read_text()) | {"search": GRID}))
    before = {path: path.stat().st_mtime_ns for path in again.glob("results/small/*/**/*") if path.is_file()}
    run = snakemake(again, "search", *RUN)
    assert run.status == 0, run.output[-4000:]

    folder = again / "results/small/search"
    trials = pd.read_csv(folder / "trials.csv").set_index(["optimiser", "learning_rate"])
    assert len(trials) == 2
    assert trials.loc["sgd", "diverged"].all()
    assert not trials.loc["adam", "diverged"].any()
    assert len(pd.read_csv(folder / "UD_adam_0.01_relu/fold-1/history.csv")) == 2
    assert "in the config" in (folder.parent / "tables/table_search.md").read_text()
    figure = folder.parent / "figures/search.png"
    figure.rename(folder / "kept.png")
    assert snakemake(again, "search", *RUN).status == 0
    assert figure.read_bytes() == (folder / "kept.png").read_bytes()
    assert figure.stat().st_size > 5000
    assert not list(folder.rglob("*.keras"))

    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert "Nothing to be done" in snakemake(again, "all", "search", *RUN, "--dry-run", "--quiet", "rules").output


def test_search_without_a_grid_says_what_to_write(finished):
    study = finished / "no_search.yaml"
    study.write_text(
        (finished / "my_study.yaml").read_text()
        + "\nsearch: {learning_rates: {adam: null, adadelta: null, rmsprop: null}}\n"
    )
    run = snakemake(finished, "search", "--configfile", study.name, "--dry-run", "--quiet", "rules")
    study.unlink()
    assert run.status == 1
    assert "`search` needs the section `search` with learning rates to try" in run.output
