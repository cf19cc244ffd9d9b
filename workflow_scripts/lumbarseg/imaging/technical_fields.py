"""What a sidecar may keep of a header: acquisition parameters, as numbers and as codes of a list. No dates, no places, no free text.

People and programs type names and ids into any field that takes text, so a code is kept only if it is known. Names as in BIDS 1.10.
"""

import math
import re
from collections.abc import Callable, Mapping
from typing import Any

_NUMBERS = {
    "MagneticFieldStrength", "ImagingFrequency", "RepetitionTime", "EchoTime", "InversionTime", "FlipAngle",
    "EchoTrainLength", "EchoNumber", "SliceThickness", "SpacingBetweenSlices", "NumberOfAverages", "PixelBandwidth",
    "PercentPhaseFOV", "PercentSampling", "PhaseEncodingSteps", "AcquisitionMatrixPE", "ReconMatrixPE", "SAR",
    "ParallelReductionFactorInPlane", "PartialFourier", "EchoSpacing", "NumberOfSlices",
}  # fmt: skip
_LARGEST = 1e5  # no parameter is larger, but dates and ids are

# Defined terms of DICOM PS3.3, C.8.3.1 and C.7.3.1, and the codes that vendors add to them.
_CODES = {
    "Modality": {"MR"},
    "MRAcquisitionType": {"1D", "2D", "3D"},
    "ScanningSequence": {"SE", "IR", "GR", "EP", "RM"},
    "SequenceVariant": {"SK", "MTC", "SS", "TRSS", "SP", "MP", "OSP", "TOF", "NONE"},
    "ScanOptions": {
        "PER", "RG", "CG", "PPG", "FC", "PFF", "PFP", "SP", "FS", "CT", "WE", "SAT", "SAT1", "SAT2", "SAT3", "SFS", "IR", "MT",
        "DB", "PF", "NONE", "OTHER", "ACC_GEMS", "CL_GEMS", "EDR_GEMS", "EPI_GEMS", "FAST_GEMS", "FC_FREQ_AX_GEMS",
        "FC_SLICE_AX_GEMS", "FILTERED_GEMS", "FR_GEMS", "IRP_GEMS", "MP_GEMS", "NPW", "PHASE_GEMS", "RAMP_IS_GEMS", "SAT_GEMS",
        "SEQ_GEMS", "SQ_GEMS", "SS_GEMS", "T2FLAIR_GEMS", "TRF_GEMS", "VASCTOF_GEMS", "ZIP2_GEMS", "ZIP4_GEMS",
    },
    "PatientPosition": {f"{first}F{last}" for first in "HF" for last in ("S", "P", "DR", "DL")},
    "InPlanePhaseEncodingDirectionDICOM": {"ROW", "COL", "OTHER"},
    "PhaseEncodingAxis": {"i", "j", "k"},
    "ConversionSoftware": {"dcm2niix", "nibabel", "dcm2nii", "dicm2nii", "heudiconv", "mrconvert", "ANTs", "SPM"},
}  # fmt: skip

# Words of which a field consists, in lower case.
_WORDS = {
    "Manufacturer": {
        "siemens", "healthineers", "healthcare", "ge", "medical", "systems", "philips", "toshiba", "canon", "hitachi", "fujifilm",
        "hyperfine", "uih", "united", "imaging", "bruker", "esaote", "neusoft", "paramed", "fonar", "samsung", "marconi", "picker",
        "mec", "corporation", "lumbarseg", "phantom",
    },
    "ManufacturersModelName": {
        "magnetom", "avanto", "avanto_fit", "aera", "skyra", "skyra_fit", "prisma", "prisma_fit", "verio", "espree", "symphony",
        "symphonytim", "symphonyvision", "sonata", "sonatavision", "harmony", "concerto", "vida", "vida_fit", "sola", "sola_fit", "altea",
        "lumina", "amira", "sempra", "essenza", "spectra", "trio", "triotim", "allegra", "biograph_mmr", "biograph", "mmr", "cima.x",
        "free.max", "free.star", "free.xl", "terra", "terra.x", "connectom", "impact", "expert", "vision", "tim", "fit", "signa",
        "genesis_signa", "hdx", "hdxt", "hde", "hdi", "hd", "excite", "discovery", "mr750", "mr750w", "mr450", "mr450w", "optima",
        "mr355", "mr360", "mr430s", "architect", "artist", "pioneer", "premier", "voyager", "explorer", "creator", "victor", "hero",
        "champion", "prime", "brivo", "pet/mr", "mr", "achieva", "ingenia", "intera", "ambition", "elition", "multiva", "panorama",
        "gyroscan", "nt", "dstream", "prodiva", "ingenuity", "evolution", "x", "s", "cx", "tx", "nova", "dual", "xr", "vantage",
        "titan", "elan", "galan", "orian", "fortian", "excelart", "atlas", "atlas-x", "opart", "powered", "by", "ppt", "echelon",
        "oasis", "aperto", "airis", "altaire", "vega", "smart", "elite", "oval", "synergy", "ii", "light", "umr", "swoop", "g-scan",
        "s-scan", "o-scan", "e-scan", "c-scan", "brio", "open", "hfo", "phantom",
    },
    "PulseSequenceType": {
        "spin", "echo", "turbo", "fast", "gradient", "recalled", "inversion", "recovery", "planar", "spoiled", "steady", "state",
        "multi", "se", "tse", "fse", "gre", "epi", "ir", "tir", "tirm", "flair", "stir", "space", "cube", "vista", "2d", "3d",
    },
}  # fmt: skip
_FIELD_STRENGTH = re.compile(r"\d(\.\d{1,2})?t?", re.IGNORECASE)
_VERSION = re.compile(r"v?\d{1,3}(\.\d{1,8}){1,3}([-+. ]?(a|b|rc|dev|post)\d{0,3})?")


def technical_fields(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Keep the fields of a sidecar that describe the acquisition, and nothing that identifies a person.

    Args:
        fields: a BIDS sidecar, from dcm2niix or a user.

    Returns:
        The numbers of known fields, and the known codes of others, in their order: of a list of codes those that are known;
        text in place of a number and unknown codes are dropped.
    """
    kept = ((name, _kept(name, value)) for name, value in fields.items())
    return {name: value for name, value in kept if value not in (None, [])}


def _kept(name: str, value: Any) -> Any:
    if name in _NUMBERS:
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        return value if is_number and math.isfinite(value) and 0 <= value < _LARGEST else None
    is_known = _judge(name)
    if is_known is None:
        return None
    if isinstance(value, list):
        return [part for part in value if isinstance(part, str) and is_known(part)]
    if not isinstance(value, str):
        return None
    # Codes of one field may be joined as in DICOM, or by underscores as dcm2niix does.
    for separator in ("\\", "_"):
        if (
            separator in value
            and name in ("ScanningSequence", "SequenceVariant", "ScanOptions")
            and not is_known(value)
        ):
            return separator.join(part for part in value.split(separator) if is_known(part)) or None
    return value if is_known(value) else None


def _judge(name: str) -> Callable[[str], bool] | None:
    """Return what decides of a code of a field whether it is known; None for other fields."""
    if name == "ConversionSoftwareVersion":
        return lambda text: bool(_VERSION.fullmatch(text))
    if name in _CODES:
        codes = _CODES[name]
        return lambda text: text in codes
    if name in _WORDS:
        words = _WORDS[name]
        return lambda text: (
            0 < len(text.split()) <= 6
            and all(word.casefold() in words or _FIELD_STRENGTH.fullmatch(word) for word in text.split())
        )
    return None
