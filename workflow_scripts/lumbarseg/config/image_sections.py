"""Sections of the config on images and cohort: layout, phantom, classes, registration, patches, selection, split."""

from typing import Annotated, Literal

from pydantic import Field

from lumbarseg.config.fields import (
    Action,
    ClassName,
    FilePath,
    ListOf,
    OptionalRange,
    OrderedPair,
    PositiveFloat,
    PositiveInt,
    Section,
    Seed,
    text_matching,
)


class Layout(Section):
    """Where a folder of images has what, for `snakemake write_sheet`."""

    kind: Literal["mids", "spider", "dicom"] = Field(
        description="mids (or BIDS), spider, or dicom (one folder per patient); see docs/layouts/"
    )
    folder: FilePath = Field(description="folder of the images")
    masks: FilePath | None = Field(default=None, description="folder of the masks, if they are not with the images")


class Phantom(Section):
    """A cohort of phantom patients."""

    patients: int = Field(ge=4, description="number of patients")
    matrices: ListOf[Annotated[int, Field(ge=64, le=1400)]] = Field(
        default=(320, 384, 448, 512, 640, 800, 1024),
        min_length=1,
        description="rows and columns of the images (pixels), drawn for each site",
    )
    slices: OrderedPair[Annotated[int, Field(ge=3, le=40)]] = Field(
        default=(8, 14), description="least and greatest number of slices per session"
    )
    seed: Seed = Field(default=1, description="seed of anatomy and acquisition")


MaskValue = Annotated[int, Field(ge=-(2**31), lt=2**31)]


class LabelClass(Section):
    """A row of the label table."""

    id: int = Field(ge=0, description="value of the class in every mask that the workflow writes")
    name: ClassName = Field(description="name in tables and figures, other than those of the other classes")
    colour: Annotated[str, text_matching("^#[0-9a-fA-F]{6}$", 'a colour such as "#e8c97d" (in quotes)')] = Field(
        description="`#rrggbb`"
    )
    values: Annotated[ListOf[MaskValue], Field(min_length=1)] | None = Field(
        default=None, description="values of your masks that mean this class and no other; null for the id alone"
    )


class Flirt(Section):
    """Settings of the engine flirt."""

    cost: Literal["mutualinfo", "normmi", "corratio", "normcorr", "leastsq"] = Field(
        default="mutualinfo", description="FLIRT's cost function, also of its search"
    )
    search_deg: float = Field(
        default=0,
        ge=0,
        le=180,
        description="greatest angle (degrees) that FLIRT's search tries about each axis; 0 starts at the headers' geometry; "
        "searches fail on thick slices, even of 20 (by 95 mm on a phantom)",
    )


class Registration(Section):
    """Registration of T1w to T2w."""

    engine: Literal["flirt", "itk"] = Field(
        default="flirt",
        description="flirt (FSL, as in the paper; must be installed) or itk (comes with the workflow)",
    )
    degrees_of_freedom: Literal[6, 12] = Field(default=6, description="6 (rigid) or 12 (affine)")
    max_shift_mm: PositiveFloat = Field(
        default=20,
        description="mm; a longer shift is used, and flagged, only where the headers' geometry is clearly less likely or without "
        "overlap; otherwise the headers' geometry is kept",
    )
    max_rotation_deg: PositiveFloat = Field(
        default=15, description="degrees; a larger rotation is treated like a shift above `max_shift_mm`"
    )
    unusual_shift_mm: PositiveFloat = Field(
        default=5, description="mm; a session with a longer shift is kept and flagged in the table and on the pages"
    )
    unusual_rotation_deg: PositiveFloat = Field(
        default=5,
        description="degrees; a session with a larger rotation is kept and flagged in the table and on the pages",
    )
    unusual_overlap: float = Field(
        default=0.75,
        ge=0,
        le=1,
        description="share of the T2w image; a session whose T1w covers less is kept and flagged in the table and on the pages",
    )
    flirt: Flirt = Field(default_factory=Flirt, description="settings of the engine flirt")


class Normalisation(Section):
    """Z-score of the images."""

    scope: Literal["volume", "slice"] = Field(
        default="volume", description="mean and standard deviation of the whole volume or of each slice"
    )


class Patches(Section):
    """Patches of the slices."""

    patch_size: int = Field(
        default=256, ge=32, multiple_of=32, description="rows and columns of a patch (pixels), a multiple of 32 (D)"
    )
    stride: PositiveInt = Field(
        default=192, description="greatest step between patches (pixels; S), at most `patch_size`"
    )


class T2wRanges(Section):
    """Ranges of the acquisition of T2w images."""

    RepetitionTime: OptionalRange = Field(default=(2000, 10172.214), description="ms")
    EchoTime: OptionalRange = Field(default=(84.544, 145), description="ms")
    SpacingBetweenSlices: OptionalRange = Field(default=(3.6, 6), description="mm")
    ImagingFrequency: OptionalRange = Field(default=(42.568, 127.745), description="MHz")
    EchoTrainLength: OptionalRange = Field(default=(13, 36), description="echoes")
    FlipAngle: OptionalRange = Field(default=(90, 170), description="degrees")
    Height: OptionalRange = Field(default=(320, 1024), description="pixels")
    Width: OptionalRange = Field(default=(320, 1024), description="pixels")
    PixelSpacing: OptionalRange = Field(default=(0.3704, 1), description="mm")
    EchoNumber: OptionalRange = Field(default=(0, 1), description="number of the echo")
    Slices: OptionalRange = Field(default=(8, 14), description="slices per session (Section 3.1.1)")


class T1wRanges(T2wRanges):
    """Ranges of the acquisition of T1w images."""

    RepetitionTime: OptionalRange = Field(default=(300, 764.38), description="ms")
    EchoTime: OptionalRange = Field(default=(6.824, 17.424), description="ms")
    EchoTrainLength: OptionalRange = Field(default=(2, 10), description="echoes")
    FlipAngle: OptionalRange = Field(default=(80, 160), description="degrees")
    Height: OptionalRange = Field(default=(320, 800), description="pixels")
    Width: OptionalRange = Field(default=(320, 800), description="pixels")
    PixelSpacing: OptionalRange = Field(default=(0.4688, 1), description="mm")


class Criteria(Section):
    """Criteria of one kind and what happens to a session that does not meet them."""

    action: Action = Field(
        default="warn",
        description="for a session out of range: list it and use it (warn), leave it out (exclude), or do nothing (ignore)",
    )


class Acquisition(Criteria):
    """Ranges of the acquisition."""

    T2w: T2wRanges = Field(
        default_factory=T2wRanges, description="least and greatest value of T2w images; null is not checked"
    )
    T1w: T1wRanges = Field(
        default_factory=T1wRanges, description="least and greatest value of T1w images; null is not checked"
    )


class Coverage(Criteria):
    """What has to be in the image."""

    min_height_mm: float = Field(default=200, ge=0, description="least height of the T2w image (mm)")
    min_overlap: float = Field(
        default=0.75, ge=0, le=1, description="least share of the T2w image that the registered T1w image covers"
    )
    classes: ListOf[str] = Field(
        default=("Vert", "Sacrum"),
        description="classes that a mask must contain; names that the label table lacks are ignored",
    )


class Quality(Criteria):
    """Brightness and noise of the images."""

    brightness: OrderedPair[float] = Field(
        default=(0.12, 0.8),
        description="least and greatest median of the body, as a share of the bright level (99.5th percentile)",
    )
    noise: PositiveFloat = Field(
        default=0.1, description="greatest standard deviation of the noise, as a share of the body's median"
    )


class Selection(Section):
    """Which sessions are used."""

    missing_contrast: Literal["stop", "exclude"] = Field(
        default="stop", description="for a session without T2w or T1w: stop the run, or leave the session out (exclude)"
    )
    acquisition: Acquisition = Field(default_factory=Acquisition, description="ranges of the acquisition (Table 2)")
    coverage: Coverage = Field(
        default_factory=Coverage, description="lumbar vertebrae and upper sacrum are in the image"
    )
    quality: Quality = Field(default_factory=Quality, description="brightness and noise")


class Split(Section):
    """Test patients and folds."""

    folds: int = Field(default=3, ge=2, le=1000, description="number of folds")
    test_patients: Literal["auto"] | PositiveInt = Field(
        default="auto",
        description="number of patients kept for the test; auto is 33 for the paper's 181, otherwise a fifth",
    )
    stratify: Literal["site", "sex"] | None = Field(
        default=None, description="column of the sheet whose values are spread evenly over the folds"
    )
    file: FilePath | None = Field(
        default=None, description="an existing split (`folds.tsv`) to use instead of a new one"
    )
    seed: int = Field(default=1, description="seed of the split")
