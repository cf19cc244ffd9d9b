"""Label maps as DICOM-SEG with references to the T2w series (DICOM PS3.3, A.51), for viewers and archives.

Study, series, slices and frame of reference are those of the T2w series, because a viewer overlays the two by them; name,
id, dates and all free text are left empty.
"""

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path

import highdicom as hd
import nibabel as nib
import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.sr.codedict import codes
from pydicom.uid import UID

import lumbarseg
from lumbarseg.atomic_io import atomic_write
from lumbarseg.errors import InputError
from lumbarseg.geometry import corner_displacement, nearest_perpendicular
from lumbarseg.imaging.dicom_folder import find_series
from lumbarseg.imaging.dicom_headers import text_of, without_messages_of_pydicom
from lumbarseg.imaging.dicom_series import Slice
from lumbarseg.imaging.series_selection import choose_series
from lumbarseg.labels import LabelTable

# SNOMED CT codes of the paper's classes; other classes are coded as tissue, with their name as label.
_TYPES = {
    "Vert": codes.SCT.Vertebra,
    "Sacrum": codes.SCT.Sacrum,
    "Int-Disc": hd.sr.CodedConcept("360499006", "SCT", "Intervertebral disc"),
    "Spinal-Cavity": codes.SCT.VertebralCanal,
    "SCT": codes.SCT.SubcutaneousTissue,
    "Epi-Fat": codes.SCT.AdiposeTissue,
    "IM-Fat": codes.SCT.AdiposeTissue,
    "Rper-Fat": codes.SCT.AdiposeTissue,
    "Nerve-Root": codes.SCT.Nerve,
    "Blood-Vessels": codes.SCT.BloodVessel,
    "Muscle": codes.SCT.Muscle,
}
_STRUCTURES = ("Vert", "Sacrum", "Int-Disc", "Spinal-Cavity", "Nerve-Root", "Blood-Vessels")
# All attributes copied from the T2w series: type, geometry, and identifiers without a name.
_COPIED = (
    "SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID", "Modality", "ImageType",
    "SeriesNumber", "InstanceNumber", "Rows", "Columns", "NumberOfFrames", "PixelSpacing", "SliceThickness",
    "SpacingBetweenSlices", "ImagePositionPatient", "ImageOrientationPatient", "SharedFunctionalGroupsSequence",
    "PerFrameFunctionalGroupsSequence", "SamplesPerPixel", "PhotometricInterpretation", "BitsAllocated", "BitsStored", "HighBit",
    "PixelRepresentation",
)  # fmt: skip
# Attributes that DICOM requires but allows to be empty (type 2).
_LEFT_EMPTY = (
    "PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime", "AccessionNumber", "StudyID",
    "ReferringPhysicianName", "PositionReferenceIndicator", "Manufacturer",
)  # fmt: skip
_NO_TIME = "19800101", "000000"
# Of these, all that a DICOM-SEG quotes; valid ones say nothing but the scanner that made them (PS3.5, 9.1).
_IDENTIFIERS = ("FrameOfReferenceUID", "StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "SOPClassUID")
_UID = re.compile(r"(?=.{1,64}$)\d+(\.\d+)+")
_LARGEST_NUMBER = 2**31 - 2000  # of a series
_NEAR = 0.2  # voxels; displacement of a corner that rounding in headers may cause
_UNEVEN = 0.05  # relative deviation of slice distances that rounding in headers may cause


def write_dicomseg(
    path: str | Path, label_map: nib.Nifti1Image, source: Path, labels: LabelTable, algorithm: str
) -> None:
    """Write a label map as a binary DICOM-SEG with one segment per class.

    Only the classes that were found are segments. If the whole label map is background, all classes are segments whose
    frames are empty: the object then says what was searched for and not found.

    Args:
        path: the `.dcm` to write. The same labels give the same bytes.
        label_map: class ids on the grid of the T2w image that was converted from `source`.
        source: the folder of the T2w series; of several series, the one that conversion selects.
        labels: the classes; the background is no segment.
        algorithm: name of the experiment.

    Raises:
        InputError: the slices of the folder's T2w series are not the grid of the label map, or they name no frame of reference.
    """
    found = find_series(source)
    chosen = choose_series(source, found, "T2w").series
    files = chosen.files
    # All frames of these files in their order, because highdicom expects one plane for each.
    slices = sorted(
        (one for series in found for one in series.slices if one.file in files), key=lambda s: (s.file, s.frame)
    )
    with without_messages_of_pydicom():
        datasets = [pydicom.dcmread(file, force=True) for file in files]
        identifiers = {name: [text_of(dataset, name) for dataset in datasets] for name in _IDENTIFIERS}
    if not all(identifiers["FrameOfReferenceUID"]):
        raise InputError(
            f"{source}: the T2w series has no Frame of Reference UID, by which viewers overlay a DICOM-SEG; use the labels as NIfTI"
        )
    for name, values in identifiers.items():
        if not all(_UID.fullmatch(value) for value in values):
            raise InputError(
                f"{source}: {name} of the T2w series is no identifier (digits and dots), so it may be a name and is not copied to "
                "a DICOM-SEG; use the labels as NIfTI"
            )
    try:
        planes = labels_on_slices(label_map, slices)
    except ValueError as error:
        raise InputError(
            f"{source}: the slices are not those of the label map ({error}); restore the folder as it was when it was converted"
        ) from error
    segments = [c for c in labels.foreground_ids if (planes == c).any()] or labels.foreground_ids
    # Segments are numbered 1, 2 … without gaps.
    numbers = np.zeros(len(labels), np.uint8)
    numbers[segments] = np.arange(1, len(segments) + 1)
    with without_messages_of_pydicom():
        made = hd.seg.Segmentation(
            source_images=[_without_identity(dataset) for dataset in datasets],
            pixel_array=numbers[planes],
            segmentation_type=hd.seg.SegmentationTypeValues.BINARY,
            segment_descriptions=[_segment(int(numbers[c]), labels, c, algorithm) for c in segments],
            series_instance_uid=_uid(datasets, algorithm, "series"),
            series_number=_number_after(chosen.typical.number),
            sop_instance_uid=_uid(datasets, algorithm, hashlib.sha256(planes.tobytes()).hexdigest()),
            instance_number=1,
            manufacturer="lumbarseg",
            manufacturer_model_name="lumbarseg",
            software_versions=lumbarseg.__version__,
            device_serial_number="0",
            content_label="LUMBAR_SPINE",
            content_description=f"Segmentation by {algorithm}"[:64],
        )
        made.SeriesDescription = f"Segmentation by {algorithm}"[:64]
        _without_clock(made, _uid(datasets, algorithm, "dimensions"))
        with atomic_write(path) as temporary:
            made.save_as(temporary)


def labels_on_slices(label_map: nib.Nifti1Image, slices: Sequence[Slice]) -> NDArray[np.uint8]:
    """Return the labels on the pixels of DICOM slices, whatever the order and direction of the axes of either.

    Args:
        label_map: class ids, (i, j, k).
        slices: the slices of one stack, in any order; several may lie at the same position.

    Returns:
        (slices, rows, columns) uint8, in the order of `slices`.

    Raises:
        ValueError: the slices are not the grid of the label map.
    """
    one = slices[0]
    orientation = nearest_perpendicular(np.reshape(one.orientation, (2, 3)).T).T.ravel().tolist()
    spacing, places = hd.spatial.get_volume_positions(
        [each.position for each in slices], orientation, rtol=_UNEVEN, allow_duplicate_positions=True
    )
    if spacing is None or places is None:
        raise ValueError("they are not evenly spaced")
    grid = hd.VolumeGeometry.from_attributes(
        image_position=slices[places.index(0)].position,
        image_orientation=orientation,
        rows=one.size[0],
        columns=one.size[1],
        pixel_spacing=one.pixel_spacing,
        spacing_between_slices=spacing,
        number_of_frames=max(places) + 1,
        coordinate_system=hd.CoordinateSystemNames.PATIENT,
    )
    affine = label_map.affine.copy()
    lengths = np.linalg.norm(affine[:3, :3], axis=0)
    affine[:3, :3] = nearest_perpendicular(affine[:3, :3] / lengths) * lengths
    volume = hd.Volume(
        np.asarray(label_map.dataobj, dtype=np.uint8),
        affine,
        hd.CoordinateSystemNames.PATIENT,
        from_reference_convention="RAS",
    ).match_orientation(grid)
    if volume.spatial_shape != grid.spatial_shape:
        raise ValueError(f"{grid.spatial_shape} instead of {volume.spatial_shape} slices, rows and columns")
    displacement = corner_displacement(grid.spatial_shape, volume.affine, grid.affine)
    if displacement > _NEAR * min(grid.spacing):
        raise ValueError(f"a corner lies {displacement:.2g} mm away")
    return volume.array[places]


def _segment(number: int, labels: LabelTable, tissue: int, algorithm: str) -> hd.seg.SegmentDescription:
    name = labels[tissue].name
    rgb = labels.colours()[tissue]
    return hd.seg.SegmentDescription(
        segment_number=number,
        segment_label=name,
        segmented_property_category=codes.SCT.AnatomicalStructure if name in _STRUCTURES else codes.SCT.Tissue,
        segmented_property_type=_TYPES.get(name, codes.SCT.Tissue),
        algorithm_type=hd.seg.SegmentAlgorithmTypeValues.AUTOMATIC,
        algorithm_identification=hd.AlgorithmIdentificationSequence(
            name=algorithm, version=lumbarseg.__version__, family=codes.DCM.ArtificialIntelligence
        ),
        display_color=hd.color.CIELabColor.from_rgb(*(int(part) for part in rgb)),
    )


def _uid(datasets: Sequence[pydicom.Dataset], *parts: str) -> UID:
    """Return an identifier derived from slices and labels, so that the same segmentation keeps its identity."""
    return UID(pydicom.uid.generate_uid(entropy_srcs=[*(str(one.SOPInstanceUID) for one in datasets), *parts]))


def _without_clock(made: pydicom.Dataset, dimensions: UID) -> None:
    """Remove when an object was written, and replace the identifier of its dimensions, which is drawn at random.

    The same segmentation then gives the same bytes. DICOM requires a date and time of the content: those are fixed.
    """
    made.ContentDate, made.ContentTime = _NO_TIME
    for name in ("InstanceCreationDate", "InstanceCreationTime"):
        if name in made:
            delattr(made, name)
    for part in made.get("ContributingEquipmentSequence", []):
        if "ContributionDateTime" in part:
            del part.ContributionDateTime
    for part in [*made.DimensionOrganizationSequence, *made.DimensionIndexSequence]:
        part.DimensionOrganizationUID = dimensions


def _number_after(number: str) -> int:
    """Return the number of the series of labels: that of the T2w series plus 1000, or 1000 if it has none."""
    return 1000 + (int(number) if number.isdigit() and int(number) < _LARGEST_NUMBER else 0)


def _without_identity(dataset: pydicom.Dataset) -> pydicom.Dataset:
    """Return the attributes of a slice that highdicom needs, without those that identify the patient."""
    copied = pydicom.Dataset()
    copied.file_meta = dataset.file_meta
    for name in _COPIED:
        if name in dataset:
            copied[name] = dataset[name]
    for name in _LEFT_EMPTY:
        setattr(copied, name, "")
    return copied
