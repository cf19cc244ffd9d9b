"""Real images from end to end: a study as a second hospital would lay it over config.yaml, and a real T1w/T2w pair in DICOM.

The images are not part of the project (`shared_data` skips where they are absent), and nothing of them is kept.
"""

import gzip
from pathlib import Path

import blosc2
import nibabel as nib
import numpy as np
import pandas as pd
import pydicom
import pytest

from factories.workflow import copy_workflow, snakemake, write_study
from lumbarseg.atomic_io import read_json
from lumbarseg.data.tiling import Tiling, stitch
from lumbarseg.geometry import sagittal_view

COLUMNS = ("participant_id", "session_id", "t2w", "t1w", "mask", "age", "sex", "weight", "site")
ONE_THREAD = [f"{rule}=1" for rule in ("train_network", "stack_fold", "threshold_fold", "reconstruct_fold")]
BACKGROUND = {"id": 0, "name": "Background", "colour": "#000000"}

# The study that docs/real_images.md shows. The masks count the vertebrae; all of them are one class here.
VERTEBRAE = {
    "study": "vertebrae",
    "sessions": "sessions.tsv",
    "channels": ["T2w"],
    "classes": [BACKGROUND, {"id": 1, "name": "Vert", "colour": "#e8c97d", "values": [1, 2, 3, 4, 5, 6, 7]}],
    "patches": {"patch_size": 96, "stride": 94},
    "train": ["UD", "UAD"],
    "topologies": {
        "UD": {"output": "ds3", "optimiser": "adam", "learning_rate": 0.003},
        "UAD": {"skip": "attention", "output": "ds3", "optimiser": "adam", "learning_rate": 0.003},
    },
    "training": {
        "base_filters": 8, "epochs": 6, "batch_size": 4, "device": "cpu",
        "augmentation": {"rotation_deg": 10, "zoom": [0.8, 1.2]},
    },
    "ensembles": {"E2": ["UD", "UAD"]},
    "combine": {"ensembles": ["E2"], "combiners": ["Arith", "NAD"]},
    "stacking": {"epochs": 1, "learning_rate": 0.003},
    "comparison": {"reference": "UAD+TH"},
    "tables": {"table_7": ["networks+MAP", "networks+TH", "ensembles+Arith+TH", "ensembles+NAD+TH"]},
    "figures": {"cases": ["UD+TH", "UAD+TH", "E2+NAD+TH"], "box_plots": ["UD+TH", "UAD+TH", "E2+NAD+TH"]},
}  # fmt: skip
EXPERIMENTS = {f"{model}+{labelling}" for model in ("UD", "UAD", "E2+Arith", "E2+NAD") for labelling in ("MAP", "TH")}


def write_sheet(folder: Path, sessions: list[dict]) -> None:
    rows = ["\t".join(COLUMNS)]
    rows += ["\t".join(str(session.get(column, "")) for column in COLUMNS) for session in sessions]
    (folder / "sessions.tsv").write_text("\n".join(rows) + "\n")


def halved(image: nib.Nifti1Image, choose) -> nib.Nifti1Image:
    """Return an image on pixels of twice the size; `choose` makes one pixel of the four in the last axis."""
    voxels = np.asarray(image.dataobj)
    i, j = (size // 2 for size in voxels.shape[:2])
    four = voxels[: 2 * i, : 2 * j].reshape(i, 2, j, 2, -1).transpose(0, 2, 4, 1, 3).reshape(i, j, -1, 4)
    affine = image.affine @ np.array([[2, 0, 0, 0.5], [0, 2, 0, 0.5], [0, 0, 1, 0], [0, 0, 0, 1]])
    smaller = nib.Nifti1Image(choose(four).astype(voxels.dtype), affine)
    smaller.set_sform(affine, int(image.header["sform_code"]))
    smaller.set_qform(affine, int(image.header["qform_code"]))
    return smaller


@pytest.fixture(scope="module")
def lumbar_t2(shared_data, tmp_path_factory) -> dict[str, tuple[Path, Path]]:
    """T2w and vertebra mask of ten patients on 2 mm pixels: a quarter of the work, and the scene is the same."""
    folder = tmp_path_factory.mktemp("lumbar_t2")
    images = {}
    for path in sorted((shared_data / "lumbar_t2").glob("*_T2w.nii.gz")):
        participant = path.name.split("_")[0].removeprefix("sub-")
        t2w, mask = folder / f"{participant}.nii.gz", folder / f"{participant}_mask.nii.gz"
        nib.save(halved(nib.load(path), lambda four: np.rint(four.mean(-1))), t2w)
        nib.save(halved(nib.load(path.with_name(f"sub-{participant}_T2w_vertebrae.nii.gz")),
                        lambda four: np.sort(four, axis=-1)[..., 1:3].max(-1)), mask)  # fmt: skip
        images[participant] = (t2w, mask)
    assert len(images) == 10
    return images


@pytest.fixture(scope="module")
def vertebrae(lumbar_t2, tmp_path_factory) -> Path:
    """The results of the study of vertebrae, run to its end."""
    folder = copy_workflow(tmp_path_factory.mktemp("vertebrae") / "workflow")
    write_sheet(
        folder,
        [
            {"participant_id": participant, "session_id": "01", "t2w": t2w, "mask": mask}
            for participant, (t2w, mask) in lumbar_t2.items()
        ],
    )
    write_study(folder, VERTEBRAE)
    run = snakemake(folder, "--configfile", "my_study.yaml", "--cores", "2", "--set-threads", *ONE_THREAD)
    assert run.status == 0, run.output[-4000:]
    return folder / "results/vertebrae"


@pytest.mark.slow
def test_study_finds_the_vertebrae_of_patients_its_networks_never_saw(vertebrae):
    iou = pd.read_csv(vertebrae / "metrics/iou.csv")
    assert list(iou.columns) == [
        "experiment", "fold", "class_id", "class_name", "true_pixels", "predicted_pixels", "common_pixels", "iou",
        "dice", "precision", "recall",
    ]  # fmt: skip
    assert set(iou["experiment"]) == EXPERIMENTS
    assert set(iou["fold"]) == {1, 2, 3}
    assert set(iou["class_name"]) == {"Background", "Vert"}
    of_vertebrae = iou[iou["class_name"] == "Vert"].groupby("experiment")["iou"].mean()
    assert of_vertebrae.max() > 0.6
    assert of_vertebrae.min() > 0.4


@pytest.mark.slow
def test_study_writes_masks_on_the_t2w_grid_that_agree_with_the_table(vertebrae, lumbar_t2):
    folds = pd.read_csv(vertebrae / "folds.tsv", sep="\t", dtype=str)
    iou = pd.read_csv(vertebrae / "metrics/iou.csv").set_index(["experiment", "fold", "class_id"])["iou"]
    for experiment in EXPERIMENTS:
        for fold in (1, 2, 3):
            patients = set(folds.query(f"fold == '{fold}' and subset == 'test'")["participant_id"])
            files = list((vertebrae / f"masks/{experiment}/fold-{fold}").glob("sub-*"))
            assert {file.name for file in files} == {f"sub-{patient}_ses-01_dseg.nii.gz" for patient in patients}
            common = union = 0
            for patient in patients:
                mask = nib.load(vertebrae / f"masks/{experiment}/fold-{fold}/sub-{patient}_ses-01_dseg.nii.gz")
                t2w, truth = map(nib.load, lumbar_t2[patient])
                assert mask.get_data_dtype() == np.uint8
                assert mask.shape == t2w.shape
                np.testing.assert_allclose(mask.affine, t2w.affine, atol=1e-4)
                for code in ("sform_code", "qform_code"):
                    assert mask.header[code] == t2w.header[code]
                found, real = np.asarray(mask.dataobj), np.asarray(truth.dataobj) > 0
                assert set(np.unique(found)) <= {0, 1}
                common, union = common + (real & (found == 1)).sum(), union + (real | (found == 1)).sum()
            assert iou[experiment, fold, 1] == pytest.approx(common / union)


@pytest.mark.slow
def test_study_ends_with_tables_figures_and_a_page(vertebrae):
    table = pd.read_csv(vertebrae / "tables/table_7.csv")
    assert {"UD+TH", "UAD+TH", "E2+Arith+TH", "E2+NAD+TH"} < set(table.columns)
    figures = [f"figures/fig_{number}.{ending}" for number in (7, 8, 9) for ending in ("svg", "png")]
    for name in ["tables/table_7.md", "tables/table_7.tex", *figures, "report/results.html"]:
        assert (vertebrae / name).stat().st_size > 200, name
    means = (
        table[table["class_name"] == "IoU without Bg."]
        .select_dtypes("number")
        .drop(columns="class_id", errors="ignore")
    )
    best = means.iloc[0].idxmax()
    assert f"<strong>{best}</strong>" in (vertebrae / "report/results.html").read_text()


# ---- the real pair in DICOM ------------------------------------------------------------------------------------------

PAIR = {
    "study": "pair",
    "sessions": "sessions.tsv",
    "registration": {"engine": "itk"},
    "classes": [BACKGROUND, {"id": 1, "name": "Vert", "colour": "#e8c97d", "values": list(range(1, 10))}],
    "split": {"folds": 2, "test_patients": 1},
}
PATIENTS = ("a", "b")


@pytest.fixture(scope="module")
def pair_source(shared_data) -> Path:
    return shared_data / "lumbar_pair"


@pytest.fixture(scope="module")
def pair(pair_source, tmp_path_factory) -> Path:
    """A folder in which `snakemake patch` ran on the pair, which the sheet has under two names."""
    folder = copy_workflow(tmp_path_factory.mktemp("pair") / "workflow")
    session = {
        "session_id": "01",
        "t2w": pair_source / "dicom/02_T2_TSE_SAG",
        "t1w": pair_source / "dicom/03_T1_TSE_SAG",
        "mask": pair_source / "t2_vertebrae.nii.gz",
    }
    write_sheet(folder, [session | {"participant_id": patient} for patient in PATIENTS])
    write_study(folder, PAIR)
    run = snakemake(folder, "patch", "--configfile", "my_study.yaml", "--cores", "2")
    assert run.status == 0, run.output[-4000:]
    return folder


def in_pair(folder: Path, stage: str, ending: str, patient: str = "a") -> Path:
    """Return a session's file of a stage."""
    between = "anat/" if stage == "nifti" else ""
    return folder / f"results/pair/{stage}/sub-{patient}/ses-01/{between}sub-{patient}_ses-01_{ending}"


def view_of(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Return the voxels in sagittal view, and the affine of the image with axes R, A, S."""
    image = nib.load(path)
    return sagittal_view(np.asarray(image.dataobj), image.affine), nib.as_closest_canonical(image).affine


@pytest.mark.parametrize(("ending", "reference"), [("T2w", "t2"), ("T1w", "t1"), ("dseg", "t2_vertebrae")])
def test_conversion_keeps_every_voxel_and_its_place(pair, pair_source, ending, reference):
    voxels, affine = view_of(in_pair(pair, "nifti", f"{ending}.nii.gz"))
    expected, place = view_of(pair_source / f"{reference}.nii.gz")
    np.testing.assert_array_equal(voxels, expected > 0 if ending == "dseg" else expected)
    np.testing.assert_allclose(affine, place, atol=1e-3)


def test_registration_finds_the_offset_between_the_series(pair):
    report = read_json(in_pair(pair, "registered", "from-T1w_to-T2w_xfm.json"))
    assert not report["fell_back_to_header"]
    assert report["after"]["mutual_information"] > report["before"]["mutual_information"]
    # About 0.7 mm from front to back and 0.3 mm from head to foot, as measured when the pair was prepared.
    assert np.linalg.norm(np.subtract(report["shift_mm"], [0, -0.7, -0.3])) < 0.6
    assert report["rotation_degrees"] < 1
    registered, t2w = in_pair(pair, "registered", "space-T2w_T1w.nii.gz"), in_pair(pair, "nifti", "T2w.nii.gz")
    assert nib.load(registered).shape == nib.load(t2w).shape
    np.testing.assert_allclose(nib.load(registered).affine, nib.load(t2w).affine, atol=1e-5)


@pytest.mark.parametrize(("contrast", "source"), [("T2w", ("nifti", "T2w")), ("T1w", ("registered", "space-T2w_T1w"))])
def test_normalised_images_have_mean_zero_and_deviation_one_where_there_is_signal(pair, contrast, source):
    signal, _ = view_of(in_pair(pair, source[0], f"{source[1]}.nii.gz"))
    scores, _ = view_of(in_pair(pair, "normalised", f"space-T2w_desc-normalised_{contrast}.nii.gz"))
    inside = scores[signal != 0].astype(np.float64)
    assert inside.mean() == pytest.approx(0, abs=1e-4)
    assert inside.std() == pytest.approx(1, abs=1e-4)


def test_patches_are_stitched_to_the_normalised_slices_and_the_mask(pair):
    content = read_json(in_pair(pair, "patches", "patches.json"))
    tiling = Tiling(content["rows"], content["columns"], content["side"], content["stride"])
    images = blosc2.open(str(in_pair(pair, "patches", "images.b2nd")))[:]
    labels = blosc2.open(str(in_pair(pair, "patches", "labels.b2nd")))[:]
    scores = [
        view_of(in_pair(pair, "normalised", f"space-T2w_desc-normalised_{name}.nii.gz"))[0] for name in ("T2w", "T1w")
    ]
    mask, _ = view_of(in_pair(pair, "nifti", "dseg.nii.gz"))
    assert len(images) == len(labels) == len(mask) * tiling.count
    for number in range(len(mask)):
        of_slice = slice(number * tiling.count, (number + 1) * tiling.count)
        whole = np.stack([channel[number] for channel in scores], axis=-1)
        np.testing.assert_allclose(stitch(images[of_slice], tiling), whole, atol=1e-5)
        np.testing.assert_array_equal(stitch(labels[of_slice][..., None], tiling)[..., 0], mask[number])


def test_patches_of_the_same_series_are_equal_under_every_name(pair):
    digests = {read_json(in_pair(pair, "patches", "patches.json", patient))["digest"] for patient in PATIENTS}
    assert len(digests) == 1


def text_of(path: Path) -> bytes:
    """Return a file's content without its voxels, because any three letters occur somewhere in millions of voxels."""
    if path.name.endswith(".nii.gz"):
        content = gzip.decompress(path.read_bytes())
        return content[: int(nib.load(path).dataobj.offset)]
    return b"" if path.suffix == ".b2nd" else path.read_bytes()


def test_results_and_logs_contain_nothing_that_names_the_patient(pair, pair_source):
    headers = [pydicom.dcmread(path, stop_before_pixels=True) for path in (pair_source / "dicom").rglob("IM*")]
    fields = (
        "PatientName", "PatientID", "PatientBirthDate", "AccessionNumber", "InstitutionName", "ReferringPhysicianName",
        "StudyDate", "StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID", "SOPInstanceUID",
    )  # fmt: skip
    secrets = {str(header[field].value).encode() for header in headers for field in fields}
    assert len(secrets) > len(fields)
    files = [path for place in ("results", ".snakemake/log") for path in (pair / place).rglob("*") if path.is_file()]
    assert len(files) > 30
    for path in files:
        raw = path.read_bytes()
        content = raw + (gzip.decompress(raw) if path.suffix == ".gz" else b"")
        for secret in secrets:
            assert secret not in (content if len(secret) > 4 else text_of(path)), f"{secret!r} in {path}"
