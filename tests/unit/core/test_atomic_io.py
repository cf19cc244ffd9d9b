"""Whole files or none."""

import pytest

from lumbarseg.atomic_io import atomic_copy, atomic_write, read_json, write_json


def test_a_file_appears_only_when_it_is_complete(tmp_path):
    target = tmp_path / "new" / "table.csv"
    with atomic_write(target) as temporary:
        temporary.write_text("half")
        assert not target.exists()
    assert target.read_text() == "half"


def test_what_was_there_stays_when_writing_fails(tmp_path):
    target = tmp_path / "table.csv"
    target.write_text("old")
    with pytest.raises(RuntimeError), atomic_write(target) as temporary:
        temporary.write_text("new, but not all of it")
        raise RuntimeError("disk full")
    assert target.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["table.csv"]


def test_json_comes_back_as_it_was_written(tmp_path):
    content = {"Vert": 0.45, "Größe": [1, 2]}
    write_json(tmp_path / "a.json", content)
    atomic_copy(tmp_path / "a.json", tmp_path / "b.json")
    assert read_json(tmp_path / "b.json") == content
