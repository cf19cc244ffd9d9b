"""What a sidecar may keep of a header: acquisition parameters, as numbers and as codes of a list. No dates, no places, no free text.

People and programs type names and ids into any field that takes text, so a code is kept only if it is known. Names as in BIDS 1.10.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

import nibabel as nib

# The largest that each may be, in units of BIDS; times may be in ms, which the acquisition criteria report. Dates and ids are larger.
_NUMBERS = {
    "MagneticFieldStrength": 20, "ImagingFrequency": 1000, "RepetitionTime": 20_000, "EchoTime": 1000, "InversionTime": 10_000,
    "FlipAngle": 360, "EchoTrainLength": 1024, "EchoNumber": 128, "SliceThickness": 500, "SpacingBetweenSlices": 500,
    "NumberOfAverages": 128, "PixelBandwidth": 10_000, "PercentPhaseFOV": 400, "PercentSampling": 400, "PhaseEncodingSteps": 4096,
    "AcquisitionMatrixPE": 4096, "ReconMatrixPE": 4096, "SAR": 100, "ParallelReductionFactorInPlane": 64, "PartialFourier": 100,
    "EchoSpacing": 1000, "NumberOfSlices": 4096,
}  # fmt: skip

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

# Words of which a field consists, in lower case: those that identify a vendor or a model, and those that may go with them. Words
# that are also names of people are among the latter.
_WORDS: dict[str, tuple[set[str], set[str]]] = {
    "Manufacturer": (
        {
            "siemens", "ge", "philips", "toshiba", "canon", "hitachi", "fujifilm", "hyperfine", "uih", "bruker", "esaote", "neusoft",
            "paramed", "fonar", "samsung", "marconi", "picker", "united", "lumbarseg",
        },
        {
            "healthineers", "healthcare", "medical", "systems", "imaging", "mec", "corporation", "corp", "co", "company", "inc", "ltd",
            "gmbh", "ag", "bv", "nederland", "international", "solutions", "technologies", "phantom",
        },
    ),
    "ManufacturersModelName": (
        {
            "magnetom", "avanto", "aera", "skyra", "prisma", "verio", "espree", "symphony", "symphonytim", "symphonyvision", "sonata",
            "sonatavision", "harmony", "concerto", "essenza", "trio", "triotim", "biograph", "cima.x", "free.max", "free.star",
            "free.xl", "terra.x", "connectom", "signa", "genesis", "hdx", "hdxt", "hde", "hdi", "discovery", "mr750", "mr750w",
            "mr450", "mr450w", "optima", "mr355", "mr360", "mr430s", "brivo", "pet/mr", "achieva", "ingenia", "intera", "multiva",
            "panorama", "gyroscan", "prodiva", "ingenuity", "vantage", "excelart", "opart", "echelon", "aperto", "airis", "umr",
            "swoop", "spectra", "sempra", "titan", "fortian", "oasis", "altaire", "ambition", "elition", "g-scan",
            "s-scan", "o-scan", "e-scan", "c-scan", "phantom",
        },
        {
            "fit", "vida", "sola", "altea", "lumina", "amira", "allegra", "mmr", "terra", "impact", "expert",
            "vision", "tim", "hd", "excite", "architect", "artist", "pioneer", "premier", "voyager", "explorer", "creator", "victor",
            "hero", "champion", "prime", "mr", "nt", "dstream", "evolution", "x", "s", "cx", "tx", "nova",
            "dual", "xr", "elan", "galan", "orian", "atlas", "atlas-x", "powered", "by", "ppt", "vega", "smart", "elite", "oval", "synergy", "ii", "light", "brio", "open", "hfo", "omega", "jupiter", "560", "570", "580",
            "586", "588", "660", "670", "680", "770", "780", "790", "870", "880", "890",
        },
    ),
    "PulseSequenceType": (
        {
            "spin", "echo", "turbo", "fast", "gradient", "recalled", "inversion", "recovery", "planar", "spoiled", "steady", "state",
            "multi", "se", "tse", "fse", "gre", "epi", "ir", "tir", "tirm", "flair", "stir", "space", "cube", "vista", "2d", "3d",
        },
        set(),
    ),
}  # fmt: skip
_FIELD_STRENGTH = re.compile(r"[0-9](\.[0-9]{1,2})?t?")
# The day in the version of dcm2niix; other programs' versions may be dates of any kind.
_VERSION = re.compile(r"v1\.0\.20[12][0-9][01][0-9][0-3][0-9]")


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
        return value if is_number and 0 <= value <= _NUMBERS[name] else None
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
        return lambda text: bool(_VERSION.fullmatch(text)) or text == nib.__version__
    if name in _CODES:
        codes = _CODES[name]
        return lambda text: text in codes
    if name in _WORDS:
        return lambda text: _is_known_text(text, *_WORDS[name], with_field_strength=name == "ManufacturersModelName")
    return None


def _is_known_text(text: str, identifying: set[str], others: set[str], with_field_strength: bool) -> bool:
    """Return whether a text consists of known words, one of which identifies what it names, and of one field strength at most."""
    words = re.split(r"[\s_]+", text.casefold())
    unknown = [word for word in words if word not in identifying | others]
    is_field_strength = with_field_strength and len(unknown) == 1 and _FIELD_STRENGTH.fullmatch(unknown[0])
    return len(words) <= 6 and not identifying.isdisjoint(words) and (not unknown or bool(is_field_strength))
