"""Masks whose files carry the names of their labels."""

import gzip
import json

import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813 (its usual name)

from lumbarseg.errors import InputError
from lumbarseg.geometry import volume
from lumbarseg.imaging.masks import read_mask
from lumbarseg.labels import LabelTable

ENTRIES = [
    {"id": 0, "name": "Background", "colour": "#000000"},
    {"id": 1, "name": "Vert", "colour": "#e8c97d"},
    {"id": 2, "name": "Sacrum", "colour": "#b5762f"},
]
LABELS = LabelTable(ENTRIES)
WITH_VALUES = LabelTable([*ENTRIES[:2], ENTRIES[2] | {"values": [7]}])
# Sagittal, and oblique as real series are: left to right, front to back, feet to head.
AFFINE = np.array([[0.02, 0, 4.4, -20], [-0.7, 0.01, 0.1, 60], [0.01, 0.7, 0, -50], [0, 0, 0, 1.0]])
AFFINE[:3, :3] = np.linalg.qr(AFFINE[:3, :3])[0] * np.diag(np.linalg.qr(AFFINE[:3, :3])[1])
NAMES = {1: "Sacrum", 2: "Vert"}  # numbers in the order of drawing, not of the classes


@pytest.fixture
def drawn():
    """Class ids with empty margins."""
    classes = np.zeros((12, 10, 6), "uint8")
    classes[2:9, 3:8, 1:4] = np.random.default_rng(3).integers(0, 3, (7, 5, 3))
    return classes


@pytest.fixture
def t2w():
    return volume(np.ones((12, 10, 6), "int16"), AFFINE)


def numbered(classes):
    """The values of a file whose labels are `NAMES`."""
    return np.select([classes == 1, classes == 2], [2, 1], 0).astype("uint8")


def segments(names, layers=None, values=None):
    """The fields of 3D Slicer, in its version 5."""
    fields = {"Segmentation_MasterRepresentation": "Binary labelmap"}
    for number, (value, name) in enumerate(names.items()):
        fields |= {
            f"Segment{number}_ID": f"Segment_{number + 1}",
            f"Segment{number}_Name": name,
            f"Segment{number}_LabelValue": str(values[number] if values else value),
            f"Segment{number}_Layer": str(layers[number] if layers else 0),
            f"Segment{number}_Tags": "TerminologyEntry:Segmentation category~SCT^85756007^Tissue~SCT^51114001^Vert~^^~|",
        }
    return fields


def write_nrrd(path, voxels, affine, fields):
    """Write (layers,) i, j, k as NRRD with fields of its own, as 3D Slicer does."""
    lps = np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine
    axes = [f"({','.join(map(repr, lps[:3, axis].tolist()))})" for axis in range(3)]
    listed = voxels.ndim == 4
    header = [
        "NRRD0004", "type: unsigned char", f"dimension: {voxels.ndim}", "space: left-posterior-superior",
        f"sizes: {' '.join(map(str, voxels.shape))}", f"space directions: {' '.join([*['none'] * listed, *axes])}",
        f"kinds: {' '.join([*['list'] * listed, *['domain'] * 3])}", "encoding: raw",
        f"space origin: ({','.join(map(repr, lps[:3, 3].tolist()))})", *(f"{key}:={text}" for key, text in fields.items()),
    ]  # fmt: skip
    path.write_bytes("\n".join([*header, "", ""]).encode() + voxels.astype("uint8").tobytes(order="F"))


def cropped(voxels, affine, first, shape):
    """A part of a volume that begins at the voxel `first`, which may lie outside, with its affine."""
    padded = np.pad(voxels, 5)
    part = padded[tuple(slice(5 + at, 5 + at + size) for at, size in zip(first, shape, strict=True))]
    moved = affine.copy()
    moved[:3, 3] += affine[:3, :3] @ first
    return part, moved


def test_read_mask_reads_segments_of_slicer_by_name_not_by_number(tmp_path, drawn, t2w):
    path = tmp_path / "mask.seg.nrrd"
    for names in (NAMES, {1: " SACRUM ", 2: "vert"}):
        write_nrrd(path, numbered(drawn), AFFINE, segments(names))
        np.testing.assert_array_equal(read_mask(path, t2w, LABELS), drawn)
    write_nrrd(path, drawn, AFFINE, segments({1: "Vert", 2: "Sacrum", 9: "Spare"}))  # a segment without voxels
    np.testing.assert_array_equal(read_mask(path, t2w, LABELS), drawn)


@pytest.mark.parametrize("orientation", ["RAS", "LPS", "SRP", "ASL"])
@pytest.mark.parametrize(
    ("first", "shape"), [((2, 3, 1), (7, 5, 3)), ((-1, 2, -2), (13, 9, 7)), ((-3, -3, -3), (18, 16, 12))]
)
def test_read_mask_puts_a_cropped_extent_back_on_the_grid(tmp_path, drawn, t2w, orientation, first, shape):
    part = volume(*cropped(numbered(drawn), AFFINE, first, shape))
    wanted = nib.orientations.axcodes2ornt(orientation)
    part = part.as_reoriented(nib.orientations.ornt_transform(nib.io_orientation(AFFINE), wanted))
    write_nrrd(tmp_path / "mask.seg.nrrd", np.asarray(part.dataobj), part.affine, segments(NAMES))
    np.testing.assert_array_equal(read_mask(tmp_path / "mask.seg.nrrd", t2w, LABELS), drawn)


def test_read_mask_rejects_segments_that_leave_the_grid_or_lie_between_its_voxels(tmp_path, drawn, t2w):
    path = tmp_path / "mask.seg.nrrd"
    moved = AFFINE.copy()
    moved[:3, 3] += 5 * AFFINE[:3, 0]
    write_nrrd(path, numbered(drawn), moved, segments(NAMES))
    lost = int((drawn[7:] > 0).sum())
    with pytest.raises(InputError, match=rf"mask\.seg\.nrrd: {lost} voxels of its segments lie outside the T2w image"):
        read_mask(path, t2w, LABELS)
    moved[:3, 3] = AFFINE[:3, 3] + 0.5 * AFFINE[:3, 0]
    write_nrrd(path, numbered(drawn), moved, segments(NAMES))
    with pytest.raises(
        InputError, match=r"its voxels lie up to 0\.35 mm from those of its T2w image \(limit 0\.1 mm\)"
    ):
        read_mask(path, t2w, LABELS)
    write_nrrd(path, np.zeros((1, 1, 1)), AFFINE, segments(NAMES))
    with pytest.raises(InputError, match="a segmentation without voxels"):
        read_mask(path, t2w, LABELS)


def test_read_mask_reads_segments_in_layers(tmp_path, drawn, t2w):
    layers = np.stack([drawn == 2, 3 * (drawn == 1)])
    path = tmp_path / "mask.seg.nrrd"
    write_nrrd(path, layers, AFFINE, segments({1: "Sacrum", 3: "Vert"}, layers=(0, 1)))
    np.testing.assert_array_equal(read_mask(path, t2w, LABELS), drawn)
    write_nrrd(path, np.stack([drawn == 2, drawn == 1]), AFFINE, segments(NAMES, layers=(0, 1), values=(1, 1)))
    np.testing.assert_array_equal(read_mask(path, t2w, LABELS), drawn)
    write_nrrd(path, numbered(drawn)[None], AFFINE, segments(NAMES))  # a list of one
    np.testing.assert_array_equal(read_mask(path, t2w, LABELS), drawn)
    before_version_5 = {"Segment0_Name": "Sacrum", "Segment1_Name": "Vert"}
    write_nrrd(path, np.stack([drawn == 2, drawn == 1]), AFFINE, before_version_5)
    np.testing.assert_array_equal(read_mask(path, t2w, LABELS), drawn)


def test_read_mask_rejects_overlapping_segments_of_two_classes(tmp_path, drawn, t2w):
    layers = np.stack([drawn == 2, drawn > 0])
    write_nrrd(tmp_path / "mask.seg.nrrd", layers, AFFINE, segments(NAMES, layers=(0, 1), values=(1, 1)))
    with pytest.raises(InputError, match=rf"{(drawn == 2).sum()} voxels of Vert belong to another class too"):
        read_mask(tmp_path / "mask.seg.nrrd", t2w, LABELS)


def test_read_mask_takes_values_of_unknown_names_only_if_the_config_gives_them(tmp_path, drawn, t2w):
    path = tmp_path / "mask.seg.nrrd"
    voxels = np.select([drawn == 1, drawn == 2], [3, 7], 0)
    write_nrrd(path, voxels, AFFINE, segments({3: "Vert", 7: "Segment_2"}))
    np.testing.assert_array_equal(read_mask(path, t2w, WITH_VALUES), drawn)
    with pytest.raises(
        InputError,
        match=rf"the labels “Segment_2” \(7\) in {(drawn == 2).sum()} voxels .* no class \(classes: Background, Vert",
    ):
        read_mask(path, t2w, LABELS)
    write_nrrd(path, drawn, AFFINE, segments({1: "Segment_1", 2: "Segment_2"}))  # numbers that happen to be class ids
    with pytest.raises(InputError, match=r"“Segment_1” \(1\), “Segment_2” \(2\)"):
        read_mask(path, t2w, LABELS)
    write_nrrd(path, drawn, AFFINE, segments({1: "Vert"}))
    with pytest.raises(InputError, match=r"the labels 2 \(without a name\)"):
        read_mask(path, t2w, LABELS)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"Segment0_Name": "Vert", "Segment0_LabelValue": "one"}, "damaged description of its labels"),
        (segments(NAMES, values=(1, 1)), "the labels “Sacrum” and “Vert” have the same value 1"),
        (segments(NAMES | {0: "Vert"}), "the label “Vert” has the value 0, which voxels without a label have"),
    ],
)
def test_read_mask_rejects_damaged_descriptions(tmp_path, drawn, t2w, fields, message):
    write_nrrd(tmp_path / "mask.nrrd", numbered(drawn), AFFINE, fields)
    with pytest.raises(InputError, match=message):
        read_mask(tmp_path / "mask.nrrd", t2w, LABELS)


@pytest.mark.parametrize(
    ("name", "fields", "reason"),
    [
        (
            "mask.nrrd",
            {"modality": "org.mitk.multilabel.segmentation"},
            "names written by MITK before 2023 are not read; ",
        ),
        (
            "mask.nrrd",
            {"modality": "org.mitk.image.multilabel", "layers": "1"},
            "names written by MITK before 2023 are not read; ",
        ),
        ("mask.nrrd", {"org.mitk.multilabel.segmentation.labelgroups": "[]"}, "the file has no names of labels; "),
        (
            "mask.nrrd",
            {"org.mitk.multilabel.segmentation.labelgroups": '[{"name": "g"}]'},
            "the file has no names of labels; ",
        ),
        (
            "mask.nrrd",
            {"org.mitk.multilabel.segmentation.labelgroups": '[{"labels": []}]'},
            "the file has no names of labels; ",
        ),
        ("mask.seg.nrrd", {}, "the file has no names of labels; "),
        ("mask.seg.nrrd", {"Segment0_Color": "0 1 0", "Segment0_Tags": "x"}, "the file has no names of labels; "),
        ("mask.nrrd", {"Segmentation_MasterRepresentation": "Binary labelmap"}, "the file has no names of labels; "),
        ("mask.seg.nrrd", {"Segment0_LabelValue": "1", "Segment1_LabelValue": "2"}, ""),
    ],
)
def test_read_mask_takes_values_of_segmentations_without_names_only_if_the_config_gives_them(
    tmp_path, drawn, t2w, name, fields, reason
):
    write_nrrd(tmp_path / name, drawn, AFFINE, fields)
    with pytest.raises(InputError, match=rf"{name}: {reason}the labels 1 \(without a name\), 2 \(without a name\) in"):
        read_mask(tmp_path / name, t2w, LABELS)
    given = LabelTable([entry | {"values": [entry["id"]]} for entry in ENTRIES])
    np.testing.assert_array_equal(read_mask(tmp_path / name, t2w, given), drawn)


def test_read_mask_reads_label_groups_of_mitk(tmp_path, drawn, t2w):
    groups = [{"labels": [{"name": "Sacrum", "value": 1}]}, {"labels": [{"name": "Vert", "value": 2}]}]
    fields = {
        "modality": "org.mitk.multilabel.segmentation",
        "org.mitk.multilabel.segmentation.labelgroups": json.dumps(groups),
    }
    write_nrrd(tmp_path / "mask.nrrd", np.stack([drawn == 2, 2 * (drawn == 1)]), AFFINE, fields)
    np.testing.assert_array_equal(read_mask(tmp_path / "mask.nrrd", t2w, LABELS), drawn)


CARET = (
    '<?xml version="1.0" encoding="UTF-8"?> <CaretExtension> <VolumeInformation Index="0"> <LabelTable>'
    '<Label Key="0" Red="1" Alpha="0">???</Label>\n<Label Key="1" Red="1"><![CDATA[{1}]]></Label>\n'
    '<Label Key="2" Red="1">{2}</Label></LabelTable></VolumeInformation></CaretExtension>'
)
AFNI = (
    '<AFNI_attributes><AFNI_atr ni_type="String" atr_name="VALUE_LABEL_DTABLE" >"&lt;VALUE_LABEL_DTABLE ni_type=&quot;2*String'
    '&quot; ni_dimen=&quot;2&quot; &gt; &quot;1&quot; &quot;{1}&quot; &quot;2&quot; &quot;{2}&quot; &lt;/VALUE_LABEL_DTABLE&gt;"'
    '</AFNI_atr><AFNI_atr atr_name="X">"3" "no label"</AFNI_atr></AFNI_attributes>'
)


@pytest.mark.parametrize(
    ("code", "text"), [(0, CARET), (30, CARET), (4, AFNI)], ids=["TotalSegmentator", "Workbench", "AFNI"]
)
def test_read_mask_reads_label_tables_of_nifti_headers(tmp_path, drawn, t2w, code, text):
    def save(values, names):
        image = volume(values, AFFINE)
        image.header.extensions.append(
            nib.nifti1.Nifti1Extension(code, text.replace("{1}", names[1]).replace("{2}", names[2]).encode())
        )
        nib.save(image, tmp_path / "mask.nii.gz")

    save(numbered(drawn), NAMES)
    np.testing.assert_array_equal(read_mask(tmp_path / "mask.nii.gz", t2w, LABELS), drawn)
    save(drawn, {1: "vertebrae_L1", 2: "Sacrum"})
    with pytest.raises(InputError, match=r"“vertebrae_L1” \(1\)"):
        read_mask(tmp_path / "mask.nii.gz", t2w, LABELS)


NAMED_CARET = CARET.replace("{1}", "Sacrum").replace("{2}", "Vert")


@pytest.mark.parametrize(
    ("code", "content"),
    [
        (30, NAMED_CARET.encode("utf-16")),
        (30, NAMED_CARET.encode("utf-16-be")),
        (30, NAMED_CARET.replace("<Label", "<c:Label").replace("</Label", "</c:Label").encode()),
        (30, NAMED_CARET.replace("<Label ", "<c:Label ").replace("</Label>", "</c:Label>").encode()),
        (4, b'<AFNI_atr atr_name="ATLAS_LABEL_TABLE">"<ATLAS_POINT STRUCT="Sacrum" VAL="1"></ATLAS_POINT>"</AFNI_atr>'),
        (4, b'<AFNI_atr atr_name="VALUE_LABEL_DTABLE">"1 Sacrum 2 Vert"</AFNI_atr>'),
    ],
)
def test_read_mask_rejects_label_tables_that_it_does_not_understand(tmp_path, drawn, t2w, code, content):
    image = volume(numbered(drawn), AFFINE)
    image.header.extensions.append(nib.nifti1.Nifti1Extension(code, content))
    nib.save(image, tmp_path / "mask.nii.gz")
    with pytest.raises(
        InputError, match=r"mask\.nii\.gz: its header has a label table that cannot be read; the labels 1"
    ):
        read_mask(tmp_path / "mask.nii.gz", t2w, LABELS)


def test_read_mask_reads_numbers_where_the_label_table_is_empty(tmp_path, drawn, t2w):
    for number, table in enumerate(("<LabelTable/>", "<LabelTable>\n</LabelTable>")):
        image = volume(drawn, AFFINE)
        image.header.extensions.append(nib.nifti1.Nifti1Extension(30, table.encode()))
        nib.save(image, tmp_path / f"{number}.nii")
        np.testing.assert_array_equal(read_mask(tmp_path / f"{number}.nii", t2w, LABELS), drawn)


def test_read_mask_rejects_damaged_nifti_files_in_one_sentence(tmp_path, drawn, t2w):
    image = volume(drawn, AFFINE)
    image.header.extensions.append(nib.nifti1.Nifti1Extension(30, CARET.encode()))
    nib.save(image, tmp_path / "mask.nii")
    content = (tmp_path / "mask.nii").read_bytes()
    packed = bytearray(gzip.compress(content))
    packed[len(packed) // 2 :] = bytes(len(packed) - len(packed) // 2)

    def with_number(at, number, size):
        return content[:at] + number.to_bytes(size, "little") + content[at + size :]

    damaged = {
        "datatype.nii": with_number(70, 999, 2),
        "large.nii": with_number(352, 10**6, 4),
        "small.nii": with_number(352, 7, 4),
        "offset.nii": content[:108] + np.float32(np.inf).tobytes() + content[112:],
        "stream.nii.gz": bytes(packed),
        "cut.nii.gz": gzip.compress(content)[:80],
    }
    for name, damage in damaged.items():
        (tmp_path / name).write_bytes(damage)
        with pytest.raises(InputError, match=rf"{name}: not a readable NIfTI image \(.*\); copy it again"):
            read_mask(tmp_path / name, t2w, LABELS)


@pytest.mark.parametrize("name", ["mask.nii.gz", "mask.nii", "mask.seg.nrrd", "mask.mha"])
def test_read_mask_rejects_files_that_were_not_fetched(tmp_path, t2w, name):
    path = tmp_path / name
    for pointer in ("/annex/objects/MD5E-s9--0.nii.gz\n", "version https://git-lfs.github.com/spec/v1\noid sha256:0\n"):
        path.write_text(pointer)
        with pytest.raises(
            InputError, match="a pointer of git-annex or Git LFS instead of the file; fetch its content"
        ):
            read_mask(path, t2w, LABELS)
    path.unlink()
    path.symlink_to(tmp_path / ".git/annex/objects/none")
    with pytest.raises(InputError, match="the file that the link leads to is missing; fetch it"):
        read_mask(path, t2w, LABELS)


def test_read_mask_reads_numbers_where_a_file_has_no_names(tmp_path, drawn, t2w):
    write_nrrd(tmp_path / "mask.nrrd", drawn, AFFINE, {"comment_of_a_program": "Vert"})
    np.testing.assert_array_equal(read_mask(tmp_path / "mask.nrrd", t2w, LABELS), drawn)
    image = volume(drawn, AFFINE)
    image.header.extensions.append(nib.nifti1.Nifti1Extension("comment", b"<Label> a remark"))
    nib.save(image, tmp_path / "mask.nii")
    np.testing.assert_array_equal(read_mask(tmp_path / "mask.nii", t2w, LABELS), drawn)
    named = sitk.ReadImage(str(tmp_path / "mask.nii"))
    for key, text in segments({1: "Sacrum", 2: "Vert"}).items():
        named.SetMetaData(key, text)
    sitk.WriteImage(named, str(tmp_path / "mask.mha"))  # MHA keeps the fields of 3D Slicer
    np.testing.assert_array_equal(read_mask(tmp_path / "mask.mha", t2w, LABELS), numbered(drawn))
