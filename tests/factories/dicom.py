"""Made-up DICOM series, with headers full of what must not come out again."""

import numpy as np
import pydicom
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage

# made up, and nowhere else in the bytes of an image
SECRETS = {
    "PatientName": "Quixano^Dulcinea",
    "PatientID": "HX-4711-QQ",
    "PatientBirthDate": "19530217",
    "OtherPatientIDs": "SSN-998877",
    "PatientAddress": "Calle Mayor 3 Toboso",
    "InstitutionName": "Hospital Barataria",
    "InstitutionAddress": "Barataria Island",
    "StationName": "STATIONZZ",
    "ReferringPhysicianName": "Panza^Sancho",
    "PerformingPhysicianName": "Carrasco^Samson",
    "OperatorsName": "Rocinante^R",
    "StudyDate": "20190823",
    "SeriesDate": "20190823",
    "AcquisitionDate": "20190823",
    "ContentDate": "20190823",
    "StudyTime": "134759",
    "SeriesTime": "134801",
    "AcquisitionTime": "134802.25",
    "AccessionNumber": "ACCQ123456",
    "StudyDescription": "Dulcinea lumbar",
    "SeriesDescription": "seriesfree Dulcinea",
    "ProtocolName": "protocolfree text",
    "ImageComments": "wants a copy",
    "DeviceSerialNumber": "SERIAL8842",
    "StudyID": "STUDYQX",
    "RequestedProcedureDescription": "procedurefree",
}
TIMES = {"T2w": (4000.0, 100.0), "T1w": (550.0, 11.0)}
SPACING, GAP = 0.8, 4.4


def slice_signal(index, rows=24, columns=20):
    return (np.arange(rows * columns).reshape(rows, columns) + 500 * (index + 1)).astype("uint16")


def write_series(
    folder,
    contrast="T2w",
    slices=range(6),
    number=2,
    times=None,
    orientation=(0, 1, 0, 0, 0, -1),
    step=(-1, 0, 0),
    syntax=ExplicitVRLittleEndian,
    image_type=("ORIGINAL", "PRIMARY", "M"),
    **changes,
):
    """Write a made-up 2-D series, by default sagittal from left to right, and give its files."""
    folder.mkdir(parents=True, exist_ok=True)
    files = []
    for index in slices:
        meta = FileMetaDataset()
        meta.MediaStorageSOPClassUID = MRImageStorage
        meta.MediaStorageSOPInstanceUID = f"1.2.826.0.1.3680043.8.498.77.{number}.{index + 1}"
        meta.TransferSyntaxUID = syntax
        data = FileDataset(None, {}, file_meta=meta, preamble=b"\0" * 128)
        for name, value in (SECRETS | {"Manufacturer": "SIEMENS", "ManufacturerModelName": "Avanto"} | changes).items():
            setattr(data, name, value)
        data.SOPClassUID, data.SOPInstanceUID = MRImageStorage, meta.MediaStorageSOPInstanceUID
        data.StudyInstanceUID = "1.2.826.0.1.3680043.8.498.77"
        data.SeriesInstanceUID = f"1.2.826.0.1.3680043.8.498.77.{number}"
        data.FrameOfReferenceUID = "1.2.826.0.1.3680043.8.498.78"
        data.Modality, data.PatientPosition, data.MRAcquisitionType = "MR", "HFS", "2D"
        data.ScanningSequence, data.SequenceVariant = "SE", "SK"
        data.RepetitionTime, data.EchoTime = times or TIMES[contrast]
        data.FlipAngle, data.EchoTrainLength, data.MagneticFieldStrength = 150, 15, 1.5
        data.ImagingFrequency, data.EchoNumbers = 63.68, 1
        data.SliceThickness, data.SpacingBetweenSlices = 4, GAP
        data.SeriesNumber, data.InstanceNumber, data.AcquisitionNumber = number, index + 1, 1
        data.ImageType = list(image_type)
        data.ImageOrientationPatient = list(orientation)
        data.ImagePositionPatient = [
            float(part * GAP * (index - 2.5)) + at for part, at in zip(step, (0, -8, 9), strict=True)
        ]
        signal = slice_signal(index)
        data.Rows, data.Columns = signal.shape
        data.PixelSpacing = [SPACING, SPACING]
        data.SamplesPerPixel, data.PhotometricInterpretation, data.PixelRepresentation = 1, "MONOCHROME2", 0
        data.BitsAllocated, data.BitsStored, data.HighBit = 16, 12, 11
        data.PixelData = signal.tobytes()
        files.append(folder / f"IM{number:02d}{index + 1:04d}")
        data.save_as(files[-1], enforce_file_format=True)
    return files


def edited(file, **fields):
    """Change fields of a DICOM file."""
    data = pydicom.dcmread(file)
    for name, value in fields.items():
        setattr(data, name, value)
    if "Rows" in fields:
        data.PixelData = data.PixelData[: 2 * data.Rows * data.Columns]
    data.save_as(file)
