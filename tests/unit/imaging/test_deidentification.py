"""No name, id, date or free text of a header in any output, message or log: numbers and known codes only."""

import json
import logging

import nibabel as nib
import numpy as np
import pydicom
import pytest
from pydicom.datadict import dictionary_VR, tag_for_keyword
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from factories.conversion import written_bytes
from factories.dicom import edited, write_series
from lumbarseg.errors import InputError
from lumbarseg.imaging.technical_fields import technical_fields

NAME = "DULCINEA"
# Text that a converter may need; a name in it changes what is converted.
STRUCTURAL = {"Modality", "PhotometricInterpretation", "TransferSyntaxUID", "SOPClassUID", "SpecificCharacterSet"}
TEXTS = {"AE", "CS", "LO", "LT", "PN", "SH", "ST", "UC", "UT"}


def write_raw(file, field, content):
    """Write a field as it is, whatever its type allows."""
    data = pydicom.dcmread(file)
    tag = pydicom.tag.Tag(tag_for_keyword(field))
    raw = content.encode("latin-1")
    raw += b" " * (len(raw) % 2)
    data._dict[tag] = RawDataElement(tag, dictionary_VR(tag), len(raw), raw, 0, False, True)
    pydicom.dcmwrite(file, data, enforce_file_format=False)


def fill_with_names(data):
    """Put the name into every text of the dictionary that is no structure, into private fields and into sequences."""
    for tag, (vr, _, _, _, keyword) in pydicom.datadict.DicomDictionary.items():
        group = tag >> 16
        if vr in TEXTS and keyword and keyword not in STRUCTURAL and 0x0008 <= group <= 0x0040 and keyword not in data:
            setattr(data, keyword, NAME)
    for keyword in (
        "ManufacturerModelName",
        "SeriesDescription",
        "StationName",
        "ScanOptions",
        "SequenceName",
        "PatientComments",
    ):
        setattr(data, keyword, NAME)
    block = data.private_block(0x0029, NAME, create=True)
    block.add_new(0x01, "LO", NAME)
    inner = Dataset()
    inner.PatientName = inner.CodeMeaning = NAME
    data.RequestAttributesSequence = Sequence([inner])


def test_convert_writes_and_logs_no_text_of_any_field(tmp_path, out, caplog, capfd):
    caplog.set_level(logging.DEBUG)
    for file in write_series(tmp_path / "dicom"):
        data = pydicom.dcmread(file)
        fill_with_names(data)
        data.save_as(file)
        assert file.read_bytes().count(NAME.encode()) > 200
    out.convert(tmp_path / "dicom")
    for content in [*written_bytes(out.image.parent), json.dumps(out.chosen).encode(), caplog.text.encode()]:
        assert NAME.lower().encode() not in content.lower()
    assert NAME not in "".join(capfd.readouterr())


FIELDS = [
    "SeriesNumber", "InstanceNumber", "AcquisitionNumber", "EchoTime", "RepetitionTime", "InversionTime", "FlipAngle", "EchoNumbers",
    "PixelSpacing", "ImagePositionPatient", "ImageOrientationPatient", "SliceThickness", "SpacingBetweenSlices",
    "RescaleSlope", "RescaleIntercept", "NumberOfFrames", "PatientAge", "PatientWeight", "PatientBirthDate", "StudyDate", "StudyTime",
    "AcquisitionTime", "Modality", "Manufacturer", "ManufacturerModelName", "ImageType", "ScanOptions", "ScanningSequence",
    "SequenceVariant", "MRAcquisitionType", "PatientPosition", "PhotometricInterpretation", "InPlanePhaseEncodingDirection",
    "SeriesInstanceUID", "StudyInstanceUID", "FrameOfReferenceUID", "ImagingFrequency", "SoftwareVersions", "ProtocolName",
]  # fmt: skip


@pytest.mark.parametrize("where", ["all", "last"])
@pytest.mark.parametrize("field", FIELDS)
def test_convert_quotes_no_text_in_a_field_of_another_kind(tmp_path, out, caplog, capfd, field, where):
    files = write_series(tmp_path / "dicom", slices=range(3))
    for file in files if where == "all" else files[2:]:
        write_raw(file, field, NAME)
    try:
        out.convert(tmp_path / "dicom")
    except InputError as error:
        assert NAME not in str(error)
        assert str(tmp_path / "dicom") in str(error)
        assert not out.image.exists()
        # A job's log shows what an error was raised from.
        assert error.__cause__ is None or NAME not in str(error.__cause__)
        assert error.__suppress_context__ or NAME not in str(error.__context__)
    else:
        for content in [*written_bytes(out.image.parent), json.dumps(out.chosen).encode()]:
            assert NAME.encode() not in content
    assert NAME not in caplog.text + "".join(capfd.readouterr())


def test_convert_records_a_series_number_only_if_it_is_a_number(tmp_path, out):
    for file in write_series(tmp_path / "dicom"):
        write_raw(file, "SeriesNumber", "4711 Q")
    out.convert(tmp_path / "dicom")
    assert out.chosen["taken"]["series_number"] == "?"


def test_convert_repeats_no_reason_of_dcm2niix_that_quotes_a_header(tmp_path, out, monkeypatch):
    converter = tmp_path / "dcm2niix"
    monkeypatch.setattr("dcm2niix.bin", str(converter))
    for file in write_series(tmp_path / "dicom"):
        edited(file, ProtocolName="t2 of dulcinea")
    for reason, repeated in (("Error: cannot name it Dulcinea_7", False), ("Error: unable to open it", True)):
        converter.write_text(f'#!/bin/sh\necho "{reason}"; exit 1\n')
        converter.chmod(0o755)
        assert (reason in out.refusal(tmp_path / "dicom")) == repeated


@pytest.mark.parametrize(
    "given",
    [
        {"ManufacturersModelName": "Dulcinea"},
        {"ManufacturersModelName": "Avanto of Dulcinea"},
        {"ManufacturersModelName": "4711"},
        {"ManufacturersModelName": "Victor Vega"},
        {"ManufacturersModelName": "1 9 5 3 0 2"},
        {"ManufacturersModelName": "Avanto 1 5"},
        {"ManufacturersModelName": "\u0664 \u0667"},
        {"Manufacturer": "Healthcare Imaging"},
        {"Manufacturer": "Siemens 3"},
        {"ConversionSoftwareVersion": "19.5.1953"},
        {"ConversionSoftwareVersion": "1.19530217"},
        {"SAR": 19530},
        {"EchoNumber": 47119},
        {"NumberOfSlices": 47119},
        {"FlipAngle": 10**400},
        {"EchoTime": True},
        {"Manufacturer": "Quixano"},
        {"ScanOptions": "HX4711"},
        {"ScanOptions": ["DULCINEA"]},
        {"ScanOptions": "QUIXANO_GEMS"},
        {"PulseSequenceType": "for Dulcinea"},
        {"ConversionSoftwareVersion": "19530217"},
        {"ConversionSoftwareVersion": "Dulcinea"},
        {"ConversionSoftware": "Dulcinea"},
        {"PatientPosition": "HX"},
        {"EchoTime": float("nan")},
        {"EchoTime": float("inf")},
        {"RepetitionTime": 19530217},
        {"FlipAngle": -4711},
        {"EchoTime": [0.1]},
        {"Modality": {"MR": 1}},
    ],
)
def test_technical_fields_drops_unknown_codes_and_impossible_numbers(given):
    assert technical_fields(given) == {}


@pytest.mark.parametrize(
    "kept",
    [
        {"ManufacturersModelName": "SIGNA HDxt"},
        {"ManufacturersModelName": "MAGNETOM Vida Fit"},
        {"ManufacturersModelName": "Ingenia 1.5T"},
        {"ManufacturersModelName": "Vantage Titan"},
        {"ManufacturersModelName": "uMR 780"},
        {"ManufacturersModelName": "uMR Omega"},
        {"ManufacturersModelName": "MAGNETOM_ESSENZA"},
        {"ManufacturersModelName": "Skyra_fit"},
        {"ManufacturersModelName": "Oasis"},
        {"Manufacturer": "Siemens Healthcare GmbH"},
        {"Manufacturer": "TOSHIBA_MEC"},
        {"Manufacturer": "GE MEDICAL SYSTEMS"},
        {"ScanOptions": "PFP\\FS"},
        {"ScanOptions": "FAST_GEMS"},
        {"ScanningSequence": "SE\\IR"},
        {"SequenceVariant": "SK\\SP\\OSP"},
        {"PatientPosition": "FFDR"},
        {"ConversionSoftwareVersion": "v1.0.20260724"},
        {"ConversionSoftwareVersion": nib.__version__},
        {"PulseSequenceType": "Turbo Spin Echo"},
        {"EchoTime": 0.1, "FlipAngle": 0},
    ],
)
def test_technical_fields_keeps_known_codes(kept):
    assert technical_fields(kept) == kept


def test_technical_fields_keeps_the_known_of_several_codes():
    assert technical_fields({"ScanOptions": "FS\\DULCINEA", "SequenceVariant": ["SK", "QUIXANO"]}) == {
        "ScanOptions": "FS",
        "SequenceVariant": ["SK"],
    }


def test_technical_fields_keeps_what_dcm2niix_writes_of_a_series(tmp_path, out):
    write_series(tmp_path / "dicom", ScanOptions=["FS", "SAT1"], ManufacturerModelName="MAGNETOM Vida")
    _, sidecar = out.convert(tmp_path / "dicom")
    assert sidecar["ManufacturersModelName"] == "MAGNETOM Vida"
    assert sidecar["Manufacturer"] == "Siemens"
    assert sidecar["ScanningSequence"] == "SE"
    assert np.isfinite(sidecar["EchoTime"])
