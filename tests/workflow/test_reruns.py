"""What is made again, and what is not, after a change."""

import os
import time

import pandas as pd
import yaml

from factories.workflow import snakemake
from lumbarseg.deployment.bundle import Bundle

MINE = """
from pathlib import Path

import pandas as pd

from lumbarseg.reporting.figures.style import new_figure
from lumbarseg.reporting.registry import figure


@figure("mine", section="Errors", title="Mine", caption="A figure of mine.", needs={"iou": "metrics/iou.csv"})
def figure_mine(iou: Path):
    drawn = new_figure(3, 2)
    drawn.subplots().hist(pd.read_csv(iou)["iou"])
    return drawn
"""

DRY = ("--configfile", "my_study.yaml", "--dry-run", "--quiet", "rules")


def change_study(folder, change):
    file = folder / "my_study.yaml"
    content = yaml.safe_load(file.read_text())
    change(content)
    file.write_text(yaml.safe_dump(content))


def test_a_study_that_is_done_has_nothing_to_do(finished):
    run = snakemake(finished, *DRY)
    assert run.status == 0, run.output
    assert "Nothing to be done" in run.output


def test_touching_every_file_remakes_nothing(again):
    for path in again.rglob("*"):
        if path.is_file() and ".snakemake" not in path.parts and "results" not in path.parts:
            os.utime(path)
    assert "Nothing to be done" in snakemake(again, *DRY).output


def test_touching_intermediate_results_remakes_nothing(again):
    time.sleep(0.1)
    for path in sorted(again.glob("results/small/patches/**/*.*")):
        os.utime(path)
    assert "Nothing to be done" in snakemake(again, *DRY).output


def edit(module):
    module.write_text(module.read_text() + "\n# a comment\n")


def test_an_edit_of_what_all_figures_share_redraws_them_and_retrains_nothing(again):
    edit(again / "workflow_scripts/lumbarseg/reporting/figures/style.py")
    jobs = snakemake(again, *DRY).jobs
    assert jobs["figure"] == len(list((again / "results/small/figures").glob("*.svg")))
    assert set(jobs) == {"all", "figure", "quality_session", "quality_page", "results_page", "total"}


def test_an_edit_of_the_module_of_a_figure_redraws_it_alone(again):
    edit(again / "workflow_scripts/lumbarseg/reporting/figures/ranking.py")
    run = snakemake(again, *DRY[:3])
    assert run.jobs == {"all": 1, "figure": 1, "results_page": 1, "total": 3}
    assert "figure: ranking" in run.output


def test_a_new_figure_is_one_function_in_one_file(again):
    module = again / "workflow_scripts/lumbarseg/reporting/figures/mine.py"
    module.write_text(MINE)
    run = snakemake(again, *DRY[:2], "--cores", "2")
    assert run.status == 0, run.output[-3000:]
    assert (again / "results/small/figures/mine.svg").is_file()
    assert "A figure of mine." in (again / "results/small/report/results.html").read_text()
    assert "Nothing to be done" in snakemake(again, *DRY).output


def test_a_changed_setting_redraws_only_the_figures_that_use_it(again):
    change_study(again, lambda study: study["figures"].update(box_plots=["U1+TH", "UD+TH"]))
    run = snakemake(again, *DRY[:3])
    assert run.jobs == {"all": 1, "figure": 1, "table": 2, "results_page": 1, "total": 5}, run.output[-3000:]
    assert "figure: fig_8" in run.output


def test_an_edit_of_the_pages_template_remakes_the_page_alone(again):
    template = again / "workflow_scripts/lumbarseg/reporting/results_page.html"
    template.write_text(template.read_text() + "<!-- a comment -->\n")
    jobs = snakemake(again, *DRY).jobs
    assert set(jobs) == {"results_page", "all", "total"}


def test_an_edit_of_the_networks_retrains_them(again):
    module = again / "workflow_scripts/lumbarseg/models/blocks.py"
    module.write_text(module.read_text() + "\n# a comment\n")
    assert snakemake(again, *DRY).jobs["train_network"] == 6


def test_a_changed_learning_rate_retrains_just_that_topology(again):
    change_study(again, lambda study: study["topologies"]["UD"].update(learning_rate=0.02))
    run = snakemake(again, *DRY)
    assert run.jobs["train_network"] == 3
    assert run.jobs["patch_session"] == 0
    assert run.jobs["stack_fold"] == 3

    networks = [again / f"results/small/networks/{name}/fold-1/network.keras" for name in ("U1", "UD")]
    before = [network.read_bytes() for network in networks]
    run = snakemake(again, *DRY[:2], "--cores", "2", networks[1].relative_to(again))
    assert run.status == 0, run.output[-3000:]
    assert networks[0].read_bytes() == before[0]
    assert networks[1].read_bytes() != before[1]


def test_another_split_trains_the_networks_of_its_folds_in_the_same_run(again):
    change_study(again, lambda study: study.update(split={"seed": 2}))
    network = again / "results/small/networks/U1/fold-1/network.keras"
    before = network.stat().st_mtime_ns
    call = (network.relative_to(again), *DRY[:2])
    assert "the split of fold 1, 2, 3 has changed" in snakemake(again, *call, "--dry-run").output
    run = snakemake(again, *call, "--cores", "2")
    assert run.status == 0, run.output[-3000:]
    assert network.stat().st_mtime_ns != before
    assert "Nothing to be done" in snakemake(again, *call, "--dry-run").output


def test_a_new_sheet_with_the_same_patients_trains_nothing(again):
    sheet = again / "cohort/sessions.tsv"
    sheet.write_text(sheet.read_text().replace("\t40\t", "\t41\t"))
    target = "results/small/networks/U1/fold-1/network.keras"
    run = snakemake(again, target, *DRY[:2], "--cores", "2")
    assert run.status == 0, run.output[-3000:]
    assert "split" in run.output and "train_network: U1" not in run.output

    # neither does it hide what else has changed
    sheet.write_text(sheet.read_text().replace("\t41\t", "\t42\t"))
    change_study(again, lambda study: study["topologies"]["U1"].update(learning_rate=0.02))
    run = snakemake(again, target, *DRY[:2], "--cores", "2")
    assert "train_network: U1, fold 1" in run.output, run.output[-3000:]


def test_one_stage_can_be_forced_by_itself(again):
    jobs = snakemake(again, "threshold", *DRY, "--forcerun", "threshold_fold", "--until", "threshold_fold").jobs
    assert jobs["threshold_fold"] == 3
    assert jobs["train_network"] == jobs["reconstruct_fold"] == 0


def test_another_combiner_makes_only_what_it_is_in(again):
    change_study(again, lambda study: study["combine"]["combiners"].append("Geo"))
    jobs = snakemake(again, *DRY).jobs
    assert jobs["train_network"] == 0
    assert jobs["reconstruct_fold"] == 3


def test_with_out_of_fold_scores_heads_wait_for_the_networks_of_all_folds(again):
    meta_learner = "results/small/meta_learners/E2+NAD/fold-1/meta_learner.keras"
    assert snakemake(again, meta_learner, *DRY, "--forceall").jobs["train_network"] == 6
    change_study(again, lambda study: study["stacking"].update(out_of_fold=False))
    assert snakemake(again, meta_learner, *DRY, "--forceall").jobs["train_network"] == 2


def test_maps_of_uncertainty_and_calibration_stand_beside_the_masks(finished):
    for fold in (1, 2, 3):
        maps = sorted((finished / f"results/small/uncertainty/E2+NAD/fold-{fold}").glob("*.nii.gz"))
        assert [file.name.split("_desc-")[1] for file in maps] == [
            f"{measure}_uncertainty.nii.gz" for measure in ("entropy", "mutualinformation")
        ] * (len(maps) // 2)
        assert len(maps) == 2 * len(list((finished / f"results/small/masks/E2+NAD+TH/fold-{fold}").glob("*.nii.gz")))
    errors = pd.read_csv(finished / "results/small/metrics/calibration_errors.csv")
    assert set(errors["model"]) == {"U1", "UD", "E2+Arith", "E2+NAD", "E2+Flip"}
    assert errors["expected_calibration_error"].between(0, 1).all()


def test_figures_and_tables_are_targets_of_their_own(again):
    for folder in ("figures", "tables"):
        for path in (again / "results/small" / folder).iterdir():
            path.unlink()
    jobs = snakemake(again, "figures", *DRY).jobs
    assert jobs["figure"] > 10
    assert jobs["table"] == jobs["train_network"] == 0
    run = snakemake(again, "tables", *DRY[:2], "--cores", "2")
    assert run.status == 0, run.output[-3000:]
    table = pd.read_csv(again / "results/small/tables/table_7.csv")
    assert list(table.columns) == ["class_id", "class_name", "U1+TH", "UD+TH", "E2+NAD+TH", "E2+Geo+TH"]


def test_a_study_that_is_done_is_packed_without_training_anything_and_segments_its_own_patients(again):
    study = ("--configfile", "my_study.yaml", "--cores", "2")
    plan = snakemake(again, "bundle", *study, "--dry-run", "--quiet", "rules")
    assert set(plan.jobs) == {"pack_experiment", "bundle", "total"}, plan.output
    run = snakemake(again, "bundle", *study)
    assert run.status == 0, run.output[-3000:]
    bundle = Bundle(again / "results/small/bundle/best.zip")
    bundle.check()
    assert bundle.manifest["experiment"].endswith("+TH")
    # Which fold is packed depends on rounding; three folds of five patients validate on two, two and one.
    patients = bundle.manifest["patients"]
    assert patients["test"] == 1
    assert (patients["train"], patients["validation"]) in [(3, 2), (4, 1)]
    given = ("--config", "bundle=results/small/bundle/best.zip", "sessions=cohort/sessions.tsv")
    run = snakemake(again, "results/small/segmented/best/sub-p0/ses-01/sub-p0_ses-01_measures.csv", *study, *given)
    assert run.status == 0, run.output[-3000:]
    assert "sub-p0_ses-01: segmented" in run.output
    again_planned = snakemake(again, *study, "--dry-run", "--quiet", "rules")
    assert "Nothing to be done" in again_planned.output
