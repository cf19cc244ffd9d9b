"""Conversion of DICOM and image files to de-identified NIfTI."""

import json
import os
import shutil

import nibabel as nib
import numpy as np
import pydicom
import pytest
import SimpleITK as sitk  # noqa: N813 (its usual name)
from pydicom.sequence import Sequence
from pydicom.uid import EnhancedMRImageStorage, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from factories.conversion import Conversion, written_bytes
from factories.dicom import GAP, SECRETS, slice_signal, write_series
from lumbarseg.errors import InputError
from lumbarseg.geometry import sagittal_view, volume
from lumbarseg.imaging.conversion import technical_fields
from lumbarseg.imaging.dicom_folder import find_series


@pytest.fixture
def out(tmp_path):
    return Conversion(tmp_path / "out")


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian])
def test_convert_places_voxels_as_the_dicom_header_says(tmp_path, out, syntax):
    write_series(tmp_path / "dicom", syntax=syntax)
    image, sidecar = out.convert(tmp_path / "dicom")
    view = sagittal_view(np.asanyarray(image.dataobj), image.affine)
    # written from left to right, rows head to feet, columns front to back
    np.testing.assert_array_equal(view, np.stack([slice_signal(index) for index in range(6)])[::-1])
    for index in range(6):
        position = np.array([-GAP * (index - 2.5), -8, 9]) * [-1, -1, 1]  # LPS to RAS
        voxel = np.linalg.inv(image.affine) @ [*position, 1]
        assert image.dataobj[tuple(np.rint(voxel[:3]).astype(int))] == slice_signal(index)[0, 0]
        np.testing.assert_allclose(voxel, np.rint(voxel), atol=1e-3)
    assert image.get_data_dtype() == np.int16
    assert nib.load(out.image).header["sform_code"] == nib.load(out.image).header["qform_code"] == 1
    assert sidecar["RepetitionTime"] == 4
    assert sidecar["EchoTime"] == 0.1
    assert sidecar["FlipAngle"] == 150
    assert sidecar["EchoTrainLength"] == 15
    assert sidecar["MagneticFieldStrength"] == 1.5
    assert sidecar["ImagingFrequency"] == 63.68
    assert sidecar["SliceThickness"] == 4
    assert sidecar["SpacingBetweenSlices"] == GAP
    assert sidecar["ManufacturersModelName"] == "Avanto"
    assert sidecar["ConversionSoftware"] == "dcm2niix"


def test_convert_writes_nothing_that_identifies_patient_place_or_day(tmp_path, out):
    files = write_series(tmp_path / "dicom")
    searched = {part for value in SECRETS.values() for part in (value, *value.replace("^", " ").split())} - {
        "lumbar",
        "a",
        "copy",
    }
    searched |= {"13:47:5", "13:48:0", "2019-08-23", "1953-02-17", "1.2.826.0.1.3680043", "Dulcinea", "Quixano"}
    searched = {word for word in searched if len(word) > 3}
    given = b"".join(file.read_bytes() for file in files)
    assert sum(word.encode() in given for word in searched) > 30  # the search finds them where they are
    out.convert(tmp_path / "dicom")
    assert sorted(path.name for path in out.image.parent.iterdir()) == ["t2w.json", "t2w.nii.gz"]
    for content in [*written_bytes(out.image.parent), json.dumps(out.chosen).encode()]:
        for word in searched:
            assert word.encode().lower() not in content.lower(), word
        assert b".part-" not in content
        assert str(tmp_path).encode() not in content
    header = nib.load(out.image).header
    assert all(header[name] == b"" for name in ("descrip", "db_name", "aux_file", "intent_name"))
    assert len(header.extensions) == 0


def test_convert_is_reproducible_to_the_byte(tmp_path, out):
    write_series(tmp_path / "dicom")
    out.convert(tmp_path / "dicom")
    first = out.image.read_bytes(), out.sidecar.read_bytes()
    out.convert(tmp_path / "dicom")
    assert (out.image.read_bytes(), out.sidecar.read_bytes()) == first


def test_convert_selects_the_sagittal_series_with_the_times_of_the_contrast(tmp_path, out):
    folder = tmp_path / "study"
    write_series(folder / "a", "T2w", slices=range(5), number=2)
    write_series(folder / "b", "T1w", slices=range(6), number=3)
    write_series(folder / "c", "T2w", number=4, orientation=(1, 0, 0, 0, 1, 0), step=(0, 0, 1))
    write_series(folder / "d", times=(300.0, 8.0), number=1, image_type=("ORIGINAL", "PRIMARY", "LOCALIZER"))
    write_series(folder / "e", times=(4500.0, 70.0), number=5, InversionTime=150)  # fat suppressed
    (folder / "report.pdf").write_bytes(b"%PDF")
    (folder / ".DS_Store").write_bytes(b"")
    assert out.convert(folder, "T2w")[0].shape[2] == 5
    assert out.convert(folder, "T1w")[0].shape[2] == 6
    write_series(folder / "f", "T2w", slices=range(4), number=7)
    out.image.unlink()
    message = out.refusal(folder, "T2w")
    assert "2 series could be the sagittal T2w" in message
    assert "series 7, 4 slices, sagittal, TR 4000 ms, TE 100 ms" in message
    shutil.rmtree(folder / "b")
    assert "no sagittal T1w series" in out.refusal(folder, "T1w")


def test_find_series_separates_the_echoes_of_a_series(tmp_path, out):
    write_series(tmp_path / "dicom", times=(3000.0, 15.0), number=2)
    for file in (tmp_path / "dicom").iterdir():
        file.rename(file.with_name("early" + file.name))
    write_series(tmp_path / "dicom", times=(3000.0, 90.0), number=2)
    assert [len(one.slices) for one in find_series(tmp_path / "dicom")] == [6, 6]
    assert out.convert(tmp_path / "dicom")[1]["EchoTime"] == 0.09


def test_convert_takes_a_single_series_unless_its_times_are_of_the_other_contrast(tmp_path, out):
    write_series(tmp_path / "unknown", times=("", ""))
    assert out.convert(tmp_path / "unknown")[0].shape[2] == 6
    out.image.unlink()
    write_series(tmp_path / "t1", "T1w")
    assert "the series has the times of T1w, not of T2w" in out.refusal(tmp_path / "t1", "T2w")


def test_convert_rejects_a_localiser_alone(tmp_path, out):
    write_series(tmp_path / "loc", image_type=("ORIGINAL", "PRIMARY", "LOCALIZER"))
    assert "only a localiser (series 2" in out.refusal(tmp_path / "loc")
    write_series(tmp_path / "named", SeriesDescription="3-pl loc")
    assert "only a localiser" in out.refusal(tmp_path / "named")


def test_convert_uses_series_names_only_without_times(tmp_path, out):
    folder = tmp_path / "study"
    write_series(folder / "a", times=("", ""), number=2, SeriesDescription="T2 TSE sag", slices=range(5))
    write_series(folder / "b", times=("", ""), number=3, SeriesDescription="T1 TSE sag", slices=range(4))
    assert out.convert(folder, "T1w")[0].shape[2] == 4
    assert out.chosen["taken"]["reason"] == "sagittal, named after the contrast; no header has times"
    write_series(folder / "c", "T1w", number=4, SeriesDescription="T2 it is not")  # times before names
    assert out.convert(folder, "T1w")[0].shape[2] == 6


@pytest.mark.parametrize(
    "twin",
    [
        {"ScanOptions": "FS"},
        {"SeriesDescription": "t2 stir"},
        {"SeriesDescription": "t2 fs"},
        {"image_type": ("DERIVED", "SECONDARY", "MPR")},
    ],
)
def test_convert_prefers_originals_without_fat_suppression_and_records_the_choice(tmp_path, out, twin):
    folder = tmp_path / "study"
    write_series(folder / "a", number=2, slices=range(5))
    write_series(folder / "b", number=3, **twin)
    write_series(folder / "c", "T1w", number=4)
    assert out.convert(folder, "T2w")[0].shape[2] == 5
    assert out.chosen["source"] == "dicom"
    assert out.chosen["taken"] == {
        "series_number": "2", "slices": 5, "plane": "sagittal", "rows": 24, "columns": 20, "repetition_time_ms": 4000.0,
        "echo_time_ms": 100.0, "inversion_time_ms": None, "localiser": False, "derived": False, "fat_suppressed": False,
        "reason": "sagittal, with the times of the contrast",
    }  # fmt: skip
    reasons = {one["series_number"]: one["reason"] for one in out.chosen["passed_over"]}
    assert reasons == {
        "3": "derived from other images" if "image_type" in twin else "fat-suppressed",
        "4": "times of T1w",
    }


@pytest.mark.parametrize(
    ("fields", "demographics"),
    [
        (
            {"PatientAge": "053Y", "PatientSex": "F", "PatientWeight": "74.5"},
            {"age": "53", "sex": "F", "weight": "74.5"},
        ),
        ({"PatientAge": "018M", "PatientSex": "O"}, {"age": "1"}),
        ({"PatientBirthDate": "19530824", "StudyDate": "20190823"}, {"age": "65"}),
        ({"PatientBirthDate": "19190102", "StudyDate": "20190823"}, {"age": "90"}),  # ages above 89 identify a person
        ({"PatientAge": "104Y"}, {"age": "90"}),
        ({"PatientBirthDate": "20190824", "StudyDate": "20190823"}, {}),  # born after the study
        ({"PatientBirthDate": "00010101", "StudyDate": "20190823"}, {}),
        ({"PatientBirthDate": "19000101", "StudyDate": "20190823"}, {}),
        ({"PatientBirthDate": "18800101", "StudyDate": "20190823"}, {}),
        ({"PatientBirthDate": "19530217", "StudyDate": "00010101"}, {}),
        ({"PatientBirthDate": "19530217", "StudyDate": "19700101"}, {}),  # before MR
        ({"PatientBirthDate": "20190823", "StudyDate": "20190823"}, {}),
        ({"PatientBirthDate": "", "StudyDate": "20190823"}, {}),
        ({"PatientAge": "999Y", "PatientBirthDate": "19530824", "StudyDate": "20190823"}, {"age": "65"}),
        ({"PatientAge": "000Y", "PatientBirthDate": ""}, {}),
        ({"PatientBirthDate": "", "PatientWeight": "9999"}, {}),
        ({"PatientBirthDate": "", "PatientWeight": "0"}, {}),
    ],
)
def test_convert_records_plausible_age_sex_and_weight_only(tmp_path, out, fields, demographics):
    write_series(tmp_path / "dicom", **fields)
    out.convert(tmp_path / "dicom")
    assert out.chosen["demographics"] == demographics


def test_convert_rejects_constant_and_non_sagittal_images(tmp_path, out):
    sagittal = np.array([[0, 0, -4.4, 10], [-0.8, 0, 0, 5], [0, 0.8, 0, -7], [0, 0, 0, 1.0]])
    nib.save(volume(np.zeros((9, 8, 5), "int16"), sagittal), tmp_path / "empty.nii.gz")
    assert "every voxel is 0" in out.refusal(tmp_path / "empty.nii.gz")
    voxels = np.arange(9 * 8 * 5, dtype="int16").reshape(9, 8, 5)
    for step, plane in ((2, "axial"), (1, "coronal")):
        affine = np.diag([0.8, 0.8, 0.8, 1])
        affine[step, step] = 4
        nib.save(volume(voxels, affine), tmp_path / "other.nii.gz")
        message = out.refusal(tmp_path / "other.nii.gz")
        assert f"{plane} slices (4 mm apart, pixels of 0.8 mm), not sagittal ones" in message
    nib.save(volume(voxels, np.diag([1, 1, 1.0, 1])), tmp_path / "isotropic.nii.gz")
    out.convert(tmp_path / "isotropic.nii.gz")


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


def edited(file, **fields):
    """Change fields of a DICOM file."""
    data = pydicom.dcmread(file)
    for name, value in fields.items():
        setattr(data, name, value)
    if "Rows" in fields:
        data.PixelData = data.PixelData[: 2 * data.Rows * data.Columns]
    data.save_as(file)


def rounded_cosines(decimals):
    """Direction cosines of a turned series, rounded, with an error of the last digit that differs between slices."""
    turn = np.radians(2)
    exact = np.array([np.sin(turn), np.cos(turn), 0, 0, 0, -1])
    normal = np.cross(exact[:3], exact[3:])
    digit = 10.0**-decimals
    return [
        {
            "ImageOrientationPatient": (exact + digit * np.eye(6)[index] / 2).round(decimals).tolist(),
            "ImagePositionPatient": (normal * GAP * (index - 2.5) + (0, -8, 9)).round(decimals).tolist(),
        }
        for index in range(6)
    ]


JITTER = {
    "echo time in the last digit": [{"EchoTime": 98.80001 if index == 2 else 98.8} for index in range(6)],
    "echo times on both sides of a rounding": [{"EchoTime": (99.94, 99.96)[index % 2]} for index in range(6)],
    "another echo time at the end": [{"EchoTime": 99.96 if index == 5 else 99.94} for index in range(6)],
    "measured echo times": [{"EchoTime": 99.1 + 0.3 * index} for index in range(6)],
    "a missing echo time": [{"EchoTime": "" if index == 3 else 100} for index in range(6)],
    "a missing echo time at the start": [{"EchoTime": "" if index == 0 else 100} for index in range(6)],
    "pixel spacing": [{"PixelSpacing": [0.8 + 1e-5 * (index % 2), 0.8]} for index in range(6)],
    "repetition time": [{"RepetitionTime": 4000 + index / 7} for index in range(6)],
    "flip angle": [{"FlipAngle": 150 - index / 100} for index in range(6)],
    "cosines of four decimals": rounded_cosines(4),
    "cosines of three decimals": rounded_cosines(3),
    "protocol name": [{"ProtocolName": f"protocol {index}"} for index in range(6)],
}


@pytest.mark.parametrize("fields", JITTER.values(), ids=JITTER)
def test_convert_keeps_series_whole_whose_slices_differ_in_the_last_digit(tmp_path, out, fields):
    for file, changes in zip(write_series(tmp_path / "dicom"), fields, strict=True):
        edited(file, **changes)
    write_series(tmp_path / "dicom" / "t1", "T1w", number=3)
    image, sidecar = out.convert(tmp_path / "dicom")
    view = sagittal_view(np.asanyarray(image.dataobj), image.affine)
    np.testing.assert_array_equal(view, np.stack([slice_signal(index) for index in range(6)])[::-1])
    assert out.chosen["taken"]["slices"] == 6
    assert 0.09 < sidecar["EchoTime"] < 0.11
    for index in range(6):
        position = fields[index].get("ImagePositionPatient", [-GAP * (index - 2.5), -8, 9])
        at = np.linalg.inv(image.affine) @ [*(position * np.array([-1, -1, 1])), 1]  # LPS to RAS
        np.testing.assert_allclose(at, np.rint(at), atol=0.02)
        assert image.dataobj[tuple(np.rint(at[:3]).astype(int))] == slice_signal(index)[0, 0]


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


def test_convert_rejects_what_dcm2niix_warns_of(tmp_path, out, monkeypatch):
    write_series(tmp_path / "dicom")
    converter = tmp_path / "dcm2niix"
    monkeypatch.setattr("dcm2niix.bin", str(converter))

    def says(script):
        converter.write_text(f"#!/bin/sh\n{script}\n")
        converter.chmod(0o755)
        return out.refusal(tmp_path / "dicom")

    assert "Missing images? Expected 6" in says('echo "Warning: Missing images? Expected 6 images"')
    assert "Interslice distance varies" in says('echo "Warning: Interslice distance varies in this volume" >&2')
    assert f"could not convert the 6 slices: Error: cut: {tmp_path}/dicom/IM020001 (exit code 1)" in says(
        'for last; do :; done; echo "Error: cut: $last/00000.dcm"; exit 1'
    )
    assert "made 0 volumes of the 6 slices" in says("exit 0")
    three = volume(
        np.zeros((20, 24, 5), "int16"), np.array([[0, 0, -4, 0], [-1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 1.0]])
    )
    nib.save(three, tmp_path / "five.nii")
    copy = f'while [ "$1" != -o ]; do shift; done; cp {tmp_path}/five.nii "$2/image.nii"; echo "{{}}" > "$2/image.json"'
    assert "converted 5 of the 6 slices" in says(copy)
    assert "made 2 volumes of the 6 slices" in says(f'{copy}; cp {tmp_path}/five.nii "$2/image_Eq_1.nii"')


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


@pytest.mark.parametrize("ending", [".nii", ".nii.gz", ".mha", ".nrrd"])
def test_convert_keeps_voxels_and_drops_text_of_image_files(tmp_path, out, ending):
    affine = np.array([[0, 0, -4.4, 10], [-0.8, 0, 0, 5], [0, 0.8, 0, -7], [0, 0, 0, 1.0]])
    voxels = np.random.default_rng(0).integers(0, 4095, size=(9, 8, 5)).astype("uint16")
    image = volume(voxels, affine)
    image.header["descrip"], image.header["db_name"], image.header["aux_file"] = (
        b"Dulcinea 20190823",
        b"Quixano",
        b"HX-4711",
    )
    image.header.extensions.append(nib.nifti1.Nifti1Extension("comment", b"Panza^Sancho"))
    source = tmp_path / "in" / f"scan{ending}"
    source.parent.mkdir()
    nib.save(image, tmp_path / "in" / "other.nii")
    if ending.startswith(".nii"):
        nib.save(image, source)
    else:
        sitk.WriteImage(sitk.ReadImage(str(tmp_path / "in" / "other.nii")), str(source))
    (tmp_path / "in" / "scan.json").write_text(
        json.dumps(
            {
                "EchoTime": 0.1,
                "SeriesDescription": "Dulcinea",
                "AcquisitionTime": "13:47:59",
                "RepetitionTime": "HX-4711",
            }
        )
    )
    converted, sidecar = out.convert(source)
    np.testing.assert_array_equal(converted.get_fdata(), voxels)
    np.testing.assert_allclose(converted.affine, affine, atol=1e-4)
    assert converted.get_data_dtype() == np.int16
    assert sidecar["EchoTime"] == 0.1
    assert set(sidecar) == {"Modality", "EchoTime", "ConversionSoftware", "ConversionSoftwareVersion"}
    for content in written_bytes(out.image.parent):
        for word in (b"Dulcinea", b"2019", b"Quixano", b"HX-4711", b"Panza", b"13:47"):
            assert word not in content


@pytest.mark.parametrize(
    ("dtype", "highest", "stored"),
    [("uint8", 200, "int16"), ("uint16", 60000, "int32"), ("float64", 0.5, "float32"), ("int64", 2**40, "float32")],
)
def test_convert_stores_voxels_in_the_smallest_sufficient_dtype(tmp_path, out, dtype, highest, stored):
    voxels = np.zeros((4, 4, 3), dtype)
    voxels[1, 1, 1] = highest
    nib.save(volume(voxels, np.diag([-4, -1, 1, 1])), tmp_path / "scan.nii.gz")
    converted, sidecar = out.convert(tmp_path / "scan.nii.gz")
    assert converted.get_data_dtype() == stored
    assert converted.get_fdata()[1, 1, 1] == highest
    assert sidecar["ConversionSoftware"] == "nibabel"


def test_convert_rejects_sidecars_that_are_not_json_objects(tmp_path, out):
    nib.save(volume(np.ones((4, 4, 3), "int16"), np.eye(4)), tmp_path / "scan.nii.gz")
    for content in ("{not json", "[1, 2]"):
        (tmp_path / "scan.json").write_text(content)
        with pytest.raises(InputError, match=r"scan\.json: (not a JSON sidecar|a JSON list instead of an object)"):
            out.convert(tmp_path / "scan.nii.gz")


def test_technical_fields_keeps_known_fields_of_the_right_type():
    given = {
        "EchoTime": 0.1,
        "FlipAngle": 150,
        "Manufacturer": "GE",
        "ScanOptions": ["FS", "SAT1"],
        "RepetitionTime": "2019-08-23",
        "SAR": True,
        "ManufacturersModelName": "Signa 20190823",
        "ScanningSequence": "SE\n<b>",
        "PatientName": "Quixano",
        "SeriesDescription": "T2",
        "InstitutionName": "Barataria",
        "AcquisitionTime": "10:00",
        "ImageComments": "x",
        "SliceTiming": [0, 1],
        "ConversionSoftwareVersion": "v1.0.20260724",
    }
    assert technical_fields(given) == {
        "EchoTime": 0.1,
        "FlipAngle": 150,
        "Manufacturer": "GE",
        "ScanOptions": ["FS", "SAT1"],
        "ConversionSoftwareVersion": "v1.0.20260724",
    }
