"""A study's networks, ensembles and experiments, and the messages about names that are not defined."""

import copy
import re

import pytest
import yaml

from factories.workflow import PAPER, study_of
from lumbarseg.config.model_sections import Augmentation
from lumbarseg.config.schema import StudyConfig
from lumbarseg.config.study import Study
from lumbarseg.errors import InputError


@pytest.fixture
def study(tmp_path, monkeypatch):
    """Make the paper's study with a file of changes laid over it."""
    monkeypatch.chdir(tmp_path)
    return lambda **changes: study_of(changes)


def test_study_of_the_paper_has_93_models_and_186_experiments(study):
    paper = study()
    assert len(paper.networks) == 13
    assert len(paper.models) == 13 + 10 * 8
    assert len(paper.experiments) == 186
    assert len(paper.meta_learners) == 60
    assert "E12+NAD+TH" in paper.experiments
    assert paper.folds == [1, 2, 3]


def test_study_ensembles_hold_the_networks_of_table_5(study):
    ensembles = study().ensembles
    assert {name: len(members) for name, members in ensembles.items()} == {f"E{n}": n for n in range(4, 14)}
    assert [name for name, members in ensembles.items() if "FCN" in members] == ["E8", "E13"]


def test_study_fills_in_defaults_and_leaves_the_given_config_as_it_is():
    config = copy.deepcopy(PAPER)
    del config["stacking"], config["training"]["augmentation"]
    given = copy.deepcopy(config)
    study = Study(config)
    assert study.config.stacking.epochs == 50
    assert study.config.training.augmentation == Augmentation(rotation_deg=20, zoom=(0.5, 1.5), shift=0.1, flip=0.5)
    assert config == given


def test_study_defaults_are_the_papers():
    needed = {key: PAPER[key] for key in ("study", "classes", "train", "topologies", "ensembles", "comparison")}
    defaults, paper = Study(needed).config, Study(PAPER).config
    for section in StudyConfig.model_fields:
        if section not in ("search", "combine", "tables", "figures"):
            assert getattr(defaults, section) == getattr(paper, section), section


def test_study_names_a_json_file_with_tabs_that_is_wrong(tmp_path):
    file = tmp_path / "study.json"
    file.write_text('{\n\t"training": {"epochs": 0},\n\t"topologies": {"UMD": {"learning_rate": 0.001}}\n}')
    config = copy.deepcopy(PAPER)
    config["topologies"]["UMD"]["learning_rate"] = 0.001
    assert Study(config, [file]).warnings == []
    config["training"]["epochs"] = 0
    with pytest.raises(InputError, match=rf"^{re.escape(str(file))}: `training\.epochs` must be at least 1, not 0"):
        Study(config, [file])


def test_study_reads_config_files_only_for_a_message(tmp_path):
    study = Study(PAPER, [tmp_path / "gone.yaml"])
    assert study.trials
    assert study.differences_from(study) == []


def test_study_as_dict_is_plain_makes_the_same_study_and_has_no_section_that_is_not_asked_for(study):
    plain = study(search=None).as_dict()
    assert yaml.safe_load(yaml.safe_dump(plain)) == plain
    assert Study(plain).config == study(search=None).config
    assert not {"layout", "phantom", "search"} & set(plain)
    assert plain["bundle"] is None


def test_study_columns_expand_to_all_networks_or_all_ensembles(study):
    paper = study()
    assert paper.columns(["networks+MAP"])[:2] == ["UDD2+MAP", "UMDD+MAP"]
    assert len(paper.columns(["ensembles+NAD+TH"])) == 10
    assert paper.columns(["U1+TH", "E4+Geo+MAP"]) == ["U1+TH", "E4+Geo+MAP"]


def test_study_topology_takes_the_defaults_of_the_standard_network(study):
    topology = study().topology("UAD")
    assert (topology["skip"], topology["output"], topology["optimiser"]) == ("attention", "ds3", "rmsprop")
    assert (topology["encoder"], topology["activation"]) == ("unet", "relu")


def test_study_differences_name_what_changes_a_result_and_nothing_else(study):
    changes = {"training": {"epochs": 3, "device": "cpu"}, "registration": {"max_shift_mm": 7}, "study": "other"}
    assert study(**changes).differences_from(study()) == [
        ("registration.max_shift_mm", "7", "20"),
        ("training.epochs", "3", "300"),
    ]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"train": ["U1", "UMX"]},
            r"^my_study\.yaml: `train` names the unknown topology `UMX` \(did you mean `UMD`\?\); choose one of UDD2, UMDD, .*, or "
            r"define it under `topologies`$",
        ),
        ({"ensembles": {"E4": ["UAD", "UNet"]}}, r"`ensembles\.E4` names the unknown topology `UNet`; choose one of"),
        ({"ensembles": {"UMD": ["U1", "UAD"]}}, r"`ensembles\.UMD` has the name of a topology; rename the ensemble"),
        ({"combine": {"ensembles": ["E3"]}}, r"`combine\.ensembles` names the unknown ensemble `E3`"),
        (
            {"train": ["U1", "UMD"]},
            r"my_study\.yaml: the ensemble E4 needs the network `UAD`, which is not in `train`; add it there, or set `combine\.ensembles`",
        ),
        ({"comparison": {"reference": "UMD+MAX"}}, r"`comparison\.reference` names the unknown experiment `UMD\+MAX`"),
        ({"comparison": {"surface_distances_for": ["X+TH"]}}, r"`comparison\.surface_distances_for` names the unknown"),
        (
            {"uncertainty": {"experiment": "E12+NAD"}},
            r"`uncertainty\.experiment` names the unknown experiment `E12\+NAD`",
        ),
        ({"figures": {"cases": ["E14+NAD+TH"]}}, r"`figures\.cases` names the unknown experiment `E14\+NAD\+TH`"),
        (
            {"partial_labels": ["Vert", "Disc"]},
            r"`partial_labels` names the unknown class `Disc` \(did you mean `Int-Disc`\?\); choose one of Vert, .*, or add it to `classes`",
        ),
        (
            {"training": {"phantom_share": 0.1, "batch_size": 4}},
            r"`training.phantom_share` of 0.1 makes 0 of the 4 patches of a batch phantoms; set it between 0.25 and 0.75, or to 0$",
        ),
        (
            {"partial_labels": ["Background", "Vert"]},
            r"my_study\.yaml: `partial_labels` names the background `Background`, which unlabelled pixels may or may not be; remove it$",
        ),
        (
            {"partial_labels": [one["name"] for one in PAPER["classes"][1:]]},
            r"my_study\.yaml: `partial_labels` names all classes; remove it, or set it to null$",
        ),
        ({"search": {"topologies": ["UMX"]}}, r"`search\.topologies` names the unknown topology `UMX`"),
        ({"search": {"folds": [1, 4]}}, r"`search\.folds` names the unknown fold `4`; choose one of 1, 2, 3, or raise"),
        (
            {"topologies": {"FCN": {"skip": "attention"}}},
            r"my_study\.yaml: `topologies\.FCN\.skip` is not used by the family fcn8, but is set to attention; remove it or set",
        ),
    ],
)
def test_study_rejects_names_that_are_not_defined(study, changes, message):
    with pytest.raises(InputError, match=message) as caught:
        study(**changes)
    assert "\n" not in str(caught.value)


def test_study_unlabelled_are_the_classes_that_masks_do_not_hold(study):
    names = [one["name"] for one in PAPER["classes"]]
    assert study().unlabelled == []
    found = study(partial_labels=["Vert", "Int-Disc"]).unlabelled
    assert [names[number] for number in found] == [name for name in names[1:] if name not in ("Vert", "Int-Disc")]


def test_study_warns_of_a_topology_redefined_in_part_and_names_the_keys_that_stay(study):
    (warning,) = study(
        topologies={"UMD": {"learning_rate": 0.001}, "New": {"optimiser": "sgd", "learning_rate": 1}}
    ).warnings
    assert warning.startswith("my_study.yaml: `topologies.UMD` redefines a topology in part and keeps")
    assert "`input: multi_kernel`, `output: ds3`, `optimiser: adam`" in warning


def test_study_does_not_warn_of_a_topology_redefined_completely(study):
    assert not study(topologies={"U1": {"optimiser": "adam", "learning_rate": 0.001}}).warnings
    assert not study().warnings
