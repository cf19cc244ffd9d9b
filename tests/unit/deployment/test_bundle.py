"""Bundles: content, reproducibility, and rejection of damaged or inconsistent files."""

import json
import zipfile

import pytest

from factories.bundle import CLASSES, MEAN, STACKED, small_bundle, small_manifest, small_network
from lumbarseg.deployment.bundle import CARD, MANIFEST, META_LEARNER, Bundle, write_bundle
from lumbarseg.deployment.model_card import model_card
from lumbarseg.deployment.segmenter import Segmenter
from lumbarseg.errors import InputError


def altered(path, folder, change):
    """A copy of a bundle in which some files have another content (None: are not there)."""
    target = folder / "altered.zip"
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(target, "w") as copy:
        contents = {name: source.read(name) for name in source.namelist()}
        for name, content in change(contents).items():
            copy.writestr(name, content)
    return target


def test_bundle_returns_networks_meta_learner_and_card_unchanged(stacked_bundle, tmp_path):
    bundle = Bundle(stacked_bundle)
    networks, meta_learners = bundle.extract(tmp_path)
    assert [file.name for file in networks] == ["U1.keras", "UD.keras"]
    for file in [*networks, *meta_learners]:
        assert file.read_bytes() == (stacked_bundle.parent / file.name).read_bytes()
    assert bundle.model == STACKED
    assert "Not a medical device" in bundle.card()


def test_write_bundle_is_reproducible_to_the_byte(stacked_bundle, tmp_path):
    files = {
        name: stacked_bundle.parent / name.rpartition("/")[2]
        for name in Bundle(stacked_bundle).manifest["files"]
        if name != CARD
    }
    manifest = small_manifest(STACKED)
    write_bundle(tmp_path / "again.zip", manifest, files, model_card(manifest))
    assert (tmp_path / "again.zip").read_bytes() == stacked_bundle.read_bytes()


def test_bundle_settings_are_those_of_the_training_with_registration_by_itk(stacked_bundle):
    settings = Bundle(stacked_bundle).settings
    assert settings["channels"] == ["T2w", "T1w"]
    assert settings["patches"] == {"patch_size": 32, "stride": 24}
    assert settings["registration"]["engine"] == "itk"
    assert settings["registration"]["degrees_of_freedom"] == 6


def manifest_with(**changes):
    def change(contents):
        return contents | {MANIFEST: json.dumps(json.loads(contents[MANIFEST]) | changes)}

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (manifest_with(format=7), "bundle format 7, but this version reads format 2"),
        (
            lambda contents: {name: data for name, data in contents.items() if name != MANIFEST},
            "damaged, or not a bundle",
        ),
        (lambda contents: contents | {MANIFEST: b"[]"}, r"damaged, or not a bundle \(bundle.json: no JSON object\)"),
        (
            lambda contents: contents | {META_LEARNER: contents[META_LEARNER][:-1] + b"x"},
            "the checksum of meta_learner.keras differs",
        ),
        (
            lambda contents: {name: data for name, data in contents.items() if name != META_LEARNER},
            r"missing or additional files \(meta_learner.keras\)",
        ),
        (lambda contents: contents | {"extra": b""}, r"missing or additional files \(extra\)"),
        (lambda contents: contents | {CARD: b"better than it is"}, "the checksum of MODEL_CARD.md differs"),
    ],
)
def test_bundle_rejects_altered_content(stacked_bundle, tmp_path, change, message):
    path = altered(stacked_bundle, tmp_path, change)
    with pytest.raises(InputError, match=message) as refusal:
        Bundle(path).check()
    assert str(path) in str(refusal.value)


def test_bundle_rejects_truncated_foreign_and_missing_files(stacked_bundle, tmp_path):
    whole = stacked_bundle.read_bytes()
    cases = {"short.zip": whole[: len(whole) // 2], "text.zip": b"hello", "empty.zip": b""}
    for name, content in cases.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(InputError, match=f"{name}: damaged, or not a bundle"):
            Bundle(tmp_path / name)
    with pytest.raises(InputError, match=r"none\.zip: bundle not found; make one with"):
        Bundle(tmp_path / "none.zip")
    flipped = bytearray(whole)
    flipped[len(whole) // 3] ^= 1
    (tmp_path / "flipped.zip").write_bytes(flipped)
    with pytest.raises(InputError, match=r"flipped\.zip"):
        Bundle(tmp_path / "flipped.zip").check()


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        (lambda: {"networks": {"U1": small_network("U1"), "UD": small_network("UD", classes=4)}}, r"\(UD.keras: the layers are not those of the topology UD"),
        (lambda: {"networks": {"U1": small_network("U1", channels=1), "UD": small_network("UD")}}, r"\(U1.keras: the layers are not those of the topology U1"),
        (lambda: {"networks": {"UD": small_network("UD")}}, r"`files` lacks networks/U1\.keras"),
        (
            lambda: {"manifest": small_manifest(classes=[*CLASSES[:2], CLASSES[2] | {"name": "Canal"}])},
            "bundle.json: `thresholds` are not of the classes",
        ),
    ],
)  # fmt: skip
def test_segmenter_rejects_bundles_whose_parts_do_not_fit_together(tmp_path, parts, message):
    path = small_bundle(tmp_path, MEAN, **parts())
    with pytest.raises(InputError, match=message):
        Segmenter(Bundle(path))
