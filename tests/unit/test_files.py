"""Whole files or none."""

import pytest

from lumbarseg.files import copy_whole, read_json, whole, write_json


def test_a_file_appears_only_when_it_is_complete(tmp_path):
    target = tmp_path / "new" / "table.csv"
    with whole(target) as temporary:
        temporary.write_text("half")
        assert not target.exists()
    assert target.read_text() == "half"


def test_what_was_there_stays_when_writing_fails(tmp_path):
    target = tmp_path / "table.csv"
    target.write_text("old")
    with pytest.raises(RuntimeError), whole(target) as temporary:
        temporary.write_text("new, but not all of it")
        raise RuntimeError("disk full")
    assert target.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["table.csv"]


def test_json_comes_back_as_it_was_written(tmp_path):
    content = {"Vert": 0.45, "Größe": [1, 2]}
    write_json(tmp_path / "a.json", content)
    copy_whole(tmp_path / "a.json", tmp_path / "b.json")
    assert read_json(tmp_path / "b.json") == content
