"""Every kind of bad input in one study: each is told in one sentence that names the file, and the other sessions go on."""

import re
import shutil

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813 (its usual name)

from factories.dicom import SECRETS, write_series
from factories.workflow import copy_workflow, small_study, snakemake, write_cohort, write_study
from lumbarseg.cohort.sheet import read_sheet
from lumbarseg.errors import InputError

GOOD = ("p0", "p1")


def saved(path, image, change=lambda voxels: voxels, affine=None, codes=(1, 1)):
    """Write an image with something changed in it."""
    made = nib.Nifti1Image(change(np.asarray(image.dataobj)), image.affine if affine is None else affine)
    made.set_sform(made.affine, codes[0])
    made.set_qform(made.affine, codes[1])
    nib.save(made, path)


def bad_images(folder, good):
    """By participant: what the sheet names as its T2w, and what the sentence has to say of it."""
    image = nib.load(good)
    cut = write_series(folder / "truncated")[3]
    cut.write_bytes(cut.read_bytes()[:-100])
    yield "truncated", folder / "truncated", r"IM020004: 860 bytes of pixels instead of 960"
    write_series(folder / "gap", slices=[0, 1, 3, 4, 5])
    yield "gap", folder / "gap", r"gap: 8\.80 mm between IM020002 and IM020004, where slices are 4\.40 mm apart"
    write_series(folder / "two", slices=range(3))
    write_series(folder / "two", slices=range(3), number=3, PatientID="OTHER", PatientName="Other^One")
    yield "two", folder / "two", r"two: images of 2 patients in one folder"
    write_series(folder / "scout", image_type=("ORIGINAL", "PRIMARY", "LOCALIZER"))
    yield "scout", folder / "scout", r"scout: only a localiser"
    for number in (2, 3):
        write_series(folder / "twice", number=number)
    yield "twice", folder / "twice", r"twice: 2 series could be the sagittal T2w"
    write_series(folder / "axial", orientation=(1, 0, 0, 0, 1, 0), step=(0, 0, 1))
    yield "axial", folder / "axial", r"axial: not a stack of parallel sagittal slices \(series 2, 6 slices, axial"
    nib.save(nib.Nifti1Image(np.ones((8, 8, 3, 2), "f4"), np.eye(4)), folder / "four.nii.gz")
    yield "four", folder / "four.nii.gz", r"four\.nii\.gz: 8 × 8 × 3 × 2 voxels are not one 3-D volume"
    holed = np.asarray(image.dataobj).astype("f4")
    for name, value in (("nan", np.nan), ("infinite", np.inf)):
        holed[3, 3, 1] = value
        saved(folder / f"{name}.nii.gz", image, lambda _: holed)
        yield name, folder / f"{name}.nii.gz", rf"{name}\.nii\.gz: 1 voxels are NaN or infinite"
    saved(folder / "blank.nii.gz", image, np.zeros_like)
    yield "blank", folder / "blank.nii.gz", r"blank\.nii\.gz: every voxel is 0"
    (folder / "nothing.nii.gz").touch()
    yield "nothing", folder / "nothing.nii.gz", r"nothing\.nii\.gz: empty file"
    saved(folder / "flat.nii", image)
    content = bytearray((folder / "flat.nii").read_bytes())
    content[280:328] = bytes(48)  # the rows of the sform
    (folder / "flat.nii").write_bytes(content)
    yield "flat", folder / "flat.nii", r"flat\.nii: the affine is not finite or lacks an axis"
    sitk.WriteImage(sitk.GetImageFromArray(np.ones((3, 4, 5), "int16")), str(folder / "flat.mha"))
    header = (folder / "flat.mha").read_bytes().replace(b"ElementSpacing = 1 1 1", b"ElementSpacing = 1 0 1")
    (folder / "flat.mha").write_bytes(header)
    yield "flatmha", folder / "flat.mha", r"flat\.mha: (not a readable MHA|the affine)"
    saved(folder / "nowhere.nii.gz", image, codes=(0, 0))
    yield (
        "nowhere",
        folder / "nowhere.nii.gz",
        r"nowhere\.nii\.gz: no position in space \(sform and qform are not set\)",
    )
    (folder / "cut.nii.gz").write_bytes(good.read_bytes()[: good.stat().st_size // 2])
    yield "cut", folder / "cut.nii.gz", r"cut\.nii\.gz: not a readable NIfTI image"


def bad_masks(folder, good):
    """By participant: a mask of the first patient's image, and what the sentence has to say of it."""
    mask = nib.load(good)
    half = mask.affine.copy()
    half[:3, 3] += mask.affine[:3, 0] / 2
    cases = {
        "unknown": (
            {"change": lambda values: np.where(values == 1, 255, values)},
            r"mask values 255 in \d+ voxels belong to no class",
        ),
        "shifted": ({"affine": half}, r"a corner voxel lies 0\.5 mm from"),
        "mirrored": (
            {"change": lambda values: values[:, ::-1]},
            r"times stronger under the mask mirrored from head to foot",
        ),
        "smaller": (
            {"change": lambda values: values[:-1]},
            r"39 × 40 × 3 voxels, but its T2w image has 40 × 40 × 3",
        ),
        "blurred": (
            {"change": lambda values: values + np.float32(0.5)},
            r"voxels are not whole numbers \(such as",
        ),
    }
    for name, (changes, message) in cases.items():
        saved(folder / f"{name}.nii.gz", mask, **changes)
        yield name, folder / f"{name}.nii.gz", rf"{name}\.nii\.gz: .*{message}"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A study of two good sessions and one of each kind of bad ones, run up to patches."""
    folder = copy_workflow(tmp_path_factory.mktemp("bad") / "workflow")
    sheet = write_cohort(folder / "cohort", len(GOOD), slices=3)
    image, mask = (folder / f"cohort/0_{kind}.nii.gz" for kind in ("T2w", "mask"))
    expected, rows = {}, []
    for name, path, message in bad_images(folder / "cohort", image):
        rows.append(f"{name}\t01\t{path.name}\t0_mask.nii.gz\t\t\t\t")
        expected[name] = message
    for name, path, message in bad_masks(folder / "cohort", mask):
        rows.append(f"{name}\t01\t0_T2w.nii.gz\t{path.name}\t\t\t\t")
        expected[name] = message
    sheet.write_text(sheet.read_text() + "\n".join(rows) + "\n")
    write_study(folder, small_study("cohort/sessions.tsv"))
    return folder, snakemake(folder, "patch", "--configfile", "my_study.yaml", "--cores", "2"), expected


def test_each_bad_input_is_told_in_one_sentence_and_the_good_sessions_are_done(run):
    folder, done, expected = run
    assert done.status == 1
    assert len(expected) == 20
    for name, message in expected.items():
        told = [line for line in done.output.splitlines() if re.search(message, line)]
        assert told, f"{name}: {message}"
    patches = (folder / "results/small/patches").glob("*/*/*_patches.json")
    assert {path.parts[-3] for path in patches} == {f"sub-{name}" for name in GOOD}
    assert not any(secret in done.output for secret in SECRETS.values())


def test_no_part_of_a_file_is_left_of_what_failed(run):
    folder, _, expected = run
    left = [path.name for path in (folder / "results/small").rglob("*") if path.is_file() and ".part-" in path.name]
    assert not left
    for name in expected:
        assert not list((folder / "results/small/patches").glob(f"sub-{name}/*/*.json"))


@pytest.mark.parametrize("column", ["t2w", "mask"])
def test_a_file_that_may_not_be_read_is_named_with_its_line(tmp_path, monkeypatch, column):
    sheet = write_cohort(tmp_path, 3)
    name = "1_T2w.nii.gz" if column == "t2w" else "1_mask.nii.gz"
    # as root, who may read everything, runs tests too
    monkeypatch.setattr("os.access", lambda path, mode: not str(path).endswith(name))
    with pytest.raises(InputError, match=rf"sessions\.tsv, line 3: no permission to read `{column}` at .*{name}"):
        read_sheet(sheet, ["T2w"])


def test_a_folder_that_lost_its_files_after_the_sheet_was_read_is_told(tmp_path):
    folder = copy_workflow(tmp_path / "workflow")
    write_cohort(folder / "cohort", 2)
    series = write_series(folder / "cohort/dicom")
    text = (folder / "cohort/sessions.tsv").read_text().replace("0_T2w.nii.gz", "dicom")
    (folder / "cohort/sessions.tsv").write_text(text)
    for file in series:
        file.unlink()
    write_study(folder, small_study("cohort/sessions.tsv"))
    done = snakemake(folder, "convert", "--configfile", "my_study.yaml", "--cores", "2")
    assert "dicom: no DICOM file with an MR image (0 other files)" in done.output
    shutil.rmtree(folder / "cohort/dicom")
    done = snakemake(folder, "convert", "--configfile", "my_study.yaml", "--cores", "2")
    assert "sessions.tsv, line 2: `t2w` not found at" in done.output
