"""Atomic writes."""

import gzip
import os
import time

import pandas as pd
import pytest

from lumbarseg.atomic_io import atomic_copy, atomic_write, read_json, write_csv, write_json


def test_atomic_write_shows_a_file_only_when_complete(tmp_path):
    target = tmp_path / "new" / "table.csv"
    with atomic_write(target) as temporary:
        temporary.write_text("half")
        assert not target.exists()
    assert target.read_text() == "half"


def test_atomic_write_keeps_the_previous_file_when_writing_fails(tmp_path):
    target = tmp_path / "table.csv"
    target.write_text("old")
    with pytest.raises(RuntimeError), atomic_write(target) as temporary:
        temporary.write_text("new, but not all of it")
        raise RuntimeError("disk full")
    assert target.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["table.csv"]


def test_atomic_write_gives_every_writer_its_own_temporary_name(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "getpid", lambda: 4711)  # two nodes may give two jobs the same process id
    with atomic_write(tmp_path / "table.csv") as first, atomic_write(tmp_path / "table.csv") as second:
        assert first != second
        assert first.name.startswith(".part-")
        assert first.name.endswith("-table.csv")
        first.write_text("first")
        second.write_text("second")
    assert (tmp_path / "table.csv").read_text() == "first"  # the outer block ends last
    assert [path.name for path in tmp_path.iterdir()] == ["table.csv"]


def test_write_json_is_read_back_after_atomic_copy(tmp_path):
    content = {"Vert": 0.45, "Größe": [1, 2]}
    write_json(tmp_path / "a.json", content)
    atomic_copy(tmp_path / "a.json", tmp_path / "b.json")
    assert read_json(tmp_path / "b.json") == content


def test_write_csv_gives_the_same_bytes_at_any_time_and_in_any_process(tmp_path, monkeypatch):
    table = pd.DataFrame({"class_name": ["Vert", "Größe"], "pixels": [1, 2]})
    write_csv(tmp_path / "first" / "counts.csv.gz", table)
    monkeypatch.setattr(time, "time", lambda: 2e9)
    write_csv(tmp_path / "second" / "counts.csv.gz", table)
    first, second = ((tmp_path / name / "counts.csv.gz").read_bytes() for name in ("first", "second"))
    assert first == second
    assert first[3] == 0  # no flags: no file name, no comment
    assert gzip.decompress(first).decode() == "class_name,pixels\nVert,1\nGröße,2\n"
