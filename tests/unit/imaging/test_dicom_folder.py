"""Folders of DICOM files: which files are slices, of which series, and what is refused."""

import os
import shutil

import numpy as np
import pydicom
import pytest
from pydicom.sequence import Sequence
from pydicom.uid import EnhancedMRImageStorage

from factories.dicom import GAP, edited, write_series
from lumbarseg.imaging.dicom_folder import find_series


def test_find_series_separates_the_echoes_of_a_series(tmp_path, out):
    write_series(tmp_path / "dicom", times=(3000.0, 15.0), number=2)
    for file in (tmp_path / "dicom").iterdir():
        file.rename(file.with_name("early" + file.name))
    write_series(tmp_path / "dicom", times=(3000.0, 90.0), number=2)
    assert [len(one.slices) for one in find_series(tmp_path / "dicom")] == [6, 6]
    assert out.convert(tmp_path / "dicom")[1]["EchoTime"] == 0.09


def without_preamble(file):
    """The content of a DICOM file as a bare data set."""
    bare = pydicom.Dataset()
    bare.update(pydicom.dcmread(file))
    content = pydicom.filebase.DicomBytesIO()
    pydicom.dcmwrite(content, bare, implicit_vr=True, little_endian=True, enforce_file_format=False)
    return content.getvalue()


def without_first_132_bytes(file):
    """The content of a DICOM file from its file meta information on."""
    return file.read_bytes()[132:]


@pytest.mark.parametrize("strip", [without_preamble, without_first_132_bytes])
def test_convert_reads_dicom_without_preamble(tmp_path, out, strip):
    files = write_series(tmp_path / "dicom")
    expected, _ = out.convert(tmp_path / "dicom")
    voxels = np.array(expected.dataobj)
    for file in files[2:]:  # with and without
        file.write_bytes(strip(file))
    image, sidecar = out.convert(tmp_path / "dicom")
    np.testing.assert_array_equal(image.dataobj, voxels)
    assert sidecar["EchoTime"] == 0.1


def test_convert_ignores_and_counts_files_that_are_not_dicom(tmp_path, out):
    folder = tmp_path / "dicom"
    write_series(folder)
    for name in ("Thumbs.db", "desktop.ini", "notes.txt", "DICOMDIR", "README"):
        (folder / name).touch()
    (folder / "Thumbs.db").rename(folder / "thumbs.db")
    (folder / "report.pdf").write_bytes(b"%PDF" + bytes(500))
    (folder / "IM020001.gz").write_bytes(b"the slice again")
    (folder / "IM020001.dcm.txt").touch()
    (folder / "IM020099.jpg").touch()
    (folder / "2019.tar.gz").touch()
    (folder / "autorun.inf").write_bytes(b"\x08\x00\x08\x00 begins like DICOM without preamble")
    (folder / "INDEX").write_text("a list of files")
    (folder / ".DS_Store").touch()
    (folder / ".trash").mkdir()
    (folder / ".trash" / "IM1").touch()
    image, _ = out.convert(folder)
    assert image.shape[2] == 6
    assert out.chosen["other_files"] == 12  # hidden files are not counted


@pytest.mark.parametrize(
    "changes",
    [
        {"PatientName": "Quixano Dulcinea"},
        {"PatientName": "QUIXANO^DULCINEA^^"},
        {"PatientName": "Quixano, Dulcinea"},
        {"PatientName": ""},
        {"PatientName": None},
        {"PatientID": ""},
        {"PatientID": None, "PatientName": None},
    ],
)
def test_convert_accepts_slices_of_one_study_without_id_or_with_other_separators(tmp_path, out, changes):
    for number in (0, 3):
        edited(write_series(tmp_path / f"{number}")[number], **changes)
        assert out.convert(tmp_path / f"{number}")[0].shape[2] == 6
        out.image.unlink()
    write_series(tmp_path / "0" / "other", "T1w", number=3, PatientID="OTHER")
    assert "images of 2 patients" in out.refusal(tmp_path / "0")


def test_convert_accepts_other_dicom_objects_named_like_slices(tmp_path, out):
    report = write_series(tmp_path / "dicom", slices=range(7))[6]
    edited(report, SOPClassUID="1.2.840.10008.5.1.4.1.1.88.11")
    data = pydicom.dcmread(report)
    data.file_meta.MediaStorageSOPClassUID = data.SOPClassUID
    data.save_as(report)
    for file in (tmp_path / "dicom").iterdir():
        file.rename(file.with_name(f"{file.name}.img"))
    assert out.convert(tmp_path / "dicom")[0].shape[2] == 6


def test_find_series_keeps_volumes_apart_that_have_slices_at_the_same_positions(tmp_path):
    for number, time in enumerate((99.0, 100.0, "")):
        for file in write_series(tmp_path / "dicom", times=(4000.0, time), slices=range(4 + number)):
            file.rename(file.with_name(f"echo{number}{file.name}"))
    assert [(len(one.slices), str(one.slices[0].echo_time)) for one in find_series(tmp_path / "dicom")] == [
        (4, "99.0"), (5, "100.0"), (6, "nan"),
    ]  # fmt: skip


def test_find_series_keeps_other_planes_of_a_series_apart(tmp_path):
    write_series(tmp_path / "a", slices=range(4))
    write_series(
        tmp_path / "b", times=(4000.0, 100.2), slices=range(4, 7), orientation=(1, 0, 0, 0, 1, 0), step=(0, 0, 1)
    )
    write_series(tmp_path / "c", times=(4000.0, 99.8), slices=range(7, 9))
    for file in (tmp_path / "c").iterdir():
        edited(file, Rows=20)
    found = sorted((len(one.slices), one.plane) for one in find_series(tmp_path))
    assert found == [(2, "sagittal"), (3, "axial"), (4, "sagittal")]


def test_convert_enters_links_to_folders_and_no_loop(tmp_path, out):
    write_series(tmp_path / "archive" / "t2")
    (tmp_path / "patient").mkdir()
    (tmp_path / "patient" / "series").symlink_to(tmp_path / "archive" / "t2")
    (tmp_path / "patient" / "again").symlink_to(tmp_path / "archive" / "t2")
    (tmp_path / "archive" / "t2" / "up").symlink_to(tmp_path)
    assert out.convert(tmp_path / "patient")[0].shape[2] == 6


def test_convert_names_files_whose_names_are_not_utf8(tmp_path, out):
    for file in write_series(tmp_path / "dicom"):
        file.rename(file.with_name(os.fsdecode(b"caf\xe9" + file.name.encode())))
    assert out.convert(tmp_path / "dicom")[0].shape[2] == 6
    out.image.unlink()
    file.with_name(os.fsdecode(b"caf\xe9" + file.name.encode())).write_bytes(b"")
    assert r"dicom/caf\udce9IM020006: empty file" in out.refusal(tmp_path / "dicom")


def broken_folders(root):
    """Folders that must be rejected, each with a part of the message."""
    root.mkdir()
    (root / "empty").mkdir()
    yield root / "empty", "no DICOM file with an MR image (0 other files)"
    (root / "text").mkdir()
    (root / "text" / "readme.txt").write_text("no images here " * 50)
    yield root / "text", "no DICOM file with an MR image (1 other files)"
    write_series(root / "gap", slices=[0, 1, 3, 4, 5])
    yield root / "gap", "8.80 mm between IM020002 and IM020004, where slices are 4.40 mm apart"
    write_series(root / "two")
    write_series(root / "two", "T1w", number=3, PatientID="OTHER", PatientName="Other^One")
    yield root / "two", "images of 2 patients"
    write_series(root / "twice")
    shutil.copy(root / "twice" / "IM020003", root / "twice" / "copy")
    yield root / "twice", "lie at the same position"
    cut = write_series(root / "cut")[3]
    cut.write_bytes(cut.read_bytes()[:-100])
    yield root / "cut", "IM020004: 860 bytes of pixels instead of 960"
    header = write_series(root / "header")[3]
    header.write_bytes(header.read_bytes()[:700])
    yield root / "header", "IM020004: the header lacks what places an MR slice in space"
    write_series(root / "zero")[2].write_bytes(b"")
    yield root / "zero", "IM020003: empty file"
    write_series(root / "zeros")[5].write_bytes(bytes(2000))  # the last slice leaves no gap
    yield root / "zeros", "IM020006: not DICOM, despite its name"
    write_series(root / "web")
    (root / "web/slice7.dcm").write_text("<html>404</html>")
    yield root / "web", "slice7.dcm: not DICOM, despite its name"
    cut = write_series(root / "beginning")[5]
    cut.write_bytes(cut.read_bytes()[:140])
    yield root / "beginning", "IM020006: damaged DICOM file"
    write_series(root / "link")[5].unlink()
    (root / "link/IM020006").symlink_to(root / "unmounted")
    yield root / "link", "IM020006: cannot be read (No such file or directory)"
    for name, content in (
        ("annex", "/annex/objects/MD5E-s960--0.dcm\n"),
        ("lfs", "version https://git-lfs.github.com/spec/v1\n"),
    ):
        write_series(root / name)[5].write_text(content)
        yield root / name, "IM020006: a pointer of git-annex or Git LFS instead of the file; fetch its content"
    placeholder = write_series(root / "icloud")[5]
    placeholder.rename(placeholder.with_name(".IM020006.icloud"))
    yield root / "icloud", ".IM020006.icloud: a placeholder of iCloud instead of the file"
    for name, content in (
        ("page", b"<html>404</html>"),
        ("bytes", np.random.default_rng(0).bytes(2000)),
        ("marked", write_series(root / "marked")[5].read_bytes()[128:]),  # begins with DICM; dcm2niix does not read it
    ):
        write_series(root / name)[5].write_bytes(content)
        yield root / name, "IM020006: not DICOM, though its name is like those of the slices next to it"
    packed = {
        ".dcm.gz": b"\x1f\x8b",
        ".gz": b"\x1f\x8b",
        ".dcm.zst": b"\x28\xb5",
        ".bz2": b"BZ",
        ".DCM.part": b"",
        ".dcm.cloud": b"x",
    }
    packed |= dict.fromkeys((".dcm.crdownload", ".dcm~", ".dcm.1", ".dcm.txt"), b"half")
    for number, (ending, content) in enumerate(packed.items()):
        for file in write_series(root / f"packed{number}"):
            file.rename(file.with_name(f"{file.name}.dcm"))
        (root / f"packed{number}/IM020006.dcm").unlink()
        (root / f"packed{number}/IM020006{ending}").write_bytes(content)
        yield root / f"packed{number}", f"IM020006{ending}: not DICOM, though its name is like those of the slices"
    part = write_series(root / "part")[5]
    part.with_name("IM020006.part").write_bytes(part.read_bytes()[:160])  # begins like DICOM
    part.unlink()
    yield root / "part", "IM020006.part: not DICOM, though its name is like those of the slices"
    hashed = dict(zip(write_series(root / "hashed"), ("a1f", "b2.3c", "0d", "e", "f00", "9a"), strict=True))
    for file, name in hashed.items():
        file.rename(file.with_name(f"{name}.dcm" + ".gz" * (name == "9a")))
    (root / "hashed/9a.dcm.gz").write_bytes(b"\x1f\x8b")
    yield root / "hashed", "9a.dcm.gz: not DICOM, though its name is like those of the slices"
    write_series(root / "windows")[5].write_text(r"..\..\.git\annex\objects\0\1\MD5E-s960--0.dcm")
    yield root / "windows", "IM020006: a pointer of git-annex or Git LFS instead of the file; fetch its content"
    edited(write_series(root / "pixels")[5], PixelSpacing=[0.96, 0.8])
    yield root / "pixels", "IM020006 has pixels of 0.96 × 0.8 mm, other slices of series 2 of 0.8 × 0.8 mm"
    for number in (0, 5):
        edited(write_series(root / f"unspaced{number}")[number], PixelSpacing=None)
        yield root / f"unspaced{number}", f"IM02000{number + 1} has no PixelSpacing above 0, unlike other slices"
    for name, spacing in (("none", None), ("flat", [0.8, 0]), ("negative", [-0.8, -0.8])):
        for file in write_series(root / name):
            edited(file, PixelSpacing=spacing)
        yield root / name, "IM020001 has no PixelSpacing above 0, like all slices of series 2"
    bare = write_series(root / "bare")
    for file in bare:
        file.write_bytes(without_preamble(file))
    bare[5].write_bytes(bare[5].read_bytes()[:-100])
    yield root / "bare", "IM020006: 860 bytes of pixels instead of 960"
    nowhere = write_series(root / "nowhere")[1]
    data = pydicom.dcmread(nowhere)
    del data.ImagePositionPatient
    data.save_as(nowhere)
    yield root / "nowhere", "IM020002: the header lacks what places an MR slice in space"
    write_series(root / "axial", orientation=(1, 0, 0, 0, 1, 0), step=(0, 0, 1))
    yield root / "axial", "not a stack of parallel sagittal slices (series 2, 6 slices, axial"
    write_series(root / "mixed", slices=range(3))
    write_series(root / "mixed", slices=range(3, 6), orientation=(1, 0, 0, 0, 1, 0), step=(0, 0, 1))
    yield root / "mixed", "several planes, TR 4000 ms, TE 100 ms, turned by up to 90 degrees)"
    write_series(root / "echoes", times=(4000.0, 20.0))[5].rename(root / "last")
    write_series(root / "echoes", slices=range(5))
    shutil.move(root / "last", root / "echoes/IM020006")
    yield root / "echoes", "unlike echo times, 100 ms in 5 and 20 ms in 1 of them (such as IM020001 and IM020006)"
    for name, number in (("echo", 2), ("last_echo", 5), ("first_echo", 0)):
        edited(write_series(root / name)[number], EchoTime=110)
        others = f"IM02000{1 if number else 2} and IM02000{number + 1}"
        yield root / name, f"unlike echo times, 100 ms in 5 and 110 ms in 1 of them (such as {others})"
    several = write_series(root / "several")
    for number, time in ((1, 90), (4, 120)):
        edited(several[number], EchoTime=time)
    yield root / "several", "unlike echo times, 90 ms in 1, 100 ms in 4 and 120 ms in 1 of them"
    several = write_series(root / "inner")
    for number, time in ((1, 10), (4, 20)):
        edited(several[number], EchoTime=time)
    yield root / "inner", "unlike echo times, 100 ms in 4, 10 ms in 1 and 20 ms in 1 of them"
    for field, value in (("ImageType", ["DERIVED", "PRIMARY"]), ("StudyTime", "140000"), ("Rows", 20)):
        edited(write_series(root / field)[3], **{field: value})
        yield root / field, f"the 6 slices differ in {field}, so dcm2niix does not make one volume of them"
    write_series(root / "ct", Modality="CT")
    for file in (root / "ct").iterdir():
        data = pydicom.dcmread(file)
        data.SOPClassUID = data.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.2"
        data.save_as(file)
    yield root / "ct", "no DICOM file with an MR image (6 other files)"
    yield root / "missing", "neither a DICOM folder nor an image"


def test_convert_rejects_broken_folders_in_one_sentence(tmp_path, out):
    for folder, expected in broken_folders(tmp_path / "broken"):
        message = out.refusal(folder)
        assert expected in message, (folder.name, message)


def test_find_series_reads_the_frames_of_enhanced_files(tmp_path):
    [file] = write_series(tmp_path / "dicom", slices=[0])
    data = pydicom.dcmread(file)
    data.SOPClassUID = data.file_meta.MediaStorageSOPClassUID = EnhancedMRImageStorage
    for name in ("ImagePositionPatient", "ImageOrientationPatient", "EchoTime", "RepetitionTime"):
        delattr(data, name)

    def item(**fields):
        made = pydicom.Dataset()
        for name, value in fields.items():
            setattr(made, name, value)
        return made

    data.SharedFunctionalGroupsSequence = Sequence(
        [
            item(
                PlaneOrientationSequence=Sequence([item(ImageOrientationPatient=[0, 1, 0, 0, 0, -1])]),
                MRTimingAndRelatedParametersSequence=Sequence([item(RepetitionTime=600.0)]),
            )
        ]
    )
    data.PerFrameFunctionalGroupsSequence = Sequence(
        [
            item(
                PlanePositionSequence=Sequence([item(ImagePositionPatient=[4.0 * frame, 0, 0])]),
                MREchoSequence=Sequence([item(EffectiveEchoTime=12.0)]),
            )
            for frame in range(3)
        ]
    )
    data.NumberOfFrames = 3
    data.PixelData = data.PixelData * 3
    data.save_as(file)
    [series] = find_series(tmp_path / "dicom")
    assert len(series.slices) == 3
    assert series.files == [file]
    assert series.contrast == "T1w"
    assert str(series) == "series 2, 3 slices, sagittal, TR 600 ms, TE 12 ms"
    series.require_one_stack(tmp_path)


def of_class(sop_class):
    def change(file):
        data = pydicom.dcmread(file)
        data.SOPClassUID = data.file_meta.MediaStorageSOPClassUID = sop_class
        data.save_as(file)

    return change


def content(change):
    return lambda file: file.write_bytes(change(file.read_bytes()))


def replaced_by(name, text):
    def change(file):
        file.unlink()
        file.with_name(name).write_text(text)

    return change


def hidden(prefix=".", ending="", part=None):
    def change(file):
        file.write_bytes(file.read_bytes()[:part])
        file.rename(file.with_name(f"{prefix}{file.name}{ending}"))

    return change


def linked_nowhere(file):
    file.unlink()
    file.symlink_to(file.parent / "unmounted")


def marked_by_macos(file):
    file.with_name(f"._{file.name}").write_bytes(b"\0\5\x16\7" + bytes(100))
    file.unlink()


def moved(file, folder, part=None, name=None):
    target = file.parent / folder / (name or file.name)
    target.parent.mkdir(parents=True)
    target.write_bytes(file.read_bytes()[:part])
    file.unlink()


LOST_AT_AN_END = {
    "begins with DICM": content(lambda whole: whole[128:]),
    "random bytes": content(lambda whole: np.random.default_rng(0).bytes(len(whole))),
    "zeros": content(lambda whole: bytes(len(whole))),
    "empty": content(lambda whole: b""),
    **{
        f"cut to {length}": content(lambda whole, length=length: whole[:length])
        for length in (1, 60, 131, 140, 300, 800, 1300)
    },
    "lacks the last byte": content(lambda whole: whole[:-1]),
    "secondary capture": of_class("1.2.840.10008.5.1.4.1.1.7"),
    "CT": of_class("1.2.840.10008.5.1.4.1.1.2"),
    "spectroscopy": of_class("1.2.840.10008.5.1.4.1.1.4.2"),
    "raw data": of_class("1.2.840.10008.5.1.4.1.1.66"),
    "unknown class": of_class("1.2.3"),
    "dangling link": linked_nowhere,
    "hidden": hidden(),
    "hidden and not complete": hidden(ending=".aX9f", part=700),
    "hidden under another name": lambda file: file.rename(file.with_name(".tmp")),
    "left by macOS": marked_by_macos,
    "in a hidden folder": lambda file: moved(file, ".rsync-partial"),
    "in a hidden folder, not complete": lambda file: moved(file, ".~tmp~", 700),
    "in a hidden folder below a hidden folder": lambda file: moved(file, ".a/.b"),
    "in a folder of the system": lambda file: moved(file, "@eaDir"),
    "in lost+found": lambda file: moved(file, "lost+found"),
    "in a folder of macOS": lambda file: moved(file, "__MACOSX"),
    "hidden in another folder": lambda file: moved(file, "sub", name=f".{file.name}"),
    "page of another naming": replaced_by("download", "<html>404</html>"),
    "page with another ending": replaced_by("result.img", "\n <!DOCTYPE html>"),
    "answer of a server": replaced_by("download", '{"error": 404}'),
    "own series without echo time": lambda file: edited(file, SeriesInstanceUID="1.2.9", EchoTime=""),
    "own series of another study": lambda file: edited(
        file, SeriesInstanceUID="1.2.9", StudyInstanceUID="1.2.8", EchoTime=""
    ),
    "own series, derived": lambda file: edited(file, SeriesInstanceUID="1.2.9", ImageType=["DERIVED", "PRIMARY"]),
    "own series, fat-suppressed": lambda file: edited(file, SeriesInstanceUID="1.2.9", ScanOptions="FS"),
    "own series, other echo time": lambda file: edited(file, SeriesInstanceUID="1.2.9", EchoTime=40),
    "own series, localiser": lambda file: edited(file, SeriesInstanceUID="1.2.9", SeriesDescription="loc"),
}


@pytest.mark.parametrize("naming", ["IM{:04d}", "IM{:04d}.dcm", "1.2.840.{}.4", "abcdefgh{}x", "words"])
@pytest.mark.parametrize("end", [0, 7])
@pytest.mark.parametrize("lose", LOST_AT_AN_END.values(), ids=LOST_AT_AN_END)
def test_convert_loses_no_slice_at_an_end(tmp_path, out, lose, end, naming):
    words = ("alpha", "beta", "gamma", "delta", "eps", "zeta", "eta", "theta")
    files = []
    for number, file in enumerate(write_series(tmp_path / "dicom", slices=range(8))):
        files.append(file.with_name(words[number] if naming == "words" else naming.format(number)))
        file.rename(files[-1])
    lose(files[end])
    out.refusal(tmp_path / "dicom")


def test_convert_accepts_hidden_files_that_are_no_missing_slices(tmp_path, out):
    files = write_series(tmp_path / "dicom")
    folder = tmp_path / "dicom"
    for file in files:
        file.with_name(f"._{file.name}").write_bytes(b"\0\5\x16\7" + bytes(100))
    shutil.copy(files[2], folder / f".{files[2].name}.aX9f")
    shutil.copy(files[2], folder / ".copy")
    (folder / ".DS_Store").write_bytes(bytes(50))
    (folder / ".directory").write_text("[Dolphin]\n")
    (folder / "._thumbs.db").write_bytes(b"\0\5\x16\7")
    assert out.convert(folder)[0].shape[2] == 6
    assert out.chosen["remarks"] == []


def test_convert_flags_gaps_in_the_numbers_of_slices(tmp_path, out):
    for slices in ([1, 2, 3, 4], [0, 2, 4, 6]):
        write_series(tmp_path / f"{slices[0]}", slices=slices)
        out.convert(tmp_path / f"{slices[0]}")
        [remark] = out.chosen["remarks"]
        assert remark.startswith("series 2: the slice numbers (InstanceNumber) ")
        assert remark.endswith("; check that no slice is missing")
    assert "1 to 7 of 4 slices have gaps" in remark


def test_convert_flags_files_next_to_slices_that_may_be_slices(tmp_path, out):
    write_series(tmp_path / "dicom")
    (tmp_path / "dicom/INDEX").write_text("a list")
    (tmp_path / "dicom/report.txt").write_text("text")
    report = write_series(tmp_path / "other", number=9)[0].rename(tmp_path / "dicom/SC")
    of_class("1.2.840.10008.5.1.4.1.1.7")(report)
    out.convert(tmp_path / "dicom")
    assert out.chosen["other_files"] == 3
    assert out.chosen["remarks"] == [
        "2 files next to the slices were passed over (1 DICOM images of other kinds, 1 unknown files); check that none is a slice"
    ]


def test_convert_keeps_series_apart_that_do_not_continue_each_other(tmp_path, out):
    write_series(tmp_path / "dicom" / "t2")
    for name, number, offset in (("shifted", 3, 1.2), ("between", 4, GAP / 2), ("far", 5, 20 * GAP)):
        for file in write_series(tmp_path / "dicom" / name, "T1w", number=number):
            x, y, z = pydicom.dcmread(file).ImagePositionPatient
            edited(file, ImagePositionPatient=[x + offset, y, z])
    assert out.convert(tmp_path / "dicom")[0].shape[2] == 6


MARK = b"\0\5\x16\7\0\2\0\0Mac OS X        " + bytes(200)
ZIP = b"PK\3\4" + bytes(200)
COMPANIONS = {
    "._.DS_Store": MARK, "._DICOMDIR": MARK, "._README": MARK, "._Icon\r": MARK, "Icon\r": b"", "done": b"", "x/_SUCCESS": b"",
    "MD5SUMS": b"d41d8cd9  IM020001\n", "SHA256SUMS": b"d41d8cd9  IM020001\n", "view.ipynb": b'{"cells": []}', "a.svg": b"<svg/>",
    "a.yaml": b"{a: 1}", "style.xsl": b"<?xml ?>", "Viewer.exe.config": b"\xef\xbb\xbf<?xml?>", "Info.plist": b"<?xml?>",
    "a.webloc": b"<?xml?>", "a.js": b"{}", "a.jsonl": b"{}", "a.rdf": b"<?xml?>", "IM 2019.odt": ZIP, "IM02.zip": ZIP,
    ".hidden/report": b"text", "@eaDir/IM020001/SYNO@.fileindexdb": b"", ".git/IM020007": b"x",
}  # fmt: skip


@pytest.mark.parametrize("ending", ["", ".dcm"])
@pytest.mark.parametrize("name", COMPANIONS)
def test_convert_accepts_companions_of_slices(tmp_path, out, name, ending):
    for file in write_series(tmp_path / "dicom"):
        file.rename(file.with_name(file.name + ending))
    file = tmp_path / "dicom" / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(COMPANIONS[name])
    assert out.convert(tmp_path / "dicom")[0].shape[2] == 6


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("IM020007", b"", "empty file; copy"),
        ("other.dcm", b"", "empty file; copy"),
        ("IM020007.zip", ZIP, "its name is like those of the slices"),
        ("download", b"<?xml version='1.0'?><Error/>", "a page or an answer of a server"),
        ("result.img", b"<HTML>", "a page or an answer of a server"),
        ("rest", bytes(range(256)), "neither DICOM nor text"),
    ],
)
def test_convert_says_why_a_file_may_be_a_slice(tmp_path, out, name, content, problem):
    write_series(tmp_path / "dicom")
    (tmp_path / "dicom" / name).write_bytes(content)
    assert f"dicom/{name}: {problem}" in out.refusal(tmp_path / "dicom").replace("not DICOM, though ", "")


def test_convert_accepts_copies_of_slices_in_hidden_folders(tmp_path, out):
    for file in write_series(tmp_path / "dicom"):
        (tmp_path / "dicom/.backup").mkdir(exist_ok=True)
        shutil.copy(file, tmp_path / "dicom/.backup")
    assert out.convert(tmp_path / "dicom")[0].shape[2] == 6


def test_convert_flags_slices_without_number_and_fewer_than_stated(tmp_path, out):
    files = write_series(tmp_path / "dicom")
    edited(files[3], InstanceNumber=None)
    out.convert(tmp_path / "dicom")
    assert out.chosen["remarks"] == [
        "series 2: 1 of 6 slices have no number (InstanceNumber); check that no slice is missing"
    ]
    files[0].unlink()
    out.convert(tmp_path / "dicom")
    assert "do not begin at 1" in out.chosen["remarks"][0]
    for file in write_series(tmp_path / "stated", slices=range(5)):
        edited(file, ImagesInAcquisition=6)
    out.convert(tmp_path / "stated")
    assert out.chosen["remarks"] == [
        "series 2: 5 slices, where the headers state 6 (ImagesInAcquisition); check that no slice is missing"
    ]
