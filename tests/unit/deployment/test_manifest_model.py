"""The manifest of a bundle and the archive around it: whatever they say, a bundle opens or is refused in one sentence, and nothing is written."""

import copy
import hashlib
import json
import math
import struct
import time
import zipfile
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from factories.bundle import MEAN, NETWORK, STACKED, small_manifest
from factories.workflow import ROOT
from lumbarseg.config.study import Study
from lumbarseg.deployment.bundle import CARD, FORMAT, MANIFEST, META_LEARNER, Bundle, network_entry
from lumbarseg.deployment.manifest_model import DRAFT
from lumbarseg.deployment.starter_packing import ANATOMY, RANGES
from lumbarseg.errors import InputError
from lumbarseg.workflow.plan import apply_bundle


def described(manifest):
    """A manifest with format and checksums, and the files it names: of no networks, because opening reads none."""
    model = manifest["model"]
    names = [CARD, *map(network_entry, model["networks"]), *([META_LEARNER] if model["combiner"] == "TCD" else [])]
    files = {name: name.encode() for name in names}
    checksums = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    return json.loads(json.dumps({"format": FORMAT, **manifest, "files": checksums})), files


def starter_manifest():
    study = Study(yaml.safe_load((ROOT / "config.yaml").read_text())).as_dict()
    starter = study["starter"]
    return {
        "experiment": "UD+MAP", "study": "starter", "model": {"name": "UD", "networks": ["UD"], "combiner": ""},
        "labelling": "MAP", "fold": 1, "channels": ["T2w"], "background": study["background"], "classes": study["classes"],
        "registration": study["registration"], "normalisation": {"scope": "slice"},
        "patches": {"patch_size": 192, "stride": 144}, "pixel_size": starter["pixel_size_mm"],
        "training": {key: starter[key] for key in ("base_filters", "batch_size", "seed", "epochs", "phantoms", "steps_per_epoch")}
        | {"best_epoch": 1},
        "topologies": {"UD": study["topologies"]["UD"]}, "patients": {"train": 0, "validation": 0, "test": 0}, "ranges": RANGES,
        "anatomy": ANATOMY, "verdicts": {"Vert": DRAFT, "Nerve-Root": "not to be used"}, "versions": small_manifest()["versions"],
        "phantom_iou": {"Vert": 0.5, "Nerve-Root": None},
    }  # fmt: skip


VALID = {
    "network": described(small_manifest(NETWORK)),
    "mean": described(small_manifest(MEAN)),
    "stacked": described(small_manifest(STACKED)),
    "maximum": described(small_manifest(MEAN, "MAP", ranges={"T2w EchoTime (s)": [0.08, 0.12]})),
    "starter": described(starter_manifest()),
}


def write(path, manifest, files, method=zipfile.ZIP_STORED):
    content = manifest if isinstance(manifest, bytes) else json.dumps(manifest).encode("utf-8", "surrogatepass")
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in {**files, MANIFEST: content}.items():
            archive.writestr(name, data)
    return path


def refusal(path, match):
    """The sentence that refuses a bundle; it names the file and is one line."""
    with pytest.raises(InputError, match=match) as found:
        Bundle(path).check()
    assert str(found.value).startswith(f"{path}: ")
    assert str(found.value).isprintable()
    assert len(str(found.value)) < 600
    assert [one.name for one in path.parent.iterdir()] == [path.name]


def without_defaults(found, given):
    """A tree without the keys that another one lacks."""
    if isinstance(given, dict):
        return {key: without_defaults(found[key], given[key]) for key in given}
    if isinstance(given, list):
        return [without_defaults(*pair) for pair in zip(found, given, strict=True)]
    return found


@pytest.mark.parametrize("name", VALID)
def test_bundle_opens_what_is_valid(tmp_path, name):
    manifest, files = VALID[name]
    bundle = Bundle(write(tmp_path / "a.zip", manifest, files))
    bundle.check()
    assert without_defaults(bundle.manifest, manifest) == manifest
    config = {"bundle": str(bundle.path)}
    apply_bundle(config)
    assert config["classes"] == bundle.manifest["classes"]


PATHS = [(), ("model",), ("patches",), ("classes", 1), ("registration",), ("validation",), ("topologies", "U1")]
HOSTILE = ["../../victim/patient7", "/etc/x", "U1\n", "", "a b", "$x_{$", "{sample}", "U1\0", "\u202eU1", "A" * 10**4]


@pytest.mark.parametrize("value", HOSTILE)
@pytest.mark.parametrize(
    "place", ["channels", "networks", "name", "topologies", "files", "study", "experiment", "epochs"]
)
def test_bundle_takes_no_name_that_could_be_a_path(tmp_path, place, value):
    manifest, files = copy.deepcopy(VALID["mean"])
    match place:
        case "channels":
            manifest["channels"] = ["T2w", value]
        case "networks":
            manifest["model"]["networks"][0] = value
            manifest["topologies"][value] = manifest["topologies"].pop("U1")
            manifest["epochs"][value] = manifest["epochs"].pop("U1")
            manifest["files"][network_entry(value)] = manifest["files"].pop("networks/U1.keras")
            files[network_entry(value)] = files.pop("networks/U1.keras")
        case "name":
            manifest["model"]["name"] = value
            manifest["experiment"] = f"{value}+TH"
        case "files":
            manifest["files"][value] = "0" * 64
            if value:
                files[value] = b"more"
        case "study" | "experiment":
            manifest[place] = value
        case _:
            manifest[place][value] = manifest[place]["UD"]
    refusal(write(tmp_path / "a.zip", manifest, files), "a.zip: ")


CHANGES = {
    "thresholds": {"Background": 0.3, "Int-Disc": 1.5, "Spinal-Cavity": 0.2},
    "labelling": "MAX", "fold": 0, "background": 3, "channels": ["T1w", "T2w"], "extra": 1, "classes": [], "versions": {},
    "normalisation": {"scope": "image"}, "patches": {"patch_size": 32, "stride": 33}, "ranges": {"a": [2, 1]}, "stacking": 5,
    "model": {"name": "E2+Geo", "networks": ["U1", "UD"], "combiner": "NSD"}, "topologies": {"U1": {}}, "patients": {"train": -1},
    "training": {"base_filters": 0}, "test_iou": {"Canal": 0.5}, "validation": {}, "registration": {"max_shift_mm": -1},
}  # fmt: skip


@pytest.mark.parametrize("key", CHANGES)
def test_bundle_refuses_values_out_of_range_and_parts_that_disagree(tmp_path, key):
    manifest, files = VALID["mean"]
    refusal(write(tmp_path / "a.zip", manifest | {key: CHANGES[key]}, files), f"bundle.json: .*`{key}")


CONTRADICTIONS = {
    "epoch after the last": ("mean", lambda one: one["epochs"]["UD"].update(epoch=3), "`epochs.UD`: `epoch` is above `of`"),
    "more epochs": ("mean", lambda one: one["epochs"]["UD"].update(of=9), "`epochs` has more than `training.epochs`"),
    "no own fold": ("mean", lambda one: one["validation"].update(mean_by_fold={"2": 0.8}), "`validation.mean_by_fold` lacks the fold"),
    "no model": ("mean", lambda one: one["validation"].update(models={"U1": 0.8, "UD": 0.9}), "more than `number_of_models`"),
    "no patients": ("mean", lambda one: one["patients"].update(train=0), "`patients.train` is 0"),
    "patients of a starter": ("starter", lambda one: one["patients"].update(train=3), "`patients.train` is not 0"),
    "best epoch after the last": ("starter", lambda one: one["training"].update(best_epoch=21), "`best_epoch` is above `epochs`"),
    "one mask value": ("mean", lambda one: [tissue.update(values=[7]) for tissue in one["classes"]], "mask values of its own"),
    "the value of another class": ("mean", lambda one: one["classes"][1].update(values=[5, 2]), "mask values of its own"),
    "many names": ("mean", lambda one: one.update(classes_not_learned=[f"{number:x}" for number in range(20000)]), "255 items"),
    "unknown keys": ("mean", lambda one: one.update({f"{number:x}": 1 for number in range(20000)}), "unknown key `0`"),
    "many values": ("mean", lambda one: one["classes"][1].update(values=[*range(100, 30100), 100]), "mask values of its own"),
    "large": ("mean", lambda one: one.update(study="a" * 270000), "more than 262144"),
}  # fmt: skip


@pytest.mark.parametrize("name", CONTRADICTIONS)
def test_bundle_refuses_what_contradicts_itself_and_long_lists_without_delay(tmp_path, name):
    valid, change, message = CONTRADICTIONS[name]
    manifest, files = copy.deepcopy(VALID[valid])
    change(manifest)
    began = time.process_time()
    refusal(write(tmp_path / "a.zip", manifest, files), message)
    assert time.process_time() - began < 2


DEFAULTS = [
    (("normalisation", "scope"), "volume"), (("patches", "patch_size"), 256), (("training", "base_filters"), 64),
    (("stacking", "channels"), 64), (("registration", "flirt"), {"cost": "mutualinfo", "search_deg": 0.0}),
]  # fmt: skip


@pytest.mark.parametrize(("place", "default"), DEFAULTS)
def test_bundle_fills_in_the_defaults_of_what_a_manifest_leaves_out(tmp_path, place, default):
    manifest, files = copy.deepcopy(VALID["stacked"])
    section, key = place
    manifest[section].pop(key, None)
    if section == "patches":
        manifest[section]["stride"] = 192
    bundle = Bundle(write(tmp_path / "a.zip", manifest, files))
    assert bundle.manifest[section][key] == default
    again, _ = bundle.manifest, write(tmp_path / "a.zip", bundle.manifest, files)
    assert Bundle(tmp_path / "a.zip").manifest == again


@pytest.mark.parametrize("key", VALID["mean"][0])
def test_bundle_refuses_a_manifest_without_one_of_its_keys(tmp_path, key):
    manifest, files = VALID["mean"]
    without = {name: value for name, value in manifest.items() if name != key}
    refusal(
        write(tmp_path / "a.zip", without, files), "bundle format None" if key == "format" else f"`{key}` is missing"
    )


@pytest.mark.parametrize("stride", [0, 1, 2, 7, 33, 10**9])
def test_bundle_refuses_strides_that_fill_the_temporary_folder_or_leave_gaps(tmp_path, stride):
    manifest, files = VALID["mean"]
    refusal(
        write(tmp_path / "a.zip", manifest | {"patches": {"patch_size": 32, "stride": stride}}, files), "patches.stride"
    )


@pytest.mark.parametrize("text", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_bundle_refuses_thresholds_that_are_not_finite(tmp_path, text):
    manifest, files = VALID["mean"]
    content = json.dumps(manifest).replace('"thresholds": {"Background": 0.3', f'"thresholds": {{"Background": {text}')
    refusal(write(tmp_path / "a.zip", content.encode(), files), "bundle.json: ")


@pytest.mark.parametrize(
    "content",
    [
        b"", b"[]", b"null", b"{", b"\xff\xfe{}", b'{"format": 2, "format": 2}', b"[" * 10**5, b'{"format": ' + b"9" * 5000 + b"}",
        b'{"format": "\x1b[31m"}', b'{"format": true}', b'{"format": 2}', b" " * (5 << 20),
    ],
)  # fmt: skip
def test_bundle_refuses_manifests_that_are_no_object_of_keys(tmp_path, content):
    refusal(write(tmp_path / "a.zip", content, VALID["mean"][1]), "a.zip: ")


def places(part, path=()):
    """The paths of all values in a tree."""
    yield path
    items = part.items() if isinstance(part, dict) else enumerate(part) if isinstance(part, list) else ()
    for key, value in items:
        yield from places(value, (*path, key))


JUNK = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text()
    | st.sampled_from([*HOSTILE, 1e308, -0.0, 10**30]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@st.composite
def changed_manifests(draw):
    manifest, files = copy.deepcopy(VALID[draw(st.sampled_from(sorted(VALID)))])
    for _ in range(draw(st.integers(1, 3))):
        path = draw(st.sampled_from([one for one in places(manifest) if one]))
        part = manifest
        for key in path[:-1]:
            part = part[key]
        match draw(st.sampled_from(["replace", "replace", "remove", "add"])):
            case "replace":
                part[path[-1]] = draw(JUNK)
            case "remove":
                del part[path[-1]]
            case _ if isinstance(part, dict):
                part[draw(st.text(max_size=8) | st.sampled_from(HOSTILE[:-1]))] = draw(JUNK)
    return manifest, files


@settings(max_examples=300)
@given(changed=changed_manifests())
def test_bundle_opens_or_is_refused_in_one_sentence_whatever_the_manifest_says(tmp_path_factory, changed):
    path = tmp_path_factory.mktemp("fuzz") / "a.zip"
    manifest, files = changed
    write(path, manifest, files)
    try:
        bundle = Bundle(path)
    except InputError as error:
        assert str(error).startswith(f"{path}: ")
        assert str(error).isprintable()
    else:
        assert bundle.manifest["channels"] in (["T2w"], ["T2w", "T1w"])
        assert all(name.isascii() and name.isalnum() for name in bundle.model.networks)
        assert all(math.isfinite(value) for value in manifest.get("thresholds", {}).values())
        apply_bundle({"bundle": str(path)})
    assert [one.name for one in path.parent.iterdir()] == ["a.zip"]


@settings(max_examples=200)
@given(data=st.data())
def test_bundle_opens_or_is_refused_in_one_sentence_whatever_its_bytes(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("bytes") / "a.zip"
    content = bytearray(write(path, *VALID["mean"]).read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        # The directory, at the end, is where most can go wrong.
        start = data.draw(st.integers(0, len(content)) | st.integers(max(len(content) - 400, 0), len(content)))
        end = start + data.draw(st.sampled_from([0, 1, 2, 4, 50]))
        content[start:end] = data.draw(st.binary(max_size=8))
    path.write_bytes(content)
    try:
        bundle = Bundle(path)
        bundle.check()
        bundle.card()
    except InputError as error:
        assert str(error).startswith(f"{path}: ")
        assert str(error).isprintable()


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_bundle_refuses_compressed_files_before_it_reads_them(tmp_path, method):
    manifest, files = VALID["mean"]
    bomb = files | {CARD: bytes(50 << 20)}
    refusal(write(tmp_path / "a.zip", manifest, bomb, method), "compressed files, where all are stored")


def with_directory(path, change):
    """Change the entry of a bundle's first file in the directory, and its own header."""
    content = bytearray(path.read_bytes())
    change(content, content.index(b"PK\x01\x02"), content.index(b"PK\x03\x04"))
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda content, entry, header: struct.pack_into("<H", content, entry + 8, 1), "encrypted"),
        (lambda content, entry, header: struct.pack_into("<H", content, entry + 10, 99), "compressed"),
        (lambda content, entry, header: struct.pack_into("<H", content, entry + 6, 990), "damaged"),
        (lambda content, entry, header: struct.pack_into("<L", content, entry + 24, 1 << 31), "sizes that disagree"),
        (lambda content, entry, header: struct.pack_into("<LL", content, entry + 20, 1 << 31, 1 << 31), "sizes that disagree"),
        (lambda content, entry, header: struct.pack_into("<LL", content, header + 18, 1 << 31, 1 << 31), "sizes that disagree"),
    ],
    ids=["encrypted", "unknown method", "later version", "larger than stored", "larger than the file", "own header"],
)  # fmt: skip
def test_bundle_refuses_archives_that_contradict_themselves(tmp_path, change, message):
    refusal(with_directory(write(tmp_path / "a.zip", *VALID["mean"]), change), message)


def test_bundle_refuses_repeated_and_unlisted_files(tmp_path):
    manifest, files = VALID["mean"]
    path = write(tmp_path / "a.zip", manifest, files)
    with zipfile.ZipFile(path, "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr(MANIFEST, json.dumps(manifest))
    refusal(path, "a file is in it twice")
    refusal(write(path, manifest, files | {"networks/": b""}), "missing or additional files")


def test_bundle_refuses_directories_that_take_more_memory_than_the_file_is_worth(tmp_path):
    path = tmp_path / "a.zip"
    entry = struct.pack("<4s6H3L5H2L", b"PK\x01\x02", 20, 20, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0, 0, 0) + b"name"
    directory = entry * 200000
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 65535, 65535, len(directory), 0, 0)
    path.write_bytes(directory + end)
    refusal(path, "the directory of the archive is too large")


def test_bundle_refuses_a_folder_and_what_may_not_be_read(tmp_path):
    with pytest.raises(InputError, match="bundle not found"):
        Bundle(tmp_path)
    with pytest.raises(InputError, match="bundle not found"):
        Bundle(Path("a\0b.zip"))


@pytest.mark.parametrize(
    "name", ["...zip", "..zip.zip", "{best}.zip", "a{.zip", "a\nb.zip", ".zip", "-x.zip", "a .zip"]
)
def test_apply_bundle_refuses_names_that_are_no_folder_of_results(tmp_path, name):
    path = write(tmp_path / name, *VALID["mean"])
    with pytest.raises(InputError, match="rename the file") as found:
        apply_bundle({"bundle": str(path)})
    assert str(found.value).isprintable()


@pytest.mark.parametrize(
    "name", ["best.zip", "UMD+TH.zip", "E12+NAD+TH.v2.zip", "best (1).zip", "Größe 2.zip", "bundle"]
)
def test_apply_bundle_takes_ordinary_names(tmp_path, name):
    config = {"bundle": str(write(tmp_path / name, *VALID["mean"]))}
    apply_bundle(config)
    assert config["patches"] == {"patch_size": 32, "stride": 24}


def test_apply_bundle_refuses_a_folder_with_braces(tmp_path):
    (tmp_path / "{sample}").mkdir()
    path = write(tmp_path / "{sample}" / "best.zip", *VALID["mean"])
    with pytest.raises(InputError, match=r"braces .* may not be in the path of `bundle`"):
        apply_bundle({"bundle": str(path)})
