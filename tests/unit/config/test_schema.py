"""The config's keys: what is allowed, and the one sentence about a mistake."""

import copy
import functools
import json
import math
import runpy

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from factories.workflow import ROOT, study_of
from lumbarseg.config.image_sections import LabelClass, Registration, Selection
from lumbarseg.config.messages import keys
from lumbarseg.config.model_sections import Training
from lumbarseg.config.schema import RENAMED
from lumbarseg.config.study import Study
from lumbarseg.errors import InputError


@pytest.fixture
def refusal(tmp_path, monkeypatch):
    """Return the message about a mistake in a file of changes that is laid over the paper's study."""
    monkeypatch.chdir(tmp_path)

    def message(changes):
        with pytest.raises(InputError) as caught:
            study_of(changes)
        assert "\n" not in str(caught.value)
        return str(caught.value)

    return message


ALL_KEYS = "(docs/configuration.md lists every key)"


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"training": {"epochs": 0}}, f"`training.epochs` must be at least 1, not 0; correct it {ALL_KEYS}"),
        ({"training": {"epochs": 2.5}}, f"`training.epochs` must be a whole number of at least 1, not 2.5; correct it {ALL_KEYS}"),
        ({"training": {"xla": "yes"}}, f"`training.xla` must be true or false, not `yes`; correct it {ALL_KEYS}"),
        (
            {"search": {"learning_rates": {"adam": [0]}}},
            f"`search.learning_rates.adam.0` must be above 0, not 0; correct it {ALL_KEYS}",
        ),
        (
            {"training": {"start_from": "network.h5"}},
            "`training.start_from` must be `starter`, the path of a bundle (.zip) or the path of a network (.keras) or null, not "
            f"`network.h5`; correct it {ALL_KEYS}",
        ),
        ({"training": 3}, f"`training` must be a section of keys, not 3; correct it {ALL_KEYS}"),
        ({"registration": {"engine": "ants"}}, f"`registration.engine` must be `flirt` or `itk`, not `ants`; correct it {ALL_KEYS}"),
        ({"registration": {"engine": "flrt"}}, "`registration.engine` must be `flirt` or `itk`, not `flrt`; did you mean `flirt`?"),
        ({"patches": {"patch_size": 100}}, f"`patches.patch_size` must be at least 32 and a multiple of 32, not 100; correct it {ALL_KEYS}"),
        ({"channels": ["T1w"]}, f'`channels` must be [T2w] or [T2w, T1w], not ["T1w"]; correct it {ALL_KEYS}'),
        ({"train": ["U1", "UD", "U1"]}, "`train` names `U1` twice; remove one"),
        ({"train": []}, f"`train` must have at least 1 entry, not 0; correct it {ALL_KEYS}"),
        (
            {"split": {"test_patients": "many"}},
            f"`split.test_patients` must be `auto` or a whole number of at least 1, not `many`; correct it {ALL_KEYS}",
        ),
        (
            {"training": {"augmentation": {"zoom": [1]}}},
            f"`training.augmentation.zoom` must be a list of two numbers above 0, not [1]; correct it {ALL_KEYS}",
        ),
        (
            {"selection": {"quality": {"brightness": [0.8, 0.1]}}},
            f"`selection.quality.brightness` must be the least and the greatest value, in this order, not [0.8, 0.1]; correct it {ALL_KEYS}",
        ),
        (
            {"topologies": {"UMD": {"learning_rate": "1e-3"}}},
            "`topologies.UMD.learning_rate` must be a number above 0, not the text `1e-3`; write 0.001",
        ),
        (
            {"topologies": {"UMD": {"learning_rate": "nan"}}},
            f"`topologies.UMD.learning_rate` must be a number above 0, not the text `nan`; correct it {ALL_KEYS}",
        ),
        (
            {"training": {"epochs": "1e2"}},
            "`training.epochs` must be a whole number of at least 1, not the text `1e2`; write 100",
        ),
        (
            {"training": {"epochs": "2.5"}},
            f"`training.epochs` must be a whole number of at least 1, not the text `2.5`; correct it {ALL_KEYS}",
        ),
        ({"ensembles": {7: ["UMD", "UAD"]}}, "the name 7 under `ensembles` must be text; write it in quotes"),
        ({7: "UMD"}, f"unknown key `7`; remove it {ALL_KEYS}"),
        (
            {"figures": {"slices": [{"participant_id": "p", "session_id": 1, "slice": 0}]}},
            "`figures.slices.0.session_id` must be text of letters and digits, not 1; write it in quotes",
        ),
        (
            {"classes": [{"id": 0, "name": "a", "colour": "#000000"}, {"id": 1, "name": "b"}]},
            f"`classes.1.colour` is missing; add it {ALL_KEYS}",
        ),
        ({"topologies": {"U 1": {"optimiser": "adam", "learning_rate": 1}}}, "the name `U 1` under `topologies` must be made of letters and digits; rename it"),
        (
            {"tables": {"fig_4": []}},
            "the name `fig_4` under `tables` must be like table_A9; rename it",
        ),
        ({"training": {"epoch": 3}}, "unknown key `training.epoch`; did you mean `epochs`?"),
        ({"trian": ["U1"]}, "unknown key `trian`; did you mean `train`?"),
        ({"batch_size": 3}, "unknown key `batch_size`; did you mean `training.batch_size` or `starter.batch_size`?"),
        ({"colour_of_the_page": "red"}, f"unknown key `colour_of_the_page`; remove it {ALL_KEYS}"),
        ({"config_version": 2, "trian": []}, "`config_version` must be 1, not 2; use the version of the workflow that it was written for"),
    ],
)  # fmt: skip
def test_config_rejects_a_mistake_with_file_key_and_remedy_in_one_sentence(refusal, changes, sentence):
    assert refusal(changes) == f"my_study.yaml: {sentence}"


CLASS = "text of at most 64 letters, digits, blanks and - _ . , / ( ) & ' that begins with a letter or digit"


def classes(**changes):
    """Two classes, with changes of the second one."""
    background = {"id": 0, "name": "Background", "colour": "#000000"}
    return {"classes": [background, {"id": 1, "name": "Vert", "colour": "#e8c97d"} | changes]}


@pytest.mark.parametrize(
    "name",
    ["$x_{$", "Vert\n", "a\nb", "=1+1", "-5", "@x", "+x", "Vert ", " Vert", 'a"b', "a\\b", "_x", "a^b", "a\tb", "x" * 65,
     "a\u200bb", "\u202eabc", "\uff1dx", "a\u2028b", "{a}", "", "a%b", "a:b", "a+b", "\ufeffa", "\u0301e", "/x", ",x", "‐x", "（x", "x\u3000"],
)  # fmt: skip
def test_config_rejects_class_names_that_figures_tables_and_spreadsheets_read_as_more(refusal, name):
    assert refusal(classes(name=name)).startswith(f"my_study.yaml: `classes.1.name` must be {CLASS}, not `")


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("a\u00adb", "its character 2 is U+00AD SOFT HYPHEN"), ("a\u061cb", "its character 2 is U+061C ARABIC LETTER MARK"),
        ("ab\u180e", "its character 3 is U+180E MONGOLIAN VOWEL SEPARATOR"), ("a\u034fb", "its character 2 is U+034F COMBINING GRAPHEME JOINER"),
        ("\u3164", "its character 1 is U+3164 HANGUL FILLER"), ("a\u115f", "its character 2 is U+115F HANGUL CHOSEONG FILLER"),
        ("a\ufe0f", "its character 2 is U+FE0F VARIATION SELECTOR-16"), ("a\u2060b", "its character 2 is U+2060 WORD JOINER"),
        ("a\ue000", "its character 2 is U+E000"), ("\ufdd0", "its character 1 is U+FDD0"), ("a\u0085b", "its character 2 is U+0085"),
        ("a\u200d", "its character 2 is U+200D ZERO WIDTH JOINER"), ("1\u200c2", "its character 2 is U+200C ZERO WIDTH NON-JOINER"),
        ("a\u00a0b", "its character 2 is U+00A0 NO-BREAK SPACE"), ("Vert + Disc", "its character 6 is U+002B PLUS SIGN"),
        ("Fat, -x", "spreadsheets read a part of it as a formula"), ("﹦1", "spreadsheets read a part of it as a formula"),
        ("x" * 65, "65 characters"),
    ],
)  # fmt: skip
def test_config_says_what_is_wrong_in_a_class_name(refusal, name, reason):
    assert f" ({reason}); correct it" in refusal(classes(name=name))


@pytest.mark.parametrize(
    "name",
    [
        "Int-Disc", "Wirbelkörper 1", "L1 (upper) & l.'", "脊椎", "x" * 64, "7", "L4/L5", "Fat, epidural", "Disque L4’L5", "L4–L5", "L4‑L5",
        "椎間板（左）", "筋肉\u3000左", "L1～L5", "مهره\u200cها", "क\u094d\u200dष", "मेरुदण्ड", "e\u0301", "l·l", "nan", "NA",
    ],
)  # fmt: skip
def test_config_accepts_class_names_of_letters_and_digits_in_any_language(name):
    assert LabelClass(id=1, name=name, colour="#000000").name == name


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (classes(name="Background"), "`classes` has the name Background twice; give each class its own name"),
        (classes(name="background"), "`classes` has the name Background twice; give each class its own name"),
        (classes(name="Back\u200cground"), "`classes` has the name Background twice; give each class its own name"),
        (classes(name="Ｂackground"), "`classes` has the name Background twice; give each class its own name"),
        (
            classes(values=[5, 0]),
            "the mask value 0 occurs twice under `classes`; give each value to one class (a class without `values` has its id)",
        ),
        (classes(values=[5, 5]), "the mask value 5 occurs twice under `classes`; give each value to one class"),
        (classes(id=2), "the ids of `classes` are 0, 2, not 0, 1, 2 … in order; renumber the classes"),
        (classes(id=0), "the ids of `classes` are 0, 0, not 0, 1, 2 … in order; renumber the classes"),
        ({"background": 12}, "`background` is 12, the id of no class; set it to one of 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11"),
        ({"background": -1}, "`background` is -1, the id of no class; set it to one of 0, 1,"),
        (
            {"patches": {"stride": 257}},
            "`patches.stride` is 257, more than `patches.patch_size` (256), so pixels between patches would be left out; set it to at "
            "most 256",
        ),
        (classes(colour="#e8c97d\n"), '`classes.1.colour` must be a colour such as "#e8c97d" (in quotes), not `#e8c97d\\n`; correct it'),
        ({"study": "a\n"}, "`study` must be text of at most 100 letters, digits, _ and -, not `a\\n`; correct it"),
        ({"sessions": "a\n"}, "`sessions` must be a path without control characters, of names of at most 255 bytes, not `a\\n`; correct it"),
        ({"split": {"file": "a\x1b[2J"}}, "`split.file` must be a path without control characters, of names of at most 255 bytes or null, not `a\\x1b[2J`"),
        ({"train": ["U1\n"]}, "`train` names the unknown topology `U1\\n` (did you mean `U1`?); choose one of"),
        ({"ensembles": {"E1\n": ["U1", "UD"]}}, "the name `E1\\n` under `ensembles` must be made of letters and digits; rename it"),
        ({"tables": {"table_7": ["$x_{$"]}}, "`tables.table_7.0` must be an experiment such as UMD+TH or networks+MAP, not `$x_{$`"),
        ({"training": {"seed": 2**32}}, "`training.seed` must be at least 0 and at most 4294967295, not 4294967296; correct it"),
    ],
)  # fmt: skip
def test_config_rejects_contradictions_and_names_with_control_characters(refusal, changes, sentence):
    assert refusal(changes).startswith(f"my_study.yaml: {sentence}")


def numbers(content, path=()):
    """The path of every number below a part of a config."""
    for key, value in content.items() if isinstance(content, dict) else enumerate(content):
        if isinstance(value, dict | list):
            yield from numbers(value, (*path, key))
        elif value is None or (isinstance(value, int | float) and not isinstance(value, bool)):
            yield (*path, key)


COMPLETE = study_of({"phantom": {"patients": 6}}, files=["config.yaml"]).as_dict()


@pytest.mark.parametrize("wrong", [math.nan, math.inf, -math.inf])
def test_config_rejects_what_is_no_number_at_every_key(wrong):
    paths = list(numbers(COMPLETE))
    assert len(paths) > 100
    for path in paths:
        changed = copy.deepcopy(COMPLETE)
        functools.reduce(lambda part, key: part[key], path[:-1], changed)[path[-1]] = wrong
        with pytest.raises(InputError, match=r"^config: `[\w.]+` ") as caught:
            Study(changed)
        assert "\n" not in str(caught.value)


def test_config_rejects_every_range_from_the_greatest_to_the_least():
    # Learning rates of the search are a list of choices.
    pairs = {path[:-1] for path in numbers(COMPLETE) if path[-1] == 1 and path[0] != "search"}
    pairs = [path for path in pairs if len(functools.reduce(lambda part, key: part[key], path, COMPLETE)) == 2]
    assert len(pairs) > 20
    for path in pairs:
        changed = copy.deepcopy(COMPLETE)
        *above, key = path
        part = functools.reduce(lambda part, key: part[key], above, changed)
        part[key] = part[key][::-1] if part[key][0] != part[key][1] else [2, 1]
        with pytest.raises(InputError, match="must be the least and the greatest value, in this order"):
            Study(changed)


VALUES = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8),
        st.sampled_from(["U1", "UMD+TH", "$x_{$", "=1+1", "../..", "{a}", "a\n", 10**400, -1, 0.5, "nan"]),
    ),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)  # fmt: skip


@settings(max_examples=200, deadline=None)
@given(path=st.sampled_from(sorted({name for name, _, _ in keys()})), value=VALUES)
def test_config_of_any_value_is_a_study_or_ends_in_one_sentence(path, value):
    changed = copy.deepcopy(COMPLETE)
    *above, key = path.replace("[]", ".1").replace("<name>", "U1").split(".")
    part = changed
    for name in above:
        part = part[int(name)] if isinstance(part, list) and int(name) < len(part) else part
        part = part.get(name, changed) if isinstance(part, dict) and not name.isdigit() else part
    if isinstance(part, dict):
        part[key] = value
    try:
        Study(changed)
    except InputError as error:
        assert str(error).startswith("config: ")
        assert "\n" not in str(error)
        assert len(str(error)) < 1000


def test_config_rejects_an_unknown_optimiser_to_search_with_the_known_ones(refusal):
    message = refusal({"search": {"learning_rates": {"adamm": [0.1]}}})
    assert message.startswith("my_study.yaml: the name `adamm` under `search.learning_rates` must be `adadelta`, ")
    assert message.endswith("did you mean `adam`?")


def test_config_names_the_last_file_that_sets_the_wrong_key(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, content in (("first.yaml", "training: {epochs: 0}"), ("second.yaml", "training: {seed: 2}")):
        (tmp_path / name).write_text(content)
    with pytest.raises(InputError, match=r"^first\.yaml: `training\.epochs` must be at least 1"):
        study_of({"training": {"epochs": 0, "seed": 2}}, files=["first.yaml", "second.yaml"])


@pytest.mark.parametrize("changes", [{"training": {"epochs": 0}}, {"packed": "UMD+TH"}])
def test_config_names_the_command_line_if_no_file_sets_the_wrong_value(tmp_path, monkeypatch, changes):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "first.yaml").write_text("training: {epochs: 5}")
    with pytest.raises(InputError, match=r"^--config: `(training\.epochs|packed)` "):
        study_of(changes, files=["first.yaml"])


@pytest.mark.parametrize(("old", "new"), RENAMED.items())
def test_config_rejects_a_former_key_with_its_present_name(refusal, old, new):
    changes = 1
    for part in reversed(old.split(".")):
        changes = {part: changes}
    assert refusal(changes) == f"my_study.yaml: `{old}` is now `{new}`; rename it"
    assert new in {name for name, _, _ in keys()}


def test_config_accepts_ranges_of_null_and_tf32():
    limits = Selection.model_validate({"acquisition": {"T1w": {"Width": None}}}).acquisition.T1w
    assert (limits.Width, limits.Height) == (None, (320, 800))
    assert Training.model_validate({"precision": "tf32"}).precision == "tf32"


def test_sections_are_rebuilt_from_plain_parameters_and_cannot_be_changed():
    plain = Training(epochs=3).model_dump(mode="json", exclude={"device", "tensorboard"})
    assert Training.model_validate(json.loads(json.dumps(plain))) == Training(epochs=3)
    assert Registration.model_validate({"engine": "itk", "max_shift_mm": 20}) == Registration(engine="itk")
    with pytest.raises(ValueError, match="frozen"):
        Training().epochs = 3


def test_every_key_has_a_description_and_every_section_of_the_page_its_keys():
    described = {name: entry.get("description") for name, entry, _ in keys()}
    assert all(described.values())
    assert {"topologies.<name>.skip", "classes[].colour", "selection.acquisition.T1w.EchoTime"} <= set(described)


def test_page_of_the_config_and_schema_for_editors_are_up_to_date():
    made = runpy.run_path(str(ROOT / "docs/configuration.py"))
    assert made["page"]() == made["PAGE"].read_text(encoding="utf-8"), "make docs"
    assert made["schema"]() == made["SCHEMA"].read_text(encoding="utf-8"), "make docs"


def test_metrics_only_may_be_text_because_the_command_line_gives_text(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert study_of({"metrics_only": "true"}).config.metrics_only is True
