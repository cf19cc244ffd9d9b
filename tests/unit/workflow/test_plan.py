"""What a run consists of, asked without Snakemake."""

import csv
from pathlib import Path
from types import SimpleNamespace

import pytest

from factories.bundle import CLASSES, MEAN, NETWORK, small_bundle, small_manifest
from factories.workflow import plan_of
from lumbarseg.deployment import starter
from lumbarseg.deployment.bundle import network_entry, write_bundle
from lumbarseg.errors import InputError
from lumbarseg.workflow.plan import apply_bundle


def wildcards(**values):
    return SimpleNamespace(**values)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with the sheet of six patients whose files are empty; runs start here."""
    monkeypatch.chdir(tmp_path)
    rows = ["participant_id\tsession_id\tt2w\tt1w\tmask"]
    for number in range(6):
        names = [f"{number}_{kind}.nii.gz" for kind in ("t2w", "t1w", "mask")]
        for name in names:
            (tmp_path / name).touch()
        rows.append("\t".join([f"p{number}", "01", *names]))
    (tmp_path / "sessions.tsv").write_text("\n".join(rows) + "\n")
    return tmp_path


def edit_sheet(folder, old, new):
    sheet = folder / "sessions.tsv"
    sheet.write_text(sheet.read_text().replace(old, new))


def test_plan_splits_patients_with_masks_into_disjoint_subsets(folder):
    edit_sheet(folder, "5_mask.nii.gz", "")
    plan = plan_of()
    assert len(plan.sessions) == 6
    assert [session.participant_id for session in plan.labelled] == [f"p{number}" for number in range(5)]
    for fold in plan.study.folds:
        parts = [set(plan.subset(fold, name)) for name in ("train", "validation", "test")]
        assert set.union(*parts) == set(plan.labelled)
        assert sum(map(len, parts)) == len(plan.labelled)
    assert set(plan.tested_sessions()) == set(plan.subset(1, "test"))


def test_plan_excludes_sessions_without_an_image_if_told_to(folder):
    edit_sheet(folder, "2_t2w.nii.gz", "")
    with pytest.raises(InputError, match="line 4"):
        plan_of()
    plan = plan_of(selection={"missing_contrast": "exclude"})
    assert plan.missing_images == [("p2", "01", "T2w")]
    assert "p2" not in {session.participant_id for session in plan.sessions}


def test_plan_leaves_out_what_the_last_selection_has_left_out_only_where_selection_excludes(folder):
    record = folder / plan_of().paths.selection
    record.parent.mkdir(parents=True)
    with record.open("w", newline="") as lines:
        writer = csv.writer(lines)
        writer.writerow(["participant_id", "session_id", "outcome", "criterion", "found", "expected"])
        writer.writerow(["p3", "01", "left out", "T2w noise", "0.3", "at most 0.1"])
    assert plan_of().left_out == []
    plan = plan_of(selection={"quality": {"action": "exclude"}})
    assert plan.left_out == [("p3", "01")]
    assert not [row for row in plan.assignments if row.participant_id == "p3"]


def test_plan_without_a_sheet_says_so_when_a_stage_asks_for_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    plan = plan_of()
    assert plan.sessions == plan.assignments == []
    with pytest.raises(InputError, match=r"sessions\.tsv: sheet of sessions not found; write one"):
        plan.with_sheet("a")(None)


def test_plan_without_a_bundle_says_so_when_new_patients_are_to_be_segmented(folder):
    with pytest.raises(InputError, match="`segment` needs a bundle and a sheet of the new sessions"):
        plan_of().with_bundle("a")(None)


def test_plan_with_metrics_only_reads_no_sheet_and_refuses_other_stages(folder):
    plan = plan_of(metrics_only=True)
    assert plan.sessions == []
    with pytest.raises(InputError, match="`metrics_only` is true"):
        plan.with_sheet("a")(None)


def test_plan_with_too_few_patients_can_be_patched_and_not_split(folder):
    plan = plan_of(split={"folds": 6})
    assert plan.labelled
    assert plan.with_sheet("a", "b")(None) == ["a", "b"]
    with pytest.raises(InputError, match="folds"):
        plan.with_split("a")(None)


def test_plan_stops_at_once_at_a_split_file_that_cannot_be_used(folder):
    (folder / "folds.tsv").write_text("participant_id\tfold\tsubset\np0\t1\ttrain\n")
    with pytest.raises(InputError, match=r"folds\.tsv"):
        plan_of(split={"file": "folds.tsv"})


def test_plan_names_the_files_of_a_subset_and_their_ids_in_one_order(folder):
    plan = plan_of()
    fold = wildcards(fold="2")
    paths = plan.of_subset(plan.paths.mask, "validation")(fold)
    ids = plan.ids_of_subset("validation")(fold)
    assert paths == [plan.paths.mask.format(participant=p, session=s) for p, s in ids]
    assert len(paths) == len(plan.subset(2, "validation")) > 0


def test_plan_of_a_phantom_cohort_follows_from_the_config(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    plan = plan_of(phantom={"patients": 8})
    assert len(plan.sessions) == 8
    assert plan.source_images(wildcards(participant="phantom01", session="01")) == plan.sheet
    assert plan.sheet == "results/small/phantom/sessions.tsv"
    with pytest.raises(InputError, match=r"`split\.stratify`"):
        plan_of(phantom={"patients": 8}, split={"stratify": "site"})


def test_plan_names_the_source_of_images_and_masks(folder):
    edit_sheet(folder, "1_mask.nii.gz", "")
    plan = plan_of(channels=["T2w", "T1w"])
    first, second = wildcards(participant="p0", session="01"), wildcards(participant="p1", session="01")
    assert plan.source_by_contrast(first) == {"T2w": "0_t2w.nii.gz", "T1w": "0_t1w.nii.gz"}
    assert plan.source_mask_file(first) == "0_mask.nii.gz"
    plan_mask = plan.paths.mask.format(participant="p0", session="01")
    assert [plan.mask_if_any(SimpleMapping(participant="p0", session="01"))] == [[plan_mask]]
    assert plan.source_mask(second) == ""


class SimpleMapping(dict):
    """Wildcards that can be unpacked too, as Snakemake's."""

    __getattr__ = dict.__getitem__


def test_plan_gives_out_of_fold_sessions_the_networks_that_have_not_seen_them(folder):
    plan = plan_of(stacking={"out_of_fold": True})
    for fold in plan.study.folds:
        chosen = plan.fold_of_networks(wildcards(fold=str(fold)))
        for session, of_networks in zip(plan.subset(fold, "train"), chosen, strict=True):
            assert session in plan.subset(of_networks, "validation")
    assert len(plan.networks_to_stack(wildcards(fold="1"))) == 3 * len(plan.study.networks)
    own = plan_of(stacking={"out_of_fold": False})
    assert set(own.fold_of_networks(wildcards(fold="2"))) == {2}
    assert len(own.networks_to_stack(wildcards(fold="2"))) == len(own.study.networks)


def test_plan_training_settings_leave_out_what_changes_no_result(folder):
    assert not {"device", "tensorboard"} & set(plan_of().training)
    assert "epochs" in plan_of().training


def write_ensemble(path):
    """A bundle of an ensemble, whose networks are empty files."""
    empty = path.with_name("empty.keras")
    empty.touch()
    write_bundle(path, small_manifest(MEAN), {network_entry(name): empty for name in MEAN.networks}, "card")


def test_plan_starts_trainings_from_the_network_of_the_same_topology_of_a_bundle_or_its_first(folder):
    write_ensemble(folder / "best.zip")
    plan = plan_of(training={"start_from": "best.zip"})
    assert plan.start_file(wildcards()) == ["best.zip"]
    member = plan.start_member(lambda wildcards: wildcards.topology)
    assert [member(wildcards(topology=name)) for name in ("U1", "UD", "UMD")] == [
        "networks/U1.keras",
        "networks/UD.keras",
        "networks/U1.keras",
    ]


def test_plan_starts_trainings_from_a_network_or_from_nothing(folder):
    (folder / "network.keras").touch()
    for chosen, files in (("network.keras", ["network.keras"]), (None, [])):
        plan = plan_of(training={"start_from": chosen})
        assert plan.start_file(wildcards()) == files
        assert plan.start_member(lambda wildcards: "U1")(wildcards()) is None


def test_plan_starts_trainings_from_the_starter_of_the_channels(folder, monkeypatch):
    monkeypatch.setattr(starter, "FOLDER", folder / "starters")
    plan = plan_of(training={"start_from": "starter"}, channels=["T2w", "T1w"])
    with pytest.raises(InputError, match=r"starters/starter_T2w_T1w\.zip: starter bundle not found"):
        plan.start_file(wildcards())
    (folder / "starters").mkdir()
    write_ensemble(folder / "starters/starter_T2w_T1w.zip")
    assert plan.start_file(wildcards()) == ["starters/starter_T2w_T1w.zip"]


@pytest.mark.parametrize(
    ("name", "message"),
    [("gone.keras", r"gone\.keras: file not found; fix the path"), ("bad.zip", r"bad\.zip: damaged, or not a bundle")],
)
def test_plan_refuses_a_start_that_cannot_be_used(folder, name, message):
    (folder / "bad.zip").write_text("no archive")
    with pytest.raises(InputError, match=message):
        plan_of(training={"start_from": name}).start_file(wildcards())


def test_plan_trains_on_phantoms_only_if_they_have_a_share(folder):
    plain, mixed = plan_of(), plan_of(training={"phantom_share": 0.25}, starter={"phantoms": 120, "slices": 6})
    assert (plain.phantoms_of_training(), plain.phantom_samples) == ([], None)
    assert mixed.phantoms_of_training() == [f"results/small/starter/phantoms/train-{part}" for part in (1, 2, 3)]
    assert mixed.phantom_samples == {"slices": 6, "pixel_size_mm": 1.0}


def test_plan_looks_in_masks_only_for_classes_that_they_hold(folder):
    assert plan_of().selection_criteria == plan_of().study.as_dict()["selection"]
    assert plan_of(partial_labels=["Vert"]).selection_criteria["coverage"]["classes"] == ["Vert"]


def test_plan_registration_settings_are_those_of_the_engine(folder):
    assert "flirt" not in plan_of(registration={"engine": "itk"}).registration_settings
    assert "flirt" in plan_of(registration={"engine": "flirt"}).registration_settings


def test_plan_registration_problem_is_a_missing_flirt_where_t1w_is_not_registered(folder, monkeypatch):
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    monkeypatch.delenv("FSLDIR", raising=False)
    of_session = wildcards(participant="p1", session="01")
    assert not plan_of(registration={"engine": "itk"}).registration_problem(of_session)
    plan = plan_of(registration={"engine": "flirt"})
    assert "flirt needs FSL" in plan.registration_problem(of_session)
    registered = Path(plan.paths.registered.format(participant="p1", session="01"))
    registered.parent.mkdir(parents=True)
    registered.touch()
    assert not plan.registration_problem(of_session)


def test_plan_of_bundle_takes_one_experiments_files_or_all_for_the_best(folder):
    plan = plan_of()
    best = plan.of_bundle(plan.paths.network)(wildcards(experiment="best"))
    one = plan.of_bundle(plan.paths.network)(wildcards(experiment="U1+TH"))
    assert len(best) == len(plan.study.networks) * 3
    assert one == [f"results/small/networks/U1/fold-{fold}/network.keras" for fold in (1, 2, 3)]
    assert plan.of_bundle(plan.paths.meta_learner)(wildcards(experiment="U1+TH")) == []
    with pytest.raises(InputError, match="`bundle_experiment` is U7"):
        plan.of_bundle(plan.paths.network)(wildcards(experiment="U7+TH"))


def test_plan_benchmarks_are_those_of_the_stages_a_study_has(folder):
    rules = plan_of(
        labellings=["MAP"], channels=["T2w"], tables={}, figures={}, comparison={"reference": "UD+MAP"}, uncertainty={}
    ).benchmarks_by_rule()
    assert "register_session" not in rules
    assert "threshold_fold" not in rules
    assert len(rules["train_network"]) == 6


def test_plan_changed_folds_compares_with_the_last_split(folder):
    plan = plan_of()
    assert plan.changed_folds() == []
    written = folder / plan.paths.folds
    written.parent.mkdir(parents=True)
    rows = ["participant_id\tfold\tsubset", *(f"{a.participant_id}\t{a.fold}\t{a.subset}" for a in plan.assignments)]
    written.write_text("\n".join(rows) + "\n")
    assert plan.changed_folds() == []
    assert plan_of(split={"seed": 2}).changed_folds()


def test_plan_notice_counts_sessions_without_a_mask(folder):
    assert plan_of().notice == ""
    edit_sheet(folder, "5_mask.nii.gz", "")
    plan = plan_of()
    assert [session.participant_id for session in plan.without_masks] == ["p5"]
    assert plan.notice == (
        "sessions.tsv: 1 of 6 sessions have no mask and are not part of split and training; `snakemake draft` labels them"
    )


def test_plan_rows_read_counts_the_rows_of_sheet_and_split(folder):
    plan = plan_of()
    assert plan.rows_read == ["sessions.tsv: 6 rows read, the sessions of 6 patients"]
    lines = ["participant_id\tfold\tsubset", *(f"{a.participant_id}\t{a.fold}\t{a.subset}" for a in plan.assignments)]
    (folder / "folds.tsv").write_text("\n".join(lines) + "\n")
    assert plan_of(split={"file": "folds.tsv"}).rows_read[1:] == ["folds.tsv: 18 rows read"]
    edit_sheet(folder, "p1\t01", "p0\t02")
    assert plan_of().rows_read == ["sessions.tsv: 6 rows read, the sessions of 5 patients"]


def test_plan_measures_sessions_with_mask_and_draft_by_their_place_among_the_drawn(folder):
    edit_sheet(folder, "1_mask.nii.gz", "")
    for patient in ("p1", "p2", "p4"):
        draft = folder / f"results/small/drafts/sub-{patient}/ses-01"
        draft.mkdir(parents=True)
        (draft / "labels_draft.nii.gz").touch()
        if patient != "p4":
            (draft / "labels_draft.json").touch()
    assert plan_of().drafts_of_corrected(None) == [(2, "p2", "01", "results/small/drafts/sub-p2/ses-01")]
    edit_sheet(folder, "2_mask.nii.gz", "")
    with pytest.raises(InputError, match=r"sessions\.tsv: no session has both a mask and a draft"):
        plan_of().drafts_of_corrected(None)


def test_plan_refuses_bundles_of_other_channels_or_classes(folder):
    small_bundle(folder, NETWORK, channels=("T2w", "T1w"))
    draft = {"bundle": "small.zip"}
    assert plan_of(channels=["T2w", "T1w"], classes=CLASSES, draft=draft).draft_bundle(None) == "small.zip"
    with pytest.raises(InputError, match=r"small\.zip: channels T2w, T1w instead of the study's T2w; name another"):
        plan_of(classes=CLASSES, draft=draft).draft_bundle(None)
    with pytest.raises(InputError, match=r"small\.zip: classes .*Spinal-Cavity instead of the study's .*Sacrum; name"):
        plan_of(channels=["T2w", "T1w"], draft=draft).draft_bundle(None)


def test_plan_takes_the_starter_of_the_channels_if_no_bundle_is_named(folder, monkeypatch):
    monkeypatch.setattr(starter, "FOLDER", folder)
    with pytest.raises(InputError, match=r"T2w\.zip: starter bundle not found"):
        plan_of(classes=CLASSES).draft_bundle(None)
    small_bundle(folder, NETWORK, name="starter_T2w.zip", channels=("T2w",))
    assert plan_of(classes=CLASSES).draft_bundle(None) == str(folder / "starter_T2w.zip")


def test_apply_bundle_leaves_what_is_no_bundle_to_the_check_of_the_config(folder):
    for config in (
        {"bundle": 3},
        {"bundle": "starter", "channels": 3},
        {"bundle": "starter", "channels": [[1]]},
        {"bundle": "starter"},
    ):
        given = dict(config)
        apply_bundle(config)
        assert config == given


def test_apply_bundle_refuses_a_path_that_cannot_be(folder):
    with pytest.raises(InputError, match=r"^x+: the name of the bundle cannot be .*; rename the file"):
        apply_bundle({"bundle": "x" * 300})
