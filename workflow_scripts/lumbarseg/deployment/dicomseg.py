"""A label map as DICOM-SEG that refers to the T2w series (DICOM PS3.3, A.51), so that viewers and archives show it there.

Identity: the references to study, series, slices and frame of reference are those of the T2w series, or a viewer could not lay
one over the other; name, id, dates and every free text are left empty.
"""

import hashlib
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

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
from lumbarseg.geometry import corner_displacement
from lumbarseg.imaging.dicom_series import find_series
from lumbarseg.imaging.series_selection import choose_series
from lumbarseg.labels import LabelTable

# SNOMED CT's codes for the paper's classes; any other class is a tissue with its name as label.
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
# All that is taken from the T2w series: what it is, where it lies, and whose study it belongs to by number alone.
_TAKEN = (
    "SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID", "Modality", "ImageType",
    "SeriesNumber", "InstanceNumber", "Rows", "Columns", "NumberOfFrames", "PixelSpacing", "SliceThickness",
    "SpacingBetweenSlices", "ImagePositionPatient", "ImageOrientationPatient", "SharedFunctionalGroupsSequence",
    "PerFrameFunctionalGroupsSequence", "SamplesPerPixel", "PhotometricInterpretation", "BitsAllocated", "BitsStored", "HighBit",
    "PixelRepresentation",
)  # fmt: skip
# What DICOM wants to be there, though it may be empty (type 2).
_LEFT_EMPTY = (
    "PatientName", "PatientID", "PatientBirthDate", "PatientSex", "StudyDate", "StudyTime", "AccessionNumber", "StudyID",
    "ReferringPhysicianName", "PositionReferenceIndicator", "Manufacturer",
)  # fmt: skip
_NEAR = 0.2  # voxels; what rounding in headers may move a corner of a plane


def write_dicomseg(
    path: str | Path, label_map: nib.Nifti1Image, source: Path, labels: LabelTable, algorithm: str
) -> None:
    """Write a label map as a binary DICOM-SEG, a segment a class.

    Args:
        path: the `.dcm` to write.
        label_map: class ids on the grid of the T2w image that was converted from `source`.
        source: the folder of the T2w series; of several in it, the one that conversion takes.
        labels: the classes; the background is no segment.
        algorithm: the experiment's name.

    Raises:
        InputError: the folder's T2w series does not lie where the label map does, or there is nothing but background.
    """
    # The series that the conversion took.
    series = choose_series(source, find_series(source), "T2w").series
    datasets = [pydicom.dcmread(file) for file in series.files]
    try:
        frames = sample_planes(np.asarray(label_map.dataobj, dtype=np.uint8), label_map.affine, _all_planes(datasets))
    except ValueError as error:
        raise InputError(
            f"{source}: expected the slices on which the label map lies, found others ({error}); has the folder changed since it "
            "was converted?"
        ) from error
    present = [tissue for tissue in labels.foreground_ids if (frames == tissue).any()]
    if not present:
        raise InputError(
            f"{path}: expected at least one class in the label map, found background alone; look at the image"
        )
    # Segments are numbered 1, 2 … without gaps.
    numbers = np.zeros(len(labels), np.uint8)
    numbers[present] = np.arange(1, len(present) + 1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of pydicom and highdicom, on the small irregularities of vendors
        made = hd.seg.Segmentation(
            source_images=[_nameless(dataset) for dataset in datasets],
            pixel_array=numbers[frames],
            segmentation_type=hd.seg.SegmentationTypeValues.BINARY,
            segment_descriptions=[_segment(int(numbers[c]), labels, c, algorithm) for c in present],
            series_instance_uid=_uid(datasets, algorithm, "series"),
            series_number=1000 + int(datasets[0].get("SeriesNumber") or 0),
            sop_instance_uid=_uid(datasets, algorithm, hashlib.sha256(frames.tobytes()).hexdigest()),
            instance_number=1,
            manufacturer="lumbarseg",
            manufacturer_model_name="lumbarseg",
            software_versions=lumbarseg.__version__,
            device_serial_number="0",
            content_label="LUMBAR_SPINE",
            content_description=f"Segmentation by {algorithm}"[:64],
        )
        made.SeriesDescription = f"Segmentation by {algorithm}"[:64]
        with atomic_write(path) as temporary:
            made.save_as(temporary)


Plane = tuple[NDArray[np.float64], int, int]


def _all_planes(datasets: Sequence[pydicom.Dataset]) -> list[Plane]:
    """Where the pixels of each frame lie: 4×4 from (row, column, 0) to world mm (RAS), rows, columns."""
    planes = []
    for dataset in datasets:
        shared = (dataset.get("SharedFunctionalGroupsSequence") or [dataset])[0]
        for frame in dataset.get("PerFrameFunctionalGroupsSequence") or [dataset]:
            planes.append((_plane(frame, shared, dataset), int(dataset.Rows), int(dataset.Columns)))
    return planes


def _plane(frame: pydicom.Dataset, shared: pydicom.Dataset, dataset: pydicom.Dataset) -> NDArray[np.float64]:
    def said(sequence: str, name: str) -> Any:
        for place in (frame, shared):
            for item in place.get(sequence) or []:
                if name in item:
                    return item[name].value
        return dataset[name].value

    along, down = np.reshape([float(x) for x in said("PlaneOrientationSequence", "ImageOrientationPatient")], (2, 3))
    between_rows, between_columns = (float(x) for x in said("PixelMeasuresSequence", "PixelSpacing"))
    affine = np.eye(4)
    affine[:3, 0] = down * between_rows
    affine[:3, 1] = along * between_columns
    affine[:3, 2] = np.cross(along, down)
    affine[:3, 3] = [float(x) for x in said("PlanePositionSequence", "ImagePositionPatient")]
    return np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine


def sample_planes(voxels: NDArray[Any], affine: NDArray[np.floating], planes: Sequence[Plane]) -> NDArray[Any]:
    """Give a volume's voxels on the pixels of planes that lie on its grid, whatever the order and direction of either.

    Args:
        voxels: (i, j, k).
        affine: 4×4 of the volume, RAS mm.
        planes: each 4×4 from (row, column, 0) to RAS mm, its rows and columns.

    Returns:
        (planes, rows, columns), the dtype of `voxels`.

    Raises:
        ValueError: a pixel that is no voxel of the volume.
    """
    sampled = []
    for plane, rows, columns in planes:
        to_voxels = np.linalg.inv(affine) @ plane
        exact = to_voxels.copy()
        exact[:3, [0, 1]] = np.rint(to_voxels[:3, [0, 1]])
        exact[:3, 3] = np.rint(to_voxels[:3, 3])
        # Directions come rounded in headers; what counts is where the corners end up.
        if corner_displacement((rows, columns, 1), to_voxels, exact) > _NEAR:
            raise ValueError("the plane does not lie on the grid")
        corners = np.array([exact @ [r, c, 0, 1] for r in (0, rows - 1) for c in (0, columns - 1)])[:, :3]
        if corners.min() < 0 or (corners > np.array(voxels.shape) - 1).any():
            raise ValueError("the plane reaches beyond the grid")
        row, column = np.mgrid[:rows, :columns]
        places = np.einsum("ij,jrc->irc", exact[:3, :2], [row, column]) + exact[:3, 3, None, None]
        sampled.append(voxels[tuple(places.astype(np.intp))])
    if len({one.shape for one in sampled}) > 1:
        raise ValueError("the planes differ in size")
    return np.stack(sampled)


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
    """An identifier that follows from the slices and the labels: the same segmentation keeps its identity."""
    return UID(pydicom.uid.generate_uid(entropy_srcs=[*(str(one.SOPInstanceUID) for one in datasets), *parts]))


def _nameless(dataset: pydicom.Dataset) -> pydicom.Dataset:
    """Give what highdicom takes from a slice, without anything that says whose it is."""
    taken = pydicom.Dataset()
    taken.file_meta = dataset.file_meta
    for name in _TAKEN:
        if name in dataset:
            taken[name] = dataset[name]
    for name in _LEFT_EMPTY:
        setattr(taken, name, "")
    return taken
