"""Files as users have them: encodings, links, names that are not UTF-8."""

import os

import pytest

from lumbarseg.errors import InputError
from lumbarseg.user_files import UNICODE, WINDOWS, files_below, not_fetched, read_text, require_place

TEXT = "Málaga\tŒuvre €\nsecond line\n"


@pytest.mark.parametrize(
    ("content", "encoding"),
    [
        (TEXT.encode(), UNICODE),
        (TEXT.encode("utf-8-sig"), UNICODE),
        (TEXT.encode("utf-16"), UNICODE),  # with a byte order mark
        (b"\xfe\xff" + TEXT.encode("utf-16-be"), UNICODE),
        (TEXT.encode("utf-16-le"), UNICODE),
        (TEXT.encode("utf-16-be"), UNICODE),
        (TEXT.encode("utf-32"), UNICODE),
        (TEXT.encode("cp1252"), WINDOWS),
        (TEXT.replace("\n", "\r\n").encode("utf-16"), UNICODE),
        (TEXT.replace("\n", "\r").encode("cp1252"), WINDOWS),
        (TEXT.replace("\n", "\r\n").encode("cp1252") + b"\x1a", WINDOWS),  # the end mark of DOS
        (TEXT.encode() + b"\x1a\x1a\r\n", UNICODE),
        (f"{TEXT.strip()}\x1a".encode("utf-16"), UNICODE),
    ],
)
def test_read_text_reads_what_spreadsheets_save(tmp_path, content, encoding):
    (tmp_path / "table.tsv").write_bytes(content)
    assert read_text(tmp_path / "table.tsv") == (TEXT, encoding)


@pytest.mark.parametrize(
    "content",
    [b"PK\x03\x04\x14\x00\x06\x00" + bytes(range(256)), TEXT.encode("utf-16")[:-1], b"ab\0cd", b"\x1a\0\x1a"],
    ids=["a spreadsheet", "cut", "a zero", "end marks around a zero"],
)
def test_read_text_rejects_what_is_no_text(tmp_path, content):
    (tmp_path / "table.xlsx").write_bytes(content)
    with pytest.raises(InputError, match=r"table\.xlsx: not a text file; save it again"):
        read_text(tmp_path / "table.xlsx")


@pytest.mark.parametrize(
    ("text", "encoding"), [("Hôpital ê å", "mac_roman"), ("Špitál ťŤ", "cp1250"), ("助手", "shift-jis")]
)
def test_read_text_names_the_encodings_that_it_reads(tmp_path, text, encoding):
    (tmp_path / "table.tsv").write_bytes(f"site\n{text}\n".encode(encoding))
    message = r"table\.tsv: text is not in UTF-8, UTF-16 or Windows-1252; save it as UTF-8"
    with pytest.raises(InputError, match=message):
        read_text(tmp_path / "table.tsv")


@pytest.mark.parametrize(
    "name", ["lost+found", "$RECYCLE.BIN", "$Recycle.Bin", "System Volume Information", "@eaDir", "#recycle"]
)
def test_files_below_leaves_out_system_folders(tmp_path, name):
    for place in (name, "case1"):
        (tmp_path / place).mkdir()
        (tmp_path / place / "IM1").touch()
    assert files_below(tmp_path) == [tmp_path / "case1/IM1"]


def test_read_text_reports_a_folder(tmp_path):
    with pytest.raises(InputError, match=r"cannot be read \(Is a directory\)"):
        read_text(tmp_path)


def test_files_below_enters_links_to_folders_once_and_no_loop(tmp_path):
    study = tmp_path / "study"
    for place in (study / "a", study / ".hidden", study / "lost+found", tmp_path / "elsewhere/deep"):
        place.mkdir(parents=True)
        (place / "IM1").touch()
    (study / ".IM2").touch()
    (study / "away").symlink_to(tmp_path / "elsewhere")
    (study / "again").symlink_to(study / "a")
    (study / "a/back").symlink_to(study)
    (study / "a/above").symlink_to(tmp_path)
    (study / "itself").symlink_to(study / "itself")
    (study / "gone").symlink_to(tmp_path / "unmounted")
    found = [str(path.relative_to(study)) for path in files_below(study)]
    assert found == ["a/IM1", "away/deep/IM1", "gone", "itself"]
    (tmp_path / "link").symlink_to(study)
    assert [path.name for path in files_below(tmp_path / "link")] == ["IM1", "IM1", "gone", "itself"]


def test_files_below_reports_a_folder_that_may_not_be_read(tmp_path, monkeypatch):
    (tmp_path / "closed").mkdir()
    scandir = os.scandir

    def refuse(place):  # not by the folder's mode, because root may read everything
        if str(place).endswith("closed"):
            raise PermissionError(13, "Permission denied")
        return scandir(place)

    monkeypatch.setattr("os.scandir", refuse)
    with pytest.raises(InputError, match=r"closed: cannot be read \(Permission denied\)"):
        files_below(tmp_path)


def test_files_below_lists_names_that_are_not_utf8(tmp_path):
    (tmp_path / os.fsdecode(b"caf\xe9")).touch()
    [found] = files_below(tmp_path)
    assert os.fsencode(found.name) == b"caf\xe9"


def test_not_fetched_recognises_pointers_but_no_ordinary_file(tmp_path):
    pointers = {
        "IM1": "/annex/objects/MD5E-s100--abc.dcm\n",
        "IM2": "../../.git/annex/objects/a/b/c/c",
        "IM6": r"..\..\.git\annex\objects\a\b\c\c",  # Windows
        "IM3": "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n",
        ".IM4.icloud": "bplist00",
    }
    for name, content in pointers.items():
        (tmp_path / name).write_text(content)
        assert not_fetched(tmp_path / name, content.encode()[:132])
    (tmp_path / "IM5").write_text("an ordinary text")
    assert not not_fetched(tmp_path / "IM5", b"an ordinary text")


def test_input_error_can_be_written_anywhere():
    sentence = str(InputError(os.fsdecode(b"caf\xe9 \xc3\xa9: not found; fix the path")))
    assert sentence.encode() == b"caf\\udce9 \xc3\xa9: not found; fix the path"


def test_require_place_accepts_a_folder_and_what_can_become_one(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path)
    for folder in (tmp_path, tmp_path / "a/b/c", tmp_path / "link/d"):
        require_place(folder, writable=True)
    assert [path.name for path in tmp_path.iterdir()] == ["link"]


def test_require_place_refuses_files_broken_links_and_folders_of_others(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    for name in ("file", "link"):
        with pytest.raises(
            InputError, match=rf"^{tmp_path}/{name}: not a folder, but .*{name}/x would be there; move it away"
        ):
            require_place(tmp_path / name / "x")
    monkeypatch.setattr("os.access", lambda path, mode: False)
    require_place(tmp_path / "x")
    with pytest.raises(InputError, match=rf"^{tmp_path}: no permission to write to the folder"):
        require_place(tmp_path / "x", writable=True)
