"""Temporary files and folders: none of a killed process stays, and none of a living one is taken away."""

import multiprocessing
import os
import signal
import stat
import tempfile
import time

import pytest

from lumbarseg import temporary_files
from lumbarseg.atomic_io import atomic_write
from lumbarseg.errors import InputError
from lumbarseg.temporary_files import (
    ABANDONED_AFTER_S,
    PACKING,
    PART,
    folder_beside_results,
    owned_name,
    remove_abandoned_parts,
    remove_abandoned_scratch,
    temporary_folder,
)

FORK = multiprocessing.get_context("fork")


@pytest.fixture
def scratch(tmp_path, monkeypatch):
    """The system's temporary folder, for this test alone."""
    folder = tmp_path / "scratch"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def write_and_wait(results, ready):
    with (
        temporary_folder("dicom") as inbox,
        folder_beside_results(results, PACKING) as packing,
        folder_beside_results(results, PART) as made,
        atomic_write(results / "sub-1" / "dseg.nii.gz") as part,
    ):
        for folder in (inbox, packing, made):
            (folder / "in").mkdir()
            (folder / "in" / "0.dcm").write_text("a patient")
        part.write_text("a patient")
        ready.set()
        time.sleep(60)


@pytest.fixture
def writer(scratch, tmp_path):
    """A process that writes temporary files everywhere, and the folder of its results."""
    results, ready = tmp_path / "results", FORK.Event()
    results.mkdir()
    process = FORK.Process(target=write_and_wait, args=(results, ready))
    process.start()
    assert ready.wait(20)
    yield process, results
    process.kill()
    process.join()


def clean(results):
    remove_abandoned_scratch()
    remove_abandoned_parts(results, below=True)


def files_below(*folders):
    return [path for folder in folders for path in folder.rglob("*") if path.is_file()]


def test_remove_abandoned_leaves_what_a_living_process_writes(writer, scratch):
    _, results = writer
    clean(results)
    assert len(files_below(scratch, results)) == 4


def test_remove_abandoned_leaves_nothing_of_a_killed_process(writer, scratch):
    process, results = writer
    (results / "sub-1" / "dseg.json").write_text("a result")
    (scratch / "of-another-program").write_text("stays")
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    clean(results)
    assert [path.name for path in files_below(scratch, results)] == ["of-another-program", "dseg.json"]
    assert [path.name for path in results.iterdir()] == ["sub-1"]


def test_remove_abandoned_parts_looks_below_a_folder_only_if_asked_to(writer):
    process, results = writer
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    remove_abandoned_parts(results)
    assert [path.name.startswith(PART) for path in files_below(results)] == [True]
    assert files_below(results)[0].parent.name == "sub-1"


ELSEWHERE = "00000000-00000000-00000000-17-1-0123456789abcdef"
"""What names of another host's process hold."""


@pytest.mark.parametrize(
    "name", [f"{PART}{ELSEWHERE}-labels.nii.gz", f"{PACKING}{ELSEWHERE}", f"lumbarseg-dicom-{ELSEWHERE}"]
)
def test_remove_abandoned_waits_a_day_for_owners_it_cannot_see(scratch, name):
    remove = remove_abandoned_scratch if name.startswith("lumbarseg-") else lambda: remove_abandoned_parts(scratch)
    for path in (scratch / name, scratch / f"{name}-old"):
        path.write_text("of another node")
    before = time.time() - ABANDONED_AFTER_S - 60
    os.utime(scratch / f"{name}-old", (before, before))
    remove()
    assert [path.name for path in scratch.iterdir()] == [name]


def test_remove_abandoned_leaves_files_that_others_named(scratch):
    names = [".part-1.txt", "lumbarseg-notes-2019"]
    for name in names:
        (scratch / name).write_text("mine")
        os.utime(scratch / name, (0, 0))
    remove_abandoned_scratch()
    remove_abandoned_parts(scratch)
    assert sorted(path.name for path in scratch.iterdir()) == names


def test_remove_abandoned_tells_hosts_restarts_and_reused_process_ids_apart(scratch):
    host, boot, namespace, process, started, random = owned_name().split("-")
    cases = {
        "mine": ((host, boot, namespace, process, started), True),
        "reused": ((host, boot, namespace, process, "17"), False),
        "restarted": ((host, "0" * 8, namespace, process, started), False),
        "container": ((host, boot, "0" * 8, process, started), True),
        "node": (("0" * 8, "0" * 8, namespace, process, started), True),
        "unknown": ((host, boot, namespace, process, "0"), True),
    }
    for name, (owner, _) in cases.items():
        (scratch / "-".join([f"lumbarseg-{name}", *owner, random])).mkdir()
    remove_abandoned_scratch()
    assert {path.name.split("-")[1] for path in scratch.iterdir()} == {
        name for name, (_, stays) in cases.items() if stays
    }


def test_remove_abandoned_does_not_follow_links(scratch, tmp_path):
    kept = tmp_path / "kept"
    kept.mkdir()
    (kept / f"{PART}old").write_text("elsewhere")
    (scratch / f"lumbarseg-dicom-{'0' * 8}").symlink_to(kept)
    (scratch / "linked").symlink_to(kept)
    for path in (kept / f"{PART}old", kept):
        os.utime(path, (0, 0))
    remove_abandoned_scratch()
    remove_abandoned_parts(scratch, below=True)
    assert (kept / f"{PART}old").exists()


def test_owned_name_is_unique_where_host_and_process_id_are_equal(monkeypatch):
    monkeypatch.setattr(os, "getpid", lambda: 4711)
    assert len({owned_name() for _ in range(100)}) == 100


def test_temporary_folder_is_private_and_removed_when_its_block_fails(scratch):
    with pytest.raises(RuntimeError), temporary_folder("dicom") as folder:
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        (folder / "a").write_text("a")
        raise RuntimeError
    assert not list(scratch.iterdir())


def test_temporary_folder_that_cannot_be_made_is_a_sentence(tmp_path, monkeypatch):
    file = tmp_path / "file"
    file.write_text("no folder")
    monkeypatch.setattr(tempfile, "tempdir", str(file))
    with pytest.raises(InputError, match=r"file: cannot make a folder there \(Not a directory\); .* set TMPDIR"):
        temporary_folder("dicom").__enter__()
    monkeypatch.setattr(
        temporary_files.tempfile, "gettempdir", lambda: (_ for _ in ()).throw(FileNotFoundError("none"))
    )
    with pytest.raises(InputError, match="TMPDIR: no temporary folder can be written to"):
        temporary_folder("dicom").__enter__()
