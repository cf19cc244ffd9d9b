"""Config files that YAML would read otherwise than they are written."""

import json

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from factories.workflow import ROOT
from lumbarseg.config.reading import read_config, require_unambiguous
from lumbarseg.errors import InputError

BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 9)
)


@pytest.fixture
def refusal(tmp_path):
    def message(content, name="study.yaml"):
        file = tmp_path / name
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
        with pytest.raises(InputError) as caught:
            require_unambiguous(file)
        assert str(caught.value).startswith(str(file))
        assert "\n" not in str(caught.value)
        return str(caught.value).removeprefix(str(file))

    return message


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("study: a\ntraining: {epochs: 3}\nstudy: b\n", ", line 3: the key `study` is already in line 1; remove one"),
        ("training:\n  epochs: 3\n  seed: 1\n  'epochs': 4\n", ", line 4: the key `epochs` is already in line 2; remove one"),
        ("classes:\n- {id: 0, id: 1}\n", ", line 2: the key `id` is already in line 2; remove one"),
        ("training: {epochs: 010}\n", ", line 1: YAML reads `010` as 8; write 8, or the number that is meant without leading zeros and colons, or text in quotes"),
        ("a: -012\n", ", line 1: YAML reads `-012` as -10; write -10, or"),
        ("a: [1, 1:30]\n", ", line 1: YAML reads `1:30` as 90; write 90, or"),
        ("a: 190:20:30.15\n", ", line 1: YAML reads `190:20:30.15` as 685230.15"),
        ("010: x\n", ", line 1: YAML reads `010` as 8"),
        ("a: !!python/tuple [1, 2]\n", ", line 1: a value has the YAML tag `tag:yaml.org,2002:python/tuple`; write it without a tag"),
        ("a: !!set {x}\n", ", line 1: a value has the YAML tag `tag:yaml.org,2002:set`"),
        ("a: !secret x\n", ", line 1: a value has the YAML tag `!secret`"),
        ("? [1, 2]\n: 3\n", ", line 1: a key is a list or a section; write it as text"),
        ("a: " + "[" * 3000 + "]" * 3000, ": nested more than 30 levels deep; simplify it"),
        ("- " * 40 + "x", ", line 1: nested more than 30 levels deep; simplify it"),
        ("a: &a [*a]\n", ", line 1: nested more than 30 levels deep; simplify it"),
        (BOMB, "more than 100000 entries, counting what aliases repeat; simplify it"),
        ("a: [1\nb: 2\n", ", line 2: not valid YAML (expected ',' or ']', but got ':'); correct it"),
        ("\ta: 1\n", ", line 1: not valid YAML (found character '\\t' that cannot start any token); correct it"),
        (f"a: {'9' * 5000}\n", ", line 1: YAML cannot read `" + "9" * 60 + "` as a number or date; correct it, or write it as text in quotes"),
        (f"a: 1\nb: [0x{'f' * 5000}]\n", ", line 2: YAML cannot read `0xfff"),
        (f"a: 0{'7' * 9000}\n", ", line 1: YAML cannot read `0777"),
        (f"a: {'1:' * 3000}1\n", ", line 1: YAML cannot read `1:1:"),
        ("a: 0x_\n", ", line 1: YAML cannot read `0x_` as"),
        ("a: 1\nb: 2026-13-45\n", ", line 2: YAML cannot read `2026-13-45` as a number or date"),
        ("a: 2001-12-14 21:59:43 -99:00\n", ", line 1: YAML cannot read `2001-12-14 21:59:43 -99:00` as"),
        ("a: {<<: 3}\n", ", line 1: not valid YAML (expected a mapping or list of mappings for merging, but found scalar); correct it"),
        ("a: \x01\n", ": not valid YAML (a control character); remove it"),
        ("study: café\n".encode("latin-1"), ": not UTF-8 text; save it as UTF-8"),
        ("study: a\n".encode("utf-16"), ": not UTF-8 text; save it as UTF-8"),
    ],
)  # fmt: skip
def test_require_unambiguous_refuses_what_yaml_reads_otherwise(refusal, content, message):
    assert message in refusal(content)


def test_require_unambiguous_refuses_repeated_and_deep_json(refusal):
    assert refusal('{"a": {"b": 1, "b": 2}}', "study.json") == ": the key `b` appears twice; remove one"
    assert refusal('[{"a":' * 30_000, "study.json") == ": nested more than 30 levels deep; simplify it"


@pytest.mark.parametrize("number", ["9" * 5000, "-" + "9" * 4999])
def test_require_unambiguous_refuses_json_numbers_that_python_does_not_read(refusal, number):
    message = refusal(f'{{"training": {{"epochs": {number}}}}}', "study.json")
    assert message == f": the number {number[:60]}… has 5000 characters; correct it"


@pytest.mark.parametrize(
    ("content", "read"),
    [
        ('{\n\t"training": {\n\t\t"epochs": 5\n\t}\n}', {"training": {"epochs": 5}}),
        ("training:\n  epochs: 5\n", {"training": {"epochs": 5}}),
        ("\ufeff{a: 1}", {"a": 1}),
        ("", {}),
        ("{}", {}),
    ],
)
def test_read_config_reads_json_with_tabs_and_yaml(tmp_path, content, read):
    file = tmp_path / "study.json"
    file.write_text(content, encoding="utf-8")
    assert read_config(file) == read


def test_require_unambiguous_refuses_a_folder(tmp_path):
    with pytest.raises(InputError, match=r"cannot be read \(Is a directory\); name a readable file"):
        require_unambiguous(tmp_path)


@pytest.mark.parametrize(
    "content",
    [
        "a: 0\nb: -10\nc: 1.5e3\nd: 0.010\ne: '010'\nf: 2020-01-01\ng: null\nh: yes\n",
        "a: &x {q: 1}\nb: *x\nc:\n  <<: *x\n  q: 2\n",
        "a: {b: 1}\nc: {b: 2}\n",
        json.dumps({"a": {"b": [1, 2.5, None, True, "x"]}}, indent="\t"),
        "",
    ],
)
def test_require_unambiguous_accepts_plain_yaml_and_json(tmp_path, content):
    file = tmp_path / "study.yaml"
    file.write_text(content)
    require_unambiguous(file)


def test_require_unambiguous_accepts_the_configs_of_the_project_and_passes_over_missing_ones(tmp_path):
    for file in (
        ROOT / "config.yaml",
        ROOT / "profiles/demo/study.yaml",
        *ROOT.glob("docs/layouts/*.yaml"),
        tmp_path / "none",
    ):
        require_unambiguous(file)


SIGNS = st.sampled_from(
    [*"abx01:-,[]{}&*!|>'\"#% \t\n", "010", "1:30", "!!", "<<: ", "&a ", "*a", "\x85", "\u2028", "é"]
)


@settings(max_examples=150, deadline=None)
@given(parts=st.lists(SIGNS, max_size=40))
@example(parts=["&a ", "[", "*a", "]"])
def test_require_unambiguous_reads_any_text_or_ends_in_one_sentence(parts, tmp_path_factory):
    file = tmp_path_factory.getbasetemp() / "fuzzed.yaml"
    text = "".join(parts)
    file.write_text(text, encoding="utf-8", newline="")
    try:
        require_unambiguous(file)
    except InputError as error:
        assert str(error).startswith(str(file))
        assert "\n" not in str(error)


@settings(max_examples=50, deadline=None)
@given(keys=st.lists(st.sampled_from("abcdefghij"), min_size=1, max_size=6), level=st.integers(0, 3))
def test_require_unambiguous_refuses_exactly_the_sections_with_a_key_twice(keys, level, tmp_path_factory):
    file = tmp_path_factory.getbasetemp() / "keys.yaml"
    lines = [f"{'  ' * depth}section:" for depth in range(level)] + [f"{'  ' * level}{key}: 1" for key in keys]
    file.write_text("\n".join(lines))
    try:
        require_unambiguous(file)
    except InputError as error:
        first = next(place for place, key in enumerate(keys) if key in keys[:place])
        assert f", line {level + first + 1}: the key `{keys[first]}` is already in line" in str(error)
    else:
        assert len(set(keys)) == len(keys)


@settings(max_examples=50, deadline=None)
@given(content=st.binary(max_size=60))
def test_require_unambiguous_reads_any_bytes_or_ends_in_one_sentence(content, tmp_path_factory):
    file = tmp_path_factory.getbasetemp() / "fuzzed.yaml"
    file.write_bytes(content)
    try:
        require_unambiguous(file)
    except InputError as error:
        assert "\n" not in str(error)
