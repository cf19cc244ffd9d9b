"""Starter networks, as whoever trains their own runs it: phantoms, both networks, their bundles."""

import pytest

from factories.workflow import copy_workflow, snakemake, write_study
from lumbarseg.deployment.bundle import Bundle

STARTER = {
    "phantoms": 2, "held_out": 1, "tested": 1, "slices": 1, "topology": "U1", "base_filters": 2, "patch_size": 64,
    "pixel_size_mm": 2.0, "batch_size": 2, "steps_per_epoch": 2, "validation_samples": 2, "epochs": 1, "easy_epochs": 0,
    "t1w_epochs": 1,
}  # fmt: skip


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = copy_workflow(tmp_path_factory.mktemp("starter") / "workflow")
    write_study(folder, {"study": "small", "starter": STARTER, "training": {"device": "cpu"}})
    run = snakemake(folder, "starter", "--configfile", "my_study.yaml", "--cores", "2")
    assert run.status == 0, run.output[-4000:]
    return folder / "results/small/starter"


@pytest.mark.parametrize("contrasts", [["T2w"], ["T2w", "T1w"]], ids="_".join)
def test_starter_packs_a_bundle_for_each_choice_of_contrasts(trained, contrasts):
    bundle = Bundle(trained / f"starter_{'_'.join(contrasts)}.zip")
    bundle.check()
    assert bundle.is_starter
    assert bundle.manifest["channels"] == contrasts
    assert bundle.manifest["phantom_iou"]
    # Nobody has judged these networks.
    assert not bundle.manifest["verdicts"]
