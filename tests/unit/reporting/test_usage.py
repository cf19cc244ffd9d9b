"""What a study cost, from benchmark files and histories."""

import numpy as np
import pandas as pd
import pytest

from lumbarseg.reporting.usage import usage_table


def benchmark(folder, name, seconds, memory, processor):
    file = folder / f"{name}.tsv"
    file.write_text(f"s\th:m:s\tmax_rss\tcpu_time\n{seconds}\t0:00:01\t{memory}\t{processor}\n")
    return file


def history(epochs, seconds, speed=10.0):
    return pd.DataFrame({"epoch": range(1, epochs + 1), "seconds": seconds, "patches_per_second": speed})


@pytest.fixture
def table(tmp_path):
    benchmarks = {
        "patch_session": [benchmark(tmp_path, f"p{i}", 36, 512, 18) for i in range(2)],
        "train_network": [benchmark(tmp_path, "t1", 3600, 2048, 7200), benchmark(tmp_path, "t2", 1800, 1024, 3600)],
        "stack_fold": [benchmark(tmp_path, "s1", 100, 1024, 100)],
    }
    # The second was interrupted: its last attempt took half an hour, all its epochs one and a half.
    trainings = [("UMD", history(30, 100.0)), ("U1", history(54, 100.0))]
    meta_learners = [pd.concat([history(2, 40.0).assign(model=name) for name in ("E2+NAD", "E2+TCD")])]
    frame = usage_table(benchmarks, trainings, meta_learners, {"UMD": 2e9, "U1": 1e9})
    return frame.set_index("stage")


def test_usage_table_counts_hours_of_all_jobs_and_epochs(table):
    assert table.loc["patch_session", "hours"] == pytest.approx(0.02)
    assert table.loc["train_network", "hours"] == pytest.approx((3600 + 5400) / 3600)
    assert table.loc["all", "hours"] == pytest.approx(table.drop("all")["hours"].sum())
    assert table.loc["all", "jobs"] == 5


def test_usage_table_has_gpu_hours_only_for_rules_that_run_networks(table):
    assert np.isnan(table.loc["patch_session", "hours_with_networks"])
    assert table.loc["all", "hours_with_networks"] == pytest.approx((9000 + 100) / 3600)


def test_usage_table_counts_epochs_of_a_folds_meta_learners_once(table):
    assert table.loc["stack_fold", "in_epochs"] == pytest.approx(80)


def test_usage_table_takes_processors_and_memory_from_the_benchmarks(table):
    assert table.loc["train_network", "processors"] == pytest.approx(2)
    assert table.loc["train_network", "most_memory"] == pytest.approx(2)


def test_usage_table_counts_three_passes_for_each_patch(table):
    operations = 6 * 10 * (2e9 * 3000 + 1e9 * 5400)
    assert table.loc["train_network", "rate"] == pytest.approx(operations / 8400 / 1e12)
