"""The config of a study, and what a user is told of a mistake in it."""

import copy
from pathlib import Path

import pytest
import yaml

from factories.workflow import ROOT
from lumbarseg.config.study import Study
from lumbarseg.config.topology import TOPOLOGY_CHOICES, TOPOLOGY_DEFAULTS
from lumbarseg.errors import InputError

SCHEMA = ROOT / "rules/schemas/config.schema.yaml"
PAPER = yaml.safe_load((ROOT / "config.yaml").read_text())


def study(tmp_path: Path, **changes) -> Study:
    """The paper's study with a file of changes laid over it."""
    file = tmp_path / "my_study.yaml"
    file.write_text(yaml.safe_dump(changes))
    config = copy.deepcopy(PAPER)
    for key, value in changes.items():
        config[key] = {**config.get(key, {}), **value} if isinstance(value, dict) else value
    return Study(config, [ROOT / "config.yaml", file])


def test_the_papers_study_has_93_models_and_186_experiments(tmp_path):
    paper = study(tmp_path)
    assert len(paper.networks) == 13
    assert len(paper.models) == 13 + 10 * 8
    assert len(paper.experiments) == 186
    assert len(paper.meta_learners) == 60
    assert "E12+NAD+TH" in paper.experiments
    assert paper.folds == [1, 2, 3]


def test_table_5_says_which_ensemble_holds_which_networks(tmp_path):
    ensembles = study(tmp_path).ensembles
    assert {name: len(members) for name, members in ensembles.items()} == {f"E{n}": n for n in range(4, 14)}
    assert [name for name, members in ensembles.items() if "FCN" in members] == ["E8", "E13"]


def test_what_is_left_out_takes_its_default(tmp_path):
    config = copy.deepcopy(PAPER)
    del config["stacking"], config["training"]["augmentation"]["zoom"]
    Study(config)
    assert config["stacking"]["epochs"] == 50
    assert config["training"]["augmentation"]["zoom"] == [0.5, 1.5]


def test_defaults_of_the_schema_are_the_papers(tmp_path):
    config = {key: PAPER[key] for key in ("study", "classes", "train", "topologies", "ensembles", "comparison")}
    Study(config)
    for section in ("registration", "normalisation", "patches", "split", "training", "stacking", "labellings"):
        defaults = config[section]
        paper = PAPER[section]
        assert defaults == paper or {key: defaults[key] for key in paper} == paper, section


def test_columns_of_tables_stand_for_all_networks_or_all_ensembles(tmp_path):
    paper = study(tmp_path)
    assert paper.columns(["networks+MAP"])[:2] == ["UDD2+MAP", "UMDD+MAP"]
    assert len(paper.columns(["ensembles+NAD+TH"])) == 10
    assert paper.columns(["U1+TH", "E4+Geo+MAP"]) == ["U1+TH", "E4+Geo+MAP"]


def test_a_topology_takes_the_defaults_of_the_standard_network(tmp_path):
    topology = study(tmp_path).topology("UAD")
    assert (topology["skip"], topology["output"], topology["optimiser"]) == ("attention", "ds3", "rmsprop")
    assert (topology["encoder"], topology["activation"]) == ("unet", "relu")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"training": {"epoch": 3}},
            r"my_study\.yaml: expected one of the keys .*found `epoch`; did you mean `epochs`\?",
        ),
        ({"trian": ["U1"]}, r"my_study\.yaml: .*found `trian`; did you mean `train`\?"),
        ({"training": {"epochs": 0}}, r"my_study\.yaml: `training\.epochs` cannot be used: 0 is less than the minimum"),
        ({"registration": {"engine": "ants"}}, r"`registration\.engine` cannot be used: 'ants' is not one of"),
        ({"channels": ["T1w"]}, r"`channels"),
        (
            {"train": ["U1", "UMX"]},
            r"my_study\.yaml: `train` names `UMX`.*did you mean UMD\?.*define it under `topologies`",
        ),
        ({"ensembles": {"E4": ["UAD", "UNet"]}}, r"`ensembles\.E4` names `UNet`; expected a topology"),
        ({"combine": {"ensembles": ["E3"]}}, r"`combine\.ensembles` names `E3`"),
        ({"train": ["U1", "UMD"]}, r"`ensembles\.E4` names `UAD`; expected a network that is trained \(U1, UMD\)"),
        ({"comparison": {"reference": "UMD+MAX"}}, r"`comparison\.reference` names `UMD\+MAX`"),
        ({"figures": {"cases": ["E14+NAD+TH"]}}, r"`figures\.cases` names `E14\+NAD\+TH`"),
    ],
)
def test_a_mistake_is_told_in_one_sentence_with_file_and_remedy(tmp_path, changes, message):
    with pytest.raises(InputError, match=message) as caught:
        study(tmp_path, **changes)
    assert "\n" not in str(caught.value)


def test_the_schema_allows_what_networks_can_be_made_of_and_nothing_else():
    entry = yaml.safe_load(SCHEMA.read_text())["properties"]["topologies"]["additionalProperties"]["properties"]
    assert set(entry) == set(TOPOLOGY_DEFAULTS)
    for key, values in TOPOLOGY_CHOICES.items():
        assert set(entry[key]["enum"]) == set(values), key
