"""What is made again, and what is not, after a change of a study that is finished."""

import os
import shutil
from pathlib import Path

import pandas as pd
import pytest
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

RUN = ("--configfile", "my_study.yaml")
DRY = (*RUN, "--dry-run", "--quiet", "rules")
FOLDS = 2


@pytest.fixture(scope="module")
def copied(finished, tmp_path_factory):
    return Path(shutil.copytree(finished, tmp_path_factory.mktemp("copied") / "workflow", symlinks=True))


class Edits:
    """Edits of files of a finished study, for dry runs."""

    def __init__(self, folder):
        self.folder, self._originals = folder, {}

    def change(self, name, change):
        path = self.folder / name
        self._originals.setdefault(path, path.read_text())
        path.write_text(change(path.read_text()))

    def comment(self, module):
        self.change(f"workflow_scripts/lumbarseg/{module}", lambda text: text + "\n# a comment\n")

    def study(self, change):
        self.change("my_study.yaml", lambda text: changed(text, change))

    def undo(self):
        for path, text in self._originals.items():
            path.write_text(text)


@pytest.fixture
def edits(copied):
    edits = Edits(copied)
    yield edits
    edits.undo()


def changed(text, change):
    content = yaml.safe_load(text)
    change(content)
    return yaml.safe_dump(content)


def change_study(folder, change):
    file = folder / "my_study.yaml"
    file.write_text(changed(file.read_text(), change))


def test_finished_study_has_nothing_to_do_after_every_file_was_touched(edits):
    for path in edits.folder.rglob("*"):
        if path.is_file() and ".snakemake" not in path.parts and "results" not in path.parts:
            os.utime(path)
    for path in edits.folder.glob("results/small/patches/**/*.*"):
        os.utime(path)
    run = snakemake(edits.folder, *DRY)
    assert run.status == 0, run.output
    assert "Nothing to be done" in run.output


def test_edit_of_what_all_figures_share_redraws_them_and_retrains_nothing(edits):
    edits.comment("reporting/figures/style.py")
    jobs = snakemake(edits.folder, *DRY).jobs
    assert jobs["figure"] == len(list((edits.folder / "results/small/figures").glob("*.svg")))
    assert set(jobs) == {"all", "figure", "quality_session", "quality_page", "results_page", "total"}


def test_edit_of_the_module_of_a_figure_redraws_it_alone(edits):
    edits.comment("reporting/figures/ranking.py")
    run = snakemake(edits.folder, *DRY[:3])
    assert run.jobs == {"all": 1, "figure": 1, "results_page": 1, "total": 3}
    assert "figure: ranking" in run.output


def test_changed_setting_redraws_only_the_figures_and_tables_that_use_it(edits):
    edits.study(lambda study: study["figures"].update(box_plots=["U1+TH", "UD+TH"]))
    run = snakemake(edits.folder, *DRY[:3])
    assert run.jobs == {"all": 1, "figure": 1, "table": 2, "results_page": 1, "total": 5}, run.output[-3000:]
    assert "figure: fig_8" in run.output


def test_edit_of_the_pages_template_remakes_the_page_alone(edits):
    edits.change("workflow_scripts/lumbarseg/reporting/results_page.html", lambda text: text + "<!-- a comment -->\n")
    assert set(snakemake(edits.folder, *DRY).jobs) == {"results_page", "all", "total"}


def test_edit_of_the_networks_retrains_them(edits):
    edits.comment("models/blocks.py")
    assert snakemake(edits.folder, *DRY).jobs["train_network"] == 2 * FOLDS


def test_changed_learning_rate_retrains_just_that_topology(edits):
    edits.study(lambda study: study["topologies"]["UD"].update(learning_rate=0.02))
    run = snakemake(edits.folder, *DRY[:3])
    assert run.jobs["train_network"] == run.jobs["stack_fold"] == FOLDS
    assert run.jobs["patch_session"] == 0
    assert "train_network: UD" in run.output
    assert "train_network: U1" not in run.output


def test_start_of_trainings_is_an_input_of_theirs(edits):
    (edits.folder / "start.keras").touch()
    edits.study(lambda study: study["training"].update(start_from="start.keras"))
    jobs = snakemake(edits.folder, *DRY, "--rerun-triggers", "input").jobs
    assert jobs["train_network"] == 2 * FOLDS
    assert jobs["patch_session"] == 0


def test_forced_stage_is_the_only_one_made(edits):
    jobs = snakemake(edits.folder, "threshold", *DRY, "--forcerun", "threshold_fold", "--until", "threshold_fold").jobs
    assert jobs["threshold_fold"] == FOLDS
    assert jobs["train_network"] == jobs["reconstruct_fold"] == 0


def test_patches_that_were_deleted_are_made_by_their_stage(edits, tmp_path):
    patches = next(edits.folder.glob("results/small/patches/**/*_images.b2nd"))
    kept = Path(shutil.move(patches, tmp_path / "kept"))
    jobs = snakemake(edits.folder, "patch", *DRY).jobs
    shutil.move(kept, patches)
    assert jobs["patch_session"] == 1


def test_another_combiner_makes_only_what_it_is_in(edits):
    edits.study(lambda study: study["combine"]["combiners"].append("Geo"))
    jobs = snakemake(edits.folder, *DRY).jobs
    assert jobs["train_network"] == 0
    assert jobs["reconstruct_fold"] == FOLDS


def test_out_of_fold_stacking_needs_the_networks_of_all_folds(edits):
    meta_learner = "results/small/meta_learners/E2+NAD/fold-1/meta_learner.keras"
    assert snakemake(edits.folder, meta_learner, *DRY, "--forceall").jobs["train_network"] == 2 * FOLDS
    edits.study(lambda study: study["stacking"].update(out_of_fold=False))
    assert snakemake(edits.folder, meta_learner, *DRY, "--forceall").jobs["train_network"] == 2


def test_finished_study_has_maps_of_uncertainty_and_calibration(finished):
    for fold in range(1, FOLDS + 1):
        maps = sorted((finished / f"results/small/uncertainty/E2+NAD/fold-{fold}").glob("*.nii.gz"))
        assert [file.name.split("_desc-")[1] for file in maps] == [
            f"{measure}_uncertainty.nii.gz" for measure in ("entropy", "mutualinformation")
        ] * (len(maps) // 2)
        assert len(maps) == 2 * len(list((finished / f"results/small/masks/E2+NAD+TH/fold-{fold}").glob("*.nii.gz")))
    errors = pd.read_csv(finished / "results/small/metrics/calibration_errors.csv")
    assert set(errors["model"]) == {"U1", "UD", "E2+Arith", "E2+NAD", "E2+Flip"}
    assert errors["expected_calibration_error"].between(0, 1).all()


# ---- what runs, each in a copy of its own ----------------------------------------------------------------------------


def test_new_figure_is_one_function_in_one_file_and_tables_are_a_target_of_their_own(again):
    module = again / "workflow_scripts/lumbarseg/reporting/figures/mine.py"
    module.write_text(MINE)
    (again / "results/small/tables/table_7.csv").unlink()
    assert snakemake(again, "figures", *DRY).jobs == {"figure": 1, "figures": 1, "total": 2}
    run = snakemake(again, *RUN, "--cores", "2")
    assert run.status == 0, run.output[-3000:]
    assert (again / "results/small/figures/mine.svg").is_file()
    assert "A figure of mine." in (again / "results/small/report/results.html").read_text()
    table = pd.read_csv(again / "results/small/tables/table_7.csv")
    assert list(table.columns) == ["class_id", "class_name", "U1+TH", "UD+TH", "E2+NAD+TH", "E2+Geo+TH"]
    assert "Nothing to be done" in snakemake(again, *DRY).output


def test_another_split_trains_the_networks_of_its_folds_in_the_same_run(again):
    change_study(again, lambda study: study["split"].update(seed=2))
    network = again / "results/small/networks/U1/fold-1/network.keras"
    before = network.stat().st_mtime_ns
    call = (network.relative_to(again), *RUN)
    assert "has changed; its networks will be retrained" in snakemake(again, *call, "--dry-run").output
    run = snakemake(again, *call, "--cores", "2")
    assert run.status == 0, run.output[-3000:]
    assert network.stat().st_mtime_ns != before
    assert "Nothing to be done" in snakemake(again, *call, "--dry-run").output


def test_new_sheet_with_the_same_patients_trains_nothing_and_hides_no_other_change(again):
    sheet = again / "cohort/sessions.tsv"
    sheet.write_text(sheet.read_text().replace("\t40\t", "\t41\t"))
    networks = [again / f"results/small/networks/{name}/fold-1/network.keras" for name in ("U1", "UD")]
    before = [network.read_bytes() for network in networks]
    call = (*[network.relative_to(again) for network in networks], *RUN, "--cores", "2")
    run = snakemake(again, *call)
    assert run.status == 0, run.output[-3000:]
    assert "split" in run.output and "train_network" not in run.output

    sheet.write_text(sheet.read_text().replace("\t41\t", "\t42\t"))
    change_study(again, lambda study: study["topologies"]["U1"].update(learning_rate=0.02))
    run = snakemake(again, *call)
    assert "train_network: U1, fold 1" in run.output, run.output[-3000:]
    assert networks[0].read_bytes() != before[0]
    assert networks[1].read_bytes() == before[1]


def test_finished_study_is_packed_without_training_and_segments_its_own_patients(again):
    study = (*RUN, "--cores", "2")
    plan = snakemake(again, "bundle", *DRY)
    assert set(plan.jobs) == {"pack_experiment", "bundle", "total"}, plan.output
    run = snakemake(again, "bundle", *study)
    assert run.status == 0, run.output[-3000:]
    bundle = Bundle(again / "results/small/bundle/best.zip")
    bundle.check()
    assert bundle.manifest["experiment"].endswith("+TH")
    # Which fold is packed depends on rounding; two folds of three patients validate on two and one.
    patients = bundle.manifest["patients"]
    assert patients["test"] == 1
    assert (patients["train"], patients["validation"]) in [(1, 2), (2, 1)]
    given = ("--config", "bundle=results/small/bundle/best.zip", "sessions=cohort/sessions.tsv")
    run = snakemake(again, "results/small/segmented/best/sub-p0/ses-01/sub-p0_ses-01_measures.csv", *study, *given)
    assert run.status == 0, run.output[-3000:]
    assert "sub-p0_ses-01: segmented" in run.output
    assert "Nothing to be done" in snakemake(again, *DRY).output
