"""Conversion of DICOM and image files to de-identified NIfTI."""

import json
import shutil

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813 (its usual name)
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian

from factories.conversion import written_bytes
from factories.dicom import GAP, SECRETS, edited, slice_signal, write_series
from lumbarseg.errors import InputError
from lumbarseg.geometry import sagittal_view, volume
from lumbarseg.imaging.technical_fields import technical_fields


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


@pytest.mark.parametrize(
    "scaled",
    [
        lambda values: values * 1e300,
        lambda values: values * 1e35,
        lambda values: values * 1e-50,
        lambda values: np.where(values == values.max(), 1e39, values),
        lambda values: values / 1e6 + 1e9,
    ],
)
def test_convert_rejects_values_that_float32_cannot_hold(tmp_path, out, scaled):
    values = scaled(np.arange(48.0).reshape(4, 4, 3))
    nib.save(volume(values, np.diag([-4, -1, 1, 1])), tmp_path / "scan.nii.gz")
    assert "cannot be stored as float32; scale them" in out.refusal(tmp_path / "scan.nii.gz")
