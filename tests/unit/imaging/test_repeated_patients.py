"""Patients and images that a sheet has under two names."""

import shutil

import nibabel as nib
import numpy as np
import pydicom
import pytest
import SimpleITK as sitk  # noqa: N813 (its usual name)

from factories.dicom import SECRETS, write_series
from lumbarseg.errors import InputError
from lumbarseg.geometry import sagittal_view, volume
from lumbarseg.imaging.conversion import convert
from lumbarseg.imaging.same_patient import Identity, identify, repetitions, require_distinct_patients, voxel_digest

AFFINE = np.array([[0, 0, -4.4, 10], [-0.8, 0, 0, 5], [0, 0.8, 0, -7], [0, 0, 0, 1.0]])


def dicom(folder, patient, study, images, **changes):
    """Write a series with ids of its own."""
    for number, file in enumerate(write_series(folder, PatientID=patient, **changes)):
        data = pydicom.dcmread(file)
        data.StudyInstanceUID = f"1.2.3.{study}"
        data.SOPInstanceUID = data.file_meta.MediaStorageSOPInstanceUID = f"1.2.3.{images}.{number}"
        data.save_as(file)
    return folder


def shared(sources, participants="ab"):
    """What two or more sessions share, each with its own participant."""
    sessions = {
        (participant, str(n)): identify([source])
        for n, (participant, source) in enumerate(zip(participants, sources, strict=True))
    }
    return [(one.first[0], one.second[0], one.shared) for one in repetitions(sessions)]


def test_repetitions_are_found_by_each_id_of_dicom(tmp_path):
    first = dicom(tmp_path / "first", "P1", 1, 1)
    others = {
        "none": (dicom(tmp_path / "none", "P2", 2, 2), None),
        "patient": (dicom(tmp_path / "patient", " p1", 2, 2, PatientName="Anon"), "the same patient (PatientID)"),
        "study": (dicom(tmp_path / "study", "P2", 1, 2), "the same study (StudyInstanceUID)"),
        "image": (dicom(tmp_path / "image", "P2", 2, 1), "the same image (SOPInstanceUID)"),
        "copy": (shutil.copytree(first, tmp_path / "copy"), "the same image (SOPInstanceUID)"),
    }
    for name, (folder, expected) in others.items():
        assert shared([first, folder]) == ([("a", "b", expected)] if expected else []), name


def test_repetitions_take_numbers_with_and_without_leading_zeros_for_one_patient(tmp_path):
    ids = {"zeros": "00123", "number": "123", "other": "1230", "text": "0A123", "shorter": "A123"}
    folders = {name: dicom(tmp_path / name, ids[name], number, number) for number, name in enumerate(ids, start=1)}
    found = {name: shared([folders["zeros"], folders[name]]) for name in ("number", "other")}
    assert found == {"number": [("a", "b", "the same patient (PatientID)")], "other": []}
    assert shared([folders["text"], folders["shorter"]]) == []


def test_repetitions_accept_a_patient_in_several_sessions_but_not_an_image(tmp_path):
    first, second = dicom(tmp_path / "1", "P1", 1, 1), dicom(tmp_path / "2", "P1", 1, 2)
    assert shared([first, second], "aa") == []
    assert shared([first, first], "aa") == [("a", "a", "the same image (SOPInstanceUID)")]


def test_repetitions_are_not_taken_from_placeholders_and_contradictions(tmp_path):
    for number, patient in enumerate(("", "ANONYMOUS", "anon-7", "000000", "Unknown")):
        folders = [
            dicom(tmp_path / f"{number}{name}", patient, f"9{number}{name}", f"9{number}{name}") for name in (1, 2)
        ]
        assert shared(folders) == [], patient
    born = [dicom(tmp_path / f"b{name}", "P1", 1, f"4{name}", PatientBirthDate=f"195{name}0101") for name in (1, 2)]
    assert shared(born) == []  # two patients, says the birth date
    constant = [dicom(tmp_path / f"c{name}", "P1", f"3{name}", f"3{name}") for name in (1, 2, 3)]
    assert shared(constant, "abc") == []  # what every participant has says nothing
    assert shared([*constant[:2], dicom(tmp_path / "c4", "P4", 34, 34)], "abc") == [
        ("a", "b", "the same patient (PatientID)")
    ]


def test_repetitions_take_an_equal_image_for_one_whatever_else_differs(tmp_path):
    first = dicom(tmp_path / "first", "P1", 1, 1)
    other = dicom(tmp_path / "other", "P2", 2, 1, PatientBirthDate="19710304", PatientSex="M", IssuerOfPatientID="X")
    assert shared([first, other]) == [("a", "b", "the same image (SOPInstanceUID)")]


def test_repetitions_take_dummy_birth_dates_and_other_sexes_for_unknown(tmp_path):
    same = [("a", "b", "the same patient (PatientID)")]
    first = dicom(tmp_path / "first", "P1", 1, 1, PatientBirthDate="19600217", PatientSex="F")
    unknown = [
        ("PatientBirthDate", text)
        for text in (
            "19000101",
            "18991230",
            "00010101",
            "1900",
            "19600101",
            "1960",
            "19600000",
            "1960.02.17",
            "unknown",
        )
    ]
    for number, (name, text) in enumerate([*unknown, *(("PatientSex", sex) for sex in ("O", "U", "X", ""))]):
        fields = {"PatientBirthDate": "19600217", "PatientSex": "F"} | {name: text}
        assert shared([first, dicom(tmp_path / f"s{number}", "P1", f"2{number}", f"2{number}", **fields)]) == same, text
    for number, fields in enumerate(
        ({"PatientBirthDate": "19610101"}, {"PatientBirthDate": "19600218"}, {"PatientSex": "M"})
    ):
        fields = {"PatientBirthDate": "19600217", "PatientSex": "F"} | fields
        assert shared([first, dicom(tmp_path / f"o{number}", "P1", f"3{number}", f"3{number}", **fields)]) == [], fields


def test_repetitions_never_take_a_study_or_an_image_for_a_placeholder(tmp_path):
    study = [dicom(tmp_path / f"s{name}", "", 1, f"1{name}") for name in (1, 2, 3)]
    assert [one[2] for one in shared(study, "abc")] == ["the same study (StudyInstanceUID)"] * 3
    image = [dicom(tmp_path / f"i{name}", "", f"2{name}", 2) for name in (1, 2, 3)]
    assert [one[2] for one in shared(image, "abc")] == ["the same image (SOPInstanceUID)"] * 3


def test_repetitions_find_equal_voxels_whatever_the_format(tmp_path):
    voxels = np.random.default_rng(0).integers(0, 900, (9, 8, 5)).astype("int16")
    nib.save(volume(voxels, AFFINE), tmp_path / "a.nii.gz")
    nib.save(volume(voxels.astype("float32"), AFFINE).as_reoriented([[1, 1], [2, -1], [0, 1]]), tmp_path / "b.nii")
    sitk.WriteImage(sitk.ReadImage(str(tmp_path / "a.nii.gz")), str(tmp_path / "c.mha"))
    voxels[0, 0, 0] += 1
    nib.save(volume(voxels, AFFINE), tmp_path / "d.nii")
    same = "the same image"
    files = [tmp_path / name for name in ("a.nii.gz", "b.nii", "c.mha", "d.nii")]
    assert shared(files, "abcd") == [("a", "b", same), ("a", "c", same), ("b", "c", same)]


def test_identify_takes_nothing_from_sources_that_conversion_refuses(tmp_path):
    (tmp_path / "empty").mkdir()
    cut = dicom(tmp_path / "cut", "P1", 1, 1)
    next(cut.iterdir()).write_bytes(b"")
    for source in (tmp_path / "empty", tmp_path / "missing.nii.gz", tmp_path / "none.txt"):
        assert identify([source]) == Identity()
    assert identify([cut]).voxels == frozenset()


def test_identify_keeps_no_id_as_it_is(tmp_path):
    text = repr(identify([dicom(tmp_path / "1", SECRETS["PatientID"], 1, 1)]))
    assert not any(word in text for word in (SECRETS["PatientID"], SECRETS["PatientBirthDate"], "1.2.3."))


def test_convert_records_the_digest_of_the_voxels(tmp_path):
    write_series(tmp_path / "dicom")
    record = convert(tmp_path / "dicom", "T2w", tmp_path / "t2w.nii.gz", tmp_path / "t2w.json")
    image = nib.load(tmp_path / "t2w.nii.gz")
    assert record["voxels"] == voxel_digest(sagittal_view(np.asarray(image.dataobj), image.affine))
    again = convert(tmp_path / "t2w.nii.gz", "T2w", tmp_path / "again.nii.gz", tmp_path / "again.json")
    assert again["voxels"] == record["voxels"]


def test_require_distinct_patients_names_the_sheet_and_the_sessions():
    patient = Identity(patients=frozenset("x"))
    found = repetitions(
        {("a", "1"): patient, ("a", "2"): patient, ("b", "1"): patient, ("c", "1"): Identity(patients=frozenset("y"))}
    )
    with pytest.raises(
        InputError,
        match=r"sessions\.tsv: sub-a ses-1 and sub-b ses-1 have the same patient \(PatientID\) \(2 such pairs\), so one",
    ):
        require_distinct_patients("sessions.tsv", found)
    image = Identity(voxels=frozenset("x"))
    require_distinct_patients("sessions.tsv", repetitions({("a", "1"): image, ("a", "2"): image}))
