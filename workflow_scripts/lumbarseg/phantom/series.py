"""Geometry, images and files of a series: DICOM, mask, and true motion."""

from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian, MRImageStorage
from scipy import fft

from lumbarseg.atomic_io import atomic_write, write_json
from lumbarseg.phantom.patients import Patient
from lumbarseg.phantom.section import label_section, signal_section
from lumbarseg.phantom.signal import acquire, coil_profile, personal_tissues, saturation_band, spin_echo
from lumbarseg.phantom.spine import Spine

ACQUIRED = 320  # maximum of samples along a side; larger matrices are interpolated, as by scanners
MARGIN = 1 / 24  # fraction of the field of view that is sampled beyond each edge and cut off after interpolation
UID_ROOT = "1.2.826.0.1.3680043.8.498."  # pydicom's root for made-up identifiers

Matrix = NDArray[np.float64]


def rotation_matrix(degrees: tuple[float, float, float]) -> Matrix:
    """Return the 3×3 rotation about the world's R, then A, then S axis (right-handed, degrees)."""
    result = np.eye(3)
    for axis, angle in enumerate(np.deg2rad(degrees)):
        turn = np.eye(3)
        first, second = [k for k in range(3) if k != axis]
        sine = np.sin(angle) if axis != 1 else -np.sin(angle)
        turn[first, first] = turn[second, second] = np.cos(angle)
        turn[first, second], turn[second, first] = -sine, sine
        result = turn @ result
    return result


def motion_matrix(patient: Patient) -> Matrix:
    """Return the known motion: 4×4, from a point of the T1w image to the same anatomy in the T2w image.

    Points are world coordinates of NIfTI (R, A, S; mm), so a registration of T1w (moving) to T2w (fixed) should find
    this matrix (in the direction of FLIRT's matrices). The rotation is about the world's origin, which is the centre of
    the T2w stack.
    """
    matrix = np.eye(4)
    matrix[:3, :3] = rotation_matrix(patient.rotation)
    matrix[:3, 3] = patient.translation
    return matrix


@dataclass(frozen=True)
class Grid:
    """The grid of a series in world coordinates.

    Attributes:
        affine: NIfTI voxel-to-world matrix of a (columns, rows, slices) array as dcm2niix writes a sagittal series:
            first axis towards posterior and second towards superior (the opposite where `Stack.mirrored` says so), third
            towards the patient's right (left if one of the others is mirrored).
        matrix: rows and columns.
        slices: number of slices.
    """

    affine: Matrix
    matrix: int
    slices: int

    def plane(self, index: int) -> Matrix:
        """Return 3×3: the steps to the next row (downwards) and column, and the position of pixel (0, 0) of a slice; mm."""
        top = self.affine @ np.array([0.0, self.matrix - 1.0, index, 1.0])
        return np.column_stack([-self.affine[:3, 1], self.affine[:3, 0], top[:3]])


def make_grid(patient: Patient, contrast: str) -> Grid:
    """Return the grid of a series as dcm2niix writes it."""
    sequence, stack = patient.sequences[contrast], patient.stacks[contrast]
    turn = rotation_matrix(stack.tilts)
    signs = [-1.0 if mirrored else 1.0 for mirrored in stack.mirrored]
    columns, rows = turn @ [0.0, -signs[0], 0.0], turn @ [0.0, 0.0, signs[1]]
    across = turn @ [signs[0] * signs[1], 0.0, 0.0]  # dcm2niix writes left-handed axes only
    affine = np.eye(4)
    # headers have six decimals of the directions, from which the grid of the mask is made
    affine[:3, 0] = np.round(columns, 6) * sequence.spacing
    affine[:3, 1] = np.round(rows, 6) * sequence.spacing
    affine[:3, 2] = np.round(across, 6) * stack.slice_spacing
    half = (sequence.matrix - 1) / 2
    affine[:3, 3] = stack.offset - affine[:3, :3] @ [half, half, (stack.slices - 1) / 2]
    return Grid(affine, sequence.matrix, stack.slices)


def anatomy_from_world(patient: Patient, contrast: str) -> Matrix:
    """Return the 4×4 matrix from world coordinates at the time of a scan to anatomical coordinates (mm).

    At the T2w scan the patient lies straight, with the centre of the stack slightly in front of the canal at the level of
    L3; at the T1w scan the patient is displaced by the inverse of `motion_matrix`.
    """
    placed = np.eye(4)
    view = patient.sequences["T2w"].matrix * patient.sequences["T2w"].spacing
    # in wide images, which include the belly, the spine lies behind the centre
    placed[:3, 3] = [0.0, 6.0 - 0.03 * (view - 280.0), -14.0 * patient.body.size]
    return placed @ motion_matrix(patient) if contrast == "T1w" else placed


def to_anatomy(plane: Matrix, transform: Matrix) -> Matrix:
    """Return a `Grid.plane` in anatomical coordinates."""
    moved = transform[:3, :3] @ plane
    moved[:, 2] += transform[:3, 3]
    return moved


def label_volume(patient: Patient, spine: Spine) -> NDArray[np.uint8]:
    """Return the class ids on the grid of the T2w series: uint8, (columns, rows, slices), see `Grid.affine`."""
    grid, transform = make_grid(patient, "T2w"), anatomy_from_world(patient, "T2w")
    labels = np.empty((grid.matrix, grid.matrix, grid.slices), np.uint8)
    for index in range(grid.slices):
        section = label_section(spine, to_anatomy(grid.plane(index), transform), (grid.matrix, grid.matrix))
        labels[:, :, index] = section[::-1].T
    return labels


def clean_slice(patient: Patient, spine: Spine, contrast: str, index: int) -> tuple[NDArray[np.float32], Matrix]:
    """Return the noise-free signal of a slice on the scanner's samples, which extend beyond its edges.

    Coil sensitivity and saturation slab are included.

    Returns:
        The signal, float32 (samples, samples), and the plane of the samples (see `Grid.plane`).
    """
    grid, sequence, site = make_grid(patient, contrast), patient.sequences[contrast], patient.site
    margin = _margin(grid.matrix)
    window = grid.matrix + 2 * margin
    samples = min(window, ACQUIRED + 2 * _margin(ACQUIRED))
    plane = grid.plane(index)
    plane[:, 2] -= margin * (plane[:, 0] + plane[:, 1])
    plane[:, :2] *= window / samples
    tissues = personal_tissues(np.random.default_rng([patient.seed, 0]))
    signals = {
        name: spin_echo(tissue, sequence.repetition_time, sequence.echo_time) for name, tissue in tissues.items()
    }
    transform = anatomy_from_world(patient, contrast)
    stack = patient.stacks[contrast]
    normal = grid.affine[:3, 2] / stack.slice_spacing * stack.slice_thickness
    signal = signal_section(
        spine, to_anatomy(plane, transform), (samples, samples), signals, transform[:3, :3] @ normal
    )
    steps = np.arange(samples, dtype=np.float32)
    anterior = np.float32(plane[1, 2]) + steps[:, None] * np.float32(plane[1, 0]) + steps * np.float32(plane[1, 1])
    superior = np.float32(plane[2, 2]) + steps[:, None] * np.float32(plane[2, 0]) + steps * np.float32(plane[2, 1])
    # the coil in the table touches the lowest point of the back's skin
    curves = spine.curves
    offset = anatomy_from_world(patient, "T2w")[:3, 3]
    back = float(np.min((curves.fascia - curves.subcutaneous)[900:1800])) - float(offset[1]) - 8.0
    signal *= coil_profile(anterior, superior, (back, 0.0), site.coil_depth, site.coil_strength)
    if site.saturation is not None:
        front = float(curves.front[len(curves.front) // 2]) - float(offset[1])
        signal *= saturation_band(anterior, superior, (front + site.saturation, 0.35, 5.0))
    return signal / np.float32(signals["fat"]), plane


def _margin(matrix: int) -> int:
    """Return the pixels beyond each edge: slightly more than `MARGIN`, so that the Fourier transform is fast."""
    least = matrix + 2 * max(2, round(matrix * MARGIN))
    return (
        next(
            side - matrix
            for side in range(least, 2 * least)
            if fft.next_fast_len(side) == side and (side - matrix) % 2 == 0
        )
        // 2
    )


def slice_image(patient: Patient, spine: Spine, contrast: str, index: int) -> NDArray[np.uint16]:
    """Return a slice as stored by the scanner: uint16 (rows, columns), 12 bits."""
    signal, _ = clean_slice(patient, spine, contrast, index)
    matrix, site = patient.sequences[contrast].matrix, patient.site
    margin = _margin(matrix)
    random = np.random.default_rng([patient.seed, 1 + (contrast == "T1w"), index])
    # noise is inversely proportional to the voxel volume; the values of the sites are for 0.9 mm and 4 mm
    voxel = (matrix + 2 * margin) * patient.sequences[contrast].spacing / signal.shape[0]
    noise = site.noise * (0.81 * 4.0) / (voxel**2 * patient.stacks[contrast].slice_thickness)
    ghosting = (site.ghosting, float(random.uniform(4.0, 9.0)))
    image = acquire(signal, matrix + 2 * margin, noise, ghosting, random)
    stored = image[margin : margin + matrix, margin : margin + matrix] * np.float32(site.fat_value)
    return np.clip(np.rint(stored), 0, 4095).astype(np.uint16)


FAMILY_NAMES = ("Phantasma", "Quimera", "Espejismo", "Ilusion", "Sombra", "Maqueta", "Simulacro", "Ensueno")
GIVEN_NAMES = {
    "F": ("Alba", "Bruna", "Celia", "Dora", "Elsa", "Flora"),
    "M": ("Adan", "Bruno", "Cesar", "Dario", "Elio", "Fermin"),
}


def _decimal(value: float) -> str:
    """Return a decimal string of at most 16 characters (PS3.5, DS)."""
    return f"{value:.6f}".rstrip("0").rstrip(".") if abs(value) < 1e8 else f"{value:.9g}"


def identity(patient: Patient) -> dict[str, str]:
    """Return the fictitious person of the headers, whom de-identification must remove."""
    random = np.random.default_rng([patient.seed, 9])
    scanned = date(2015, 1, 7) + timedelta(days=int(random.integers(0, 720)))
    born = scanned - timedelta(days=int(patient.age * 365.25 + random.integers(1, 360)))
    return {
        "PatientName": f"{random.choice(FAMILY_NAMES)}^{random.choice(GIVEN_NAMES[patient.sex])}",
        "PatientID": f"SIP{random.integers(10**6, 10**7)}",
        "PatientBirthDate": born.strftime("%Y%m%d"),
        "StudyDate": scanned.strftime("%Y%m%d"),
        "AccessionNumber": f"A{random.integers(10**7, 10**8)}",
        "ReferringPhysicianName": f"{random.choice(FAMILY_NAMES)}^Doctora",
        "StationName": f"MR{patient.site.name.upper()}1",
        "DeviceSerialNumber": f"{random.integers(10**4, 10**5)}",
        "InstitutionName": patient.site.institution,
        "InstitutionAddress": "Calle Inexistente 1, 00000 Ninguna Parte",
        "PatientAddress": "Avenida de la Nada 2, 00000 Ninguna Parte",
    }


def _uid(patient: Patient, *parts: int) -> UID:
    number = int.from_bytes(np.random.default_rng([patient.seed, 7, *parts]).bytes(15), "big")
    return UID(f"{UID_ROOT}{number}")


def dicom_slice(patient: Patient, contrast: str, index: int, pixels: NDArray[np.uint16]) -> FileDataset:
    """Return one slice as an MR Image Storage object.

    Args:
        patient: the patient.
        contrast: T2w or T1w.
        index: number of the slice in the grid.
        pixels: uint16 (rows, columns).
    """
    sequence, stack, site = patient.sequences[contrast], patient.stacks[contrast], patient.site
    grid = make_grid(patient, contrast)
    series = 1 + (contrast == "T1w")
    towards_right = bool(grid.affine[0, 2] > 0)
    number = index + 1 if stack.left_to_right == towards_right else stack.slices - index
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = MRImageStorage
    meta.MediaStorageSOPInstanceUID = _uid(patient, series, number)
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    name = f"t{'2' if contrast == 'T2w' else '1'}_tse_sag"
    flip = np.array([-1.0, -1.0, 1.0])  # DICOM's patient coordinates are L, P, S
    plane = grid.plane(index) * flip[:, None]
    down, along, corner = plane.T
    person = identity(patient)
    clock = 9 + patient.number % 8
    elements: dict[str, Any] = {
        "SpecificCharacterSet": "ISO_IR 100",
        "ImageType": ["ORIGINAL", "PRIMARY", "M", "SE" if site.manufacturer.startswith("P") else "ND"],
        "SOPClassUID": MRImageStorage,
        "SOPInstanceUID": meta.MediaStorageSOPInstanceUID,
        "Modality": "MR",
        "Manufacturer": site.manufacturer,
        "ManufacturerModelName": site.model,
        "SoftwareVersions": "phantom",
        "SeriesDate": person["StudyDate"],
        "AcquisitionDate": person["StudyDate"],
        "ContentDate": person["StudyDate"],
        "StudyTime": f"{clock:02d}0500",
        "SeriesTime": f"{clock:02d}{6 + 5 * series:02d}00",
        "AcquisitionTime": f"{clock:02d}{6 + 5 * series:02d}{1 + number % 50:02d}.{1000 * number:06d}",
        "ContentTime": f"{clock:02d}{6 + 5 * series:02d}02",
        "StudyDescription": "COLUMNA LUMBAR",
        "SeriesDescription": name,
        "ProtocolName": name,
        "PatientSex": patient.sex,
        "PatientAge": f"{patient.age:03d}Y",
        "PatientWeight": _decimal(patient.weight),
        "PatientSize": _decimal(patient.height / 100.0),
        "PatientPosition": "HFS",
        "BodyPartExamined": "LSPINE",
        "ScanningSequence": "SE",
        "SequenceVariant": "SK",
        "ScanOptions": "SAT1" if site.saturation is not None else "NONE",
        "MRAcquisitionType": "2D",
        "SliceThickness": _decimal(stack.slice_thickness),
        "SpacingBetweenSlices": _decimal(stack.slice_spacing),
        "RepetitionTime": _decimal(sequence.repetition_time),
        "EchoTime": _decimal(sequence.echo_time),
        "NumberOfAverages": "2",
        "ImagingFrequency": _decimal(site.frequency),
        "ImagedNucleus": "1H",
        "EchoNumbers": 1,
        "MagneticFieldStrength": "1.5",
        "EchoTrainLength": sequence.echo_train,
        "PercentSampling": "100",
        "PercentPhaseFieldOfView": "100",
        "PixelBandwidth": "150",
        "InPlanePhaseEncodingDirection": "ROW",
        "FlipAngle": _decimal(sequence.flip_angle),
        "StudyInstanceUID": _uid(patient, 0, 0),
        "SeriesInstanceUID": _uid(patient, series, 0),
        "FrameOfReferenceUID": _uid(patient, 0, 1),
        "StudyID": str(patient.number),
        "SeriesNumber": series,
        "AcquisitionNumber": 1,
        "InstanceNumber": number,
        "ImagePositionPatient": [_decimal(value) for value in corner],
        "ImageOrientationPatient": [_decimal(value) for value in np.concatenate([along, down]) / sequence.spacing],
        "SliceLocation": _decimal(-corner[0]),
        "PositionReferenceIndicator": "",
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "Rows": grid.matrix,
        "Columns": grid.matrix,
        "PixelSpacing": [_decimal(sequence.spacing)] * 2,
        "BitsAllocated": 16,
        "BitsStored": 12,
        "HighBit": 11,
        "PixelRepresentation": 0,
        "WindowCenter": _decimal(round(0.5 * site.fat_value)),
        "WindowWidth": _decimal(round(site.fat_value)),
        **person,
    }
    for keyword, value in elements.items():
        setattr(dataset, keyword, value)
    dataset.PixelData = pixels.tobytes()
    return dataset


def write_series(folder: Path, patient: Patient, spine: Spine, contrast: str) -> None:
    """Write a series, one file per slice: `IM0001.dcm` … by instance number; files of an earlier run are removed."""
    for stale in folder.glob("IM*.dcm"):
        stale.unlink()
    for index in range(patient.stacks[contrast].slices):
        dataset = dicom_slice(patient, contrast, index, slice_image(patient, spine, contrast, index))
        with atomic_write(folder / f"IM{int(dataset.InstanceNumber):04d}.dcm") as path:
            dataset.save_as(path, enforce_file_format=True)


def write_mask(path: Path, patient: Patient, spine: Spine) -> None:
    """Write the class ids (uint8) on the grid that dcm2niix gives the T2w series."""
    image = nibabel.Nifti1Image(label_volume(patient, spine), make_grid(patient, "T2w").affine)
    image.set_sform(image.affine, code=1)
    image.set_qform(image.affine, code=1)
    image.header.set_xyzt_units("mm")
    with atomic_write(path) as temporary:
        nibabel.save(image, temporary)


def write_truth(path: Path, patient: Patient) -> None:
    """Write the known motion between the scans; see `motion_matrix` for its direction."""
    write_json(
        path,
        {
            "from": "T1w",
            "to": "T2w",
            "convention": "affine from the world coordinates (NIfTI: R, A, S; mm) of a point in the T1w image to those in the "
            "T2w image",
            "matrix": motion_matrix(patient).tolist(),
            "rotation_degrees": list(patient.rotation),
            "rotation_axes": ["R", "A", "S"],
            "translation_mm": list(patient.translation),
        },
    )
