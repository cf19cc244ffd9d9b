"""The one file: what goes in comes out, and what is damaged, old or does not fit is refused with a sentence."""

import json
import zipfile

import pytest

from factories.bundle import CLASSES, MEAN, STACKED, small_bundle, small_manifest, small_network
from lumbarseg.deployment.bundle import CARD, MANIFEST, META_LEARNER, Bundle
from lumbarseg.deployment.segmenter import Segmenter
from lumbarseg.errors import InputError


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return small_bundle(tmp_path_factory.mktemp("bundle"), STACKED)


def altered(path, folder, change):
    """A copy of a bundle in which some files have another content (None: are not there)."""
    target = folder / "altered.zip"
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(target, "w") as copy:
        contents = {name: source.read(name) for name in source.namelist()}
        for name, content in change(contents).items():
            copy.writestr(name, content)
    return target


def test_networks_head_and_card_come_out_as_they_went_in(made, tmp_path):
    bundle = Bundle(made)
    networks, meta_learners = bundle.extract(tmp_path)
    assert [file.name for file in networks] == ["U1.keras", "UD.keras"]
    for file in [*networks, *meta_learners]:
        assert file.read_bytes() == (made.parent / file.name).read_bytes()
    assert bundle.model == STACKED
    assert "Not a medical device" in bundle.card()


def test_the_same_content_gives_the_same_bytes(made, tmp_path):
    files = {name: made.parent / name.rpartition("/")[2] for name in Bundle(made).manifest["files"] if name != CARD}
    from lumbarseg.deployment.bundle import write_bundle
    from lumbarseg.deployment.model_card import model_card

    manifest = small_manifest(STACKED)
    write_bundle(tmp_path / "again.zip", manifest, files, model_card(manifest))
    assert (tmp_path / "again.zip").read_bytes() == made.read_bytes()


def test_the_settings_are_those_of_the_training_but_new_patients_are_registered_without_fsl(made):
    settings = Bundle(made).settings
    assert settings["channels"] == ["T2w", "T1w"]
    assert settings["patches"] == {"patch_size": 32, "stride": 24}
    assert settings["registration"]["engine"] == "itk"
    assert settings["registration"]["degrees_of_freedom"] == 6


def manifest_with(**changes):
    def change(contents):
        return contents | {MANIFEST: json.dumps(json.loads(contents[MANIFEST]) | changes)}

    return change


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (manifest_with(format=7), "expected a bundle of version 1, found version 7; make it anew"),
        (
            lambda contents: {name: data for name, data in contents.items() if name != MANIFEST},
            "damaged or something else",
        ),
        (lambda contents: contents | {MANIFEST: b"[]"}, "found version None"),
        (
            lambda contents: contents | {META_LEARNER: contents[META_LEARNER][:-1] + b"x"},
            "expected meta_learner.keras as it was packed, found another checksum",
        ),
        (
            lambda contents: {name: data for name, data in contents.items() if name != META_LEARNER},
            "found a difference in meta_learner.keras",
        ),
        (lambda contents: contents | {"extra": b""}, "found a difference in extra"),
        (lambda contents: contents | {CARD: b"better than it is"}, "expected MODEL_CARD.md as it was packed"),
    ],
)
def test_a_bundle_that_was_altered_is_refused_with_a_sentence(made, tmp_path, change, said):
    path = altered(made, tmp_path, change)
    with pytest.raises(InputError, match=said) as refusal:
        Bundle(path).check()
    assert str(path) in str(refusal.value)


def test_a_file_that_is_cut_short_something_else_or_not_there_is_refused(made, tmp_path):
    whole = made.read_bytes()
    cases = {"short.zip": whole[: len(whole) // 2], "text.zip": b"hello", "empty.zip": b""}
    for name, content in cases.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(InputError, match=f"{name}: expected a bundle, found a file that is damaged"):
            Bundle(tmp_path / name)
    with pytest.raises(InputError, match="found no such file; make one with"):
        Bundle(tmp_path / "none.zip")
    flipped = bytearray(whole)
    flipped[len(whole) // 3] ^= 1
    (tmp_path / "flipped.zip").write_bytes(flipped)
    with pytest.raises(InputError, match=r"flipped\.zip"):
        Bundle(tmp_path / "flipped.zip").check()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"networks": {"U1": small_network("U1"), "UD": small_network("UD", classes=4)}}, "expected UD from patches"),
        ({"networks": {"U1": small_network("U1", channels=1), "UD": small_network("UD")}}, "expected U1 from patches"),
        ({"networks": {"UD": small_network("UD")}}, "found no networks/U1.keras"),
        ({"manifest": small_manifest(classes=[*CLASSES[:2], CLASSES[2] | {"name": "Canal"}])}, "expected thresholds of Background"),
    ],
)  # fmt: skip
def test_a_bundle_whose_parts_do_not_fit_together_is_refused(tmp_path, given, said):
    path = small_bundle(tmp_path, MEAN, **given)
    with pytest.raises(InputError, match=said):
        Segmenter(Bundle(path))
