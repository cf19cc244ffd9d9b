"""Phantoms among patients: how many, which, and the same from the same seed."""

import numpy as np
import pandas as pd
import pytest

from factories.training import SIDE, options, results_of, same_weights, tiny_task
from lumbarseg.data.dataset import PatchSet, write_patches
from lumbarseg.errors import InputError
from lumbarseg.synthesis.samples import draw_sample
from lumbarseg.synthesis.tissue_slices import write_phantom
from lumbarseg.training.batches import TrainingBatches
from lumbarseg.training.loop import fit
from lumbarseg.training.mixing import MixedBatches, ids_of_phantoms
from lumbarseg.training.phantoms import phantoms_of_study

SAMPLES = {"slices": 2, "pixel_size_mm": 4.0}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("part-1")
    write_phantom(folder, 1, 1, slices=2, side=64, pixel=4.0)
    return folder


def phantoms(folder, sessions, seed=1):
    return phantoms_of_study([folder], sessions, ["T2w", "T1w"], SAMPLES, seed)


def mixed(sessions, folder, share=0.25, **changes):
    patches = PatchSet(sessions)
    return MixedBatches(
        patches, options(class_names=NAMES, **changes), phantoms=phantoms(folder, sessions), share=share
    )


NAMES = ["Background", "Vert", "Muscle"]


def content(batches):
    return [batches[number] for number in range(len(batches))]


def test_mixed_batches_replace_a_share_of_every_batch_and_keep_their_number(sessions, folder):
    plain = content(TrainingBatches(PatchSet(sessions), options(batch_size=8)))
    found = content(mixed(sessions, folder, batch_size=8))
    assert [batch["complete"].tolist() for batch in found] == [[False, False, False, True] * 2] * 2 + [[False] * 2]
    for batch, other in zip(found, plain, strict=True):
        patients = ~batch["complete"]
        for key, values in other.items():
            assert batch[key].dtype == values.dtype
            assert batch[key].shape == values.shape
            assert np.array_equal(batch[key][patients], values[patients]), key
        assert batch["warps"][~patients].tolist() == [[1, 0, 0, 0, 1, 0, 0, 0]] * (~patients).sum()
        for one, replaced in zip(batch["images"][~patients], other["images"][~patients], strict=True):
            assert not np.array_equal(one, replaced)
        assert set(np.unique(batch["labels"])) <= {0, 1, 2}


def test_mixed_batches_depend_only_on_seed_and_epoch(sessions, folder):
    went_through, straight = mixed(sessions, folder), mixed(sessions, folder)
    first = content(went_through)
    for batches in (went_through, straight):
        batches.start_epoch(2)
    second = content(went_through)
    for one, other in zip(second, content(straight), strict=True):
        assert all(np.array_equal(value, other[key]) for key, value in one.items())
    drawn = [[batch["images"][-1] for batch in batches] for batches in (first, second)]
    assert not any(np.array_equal(one, other) for one in drawn[0] for other in drawn[1])
    assert not any(np.array_equal(drawn[0][0], other) for other in drawn[0][1:])


def test_mixed_batches_without_a_share_are_those_of_patients(sessions, folder):
    for one, other in zip(
        content(mixed(sessions, folder, share=0)), content(TrainingBatches(PatchSet(sessions), options())), strict=True
    ):
        assert not one.pop("complete").any()
        assert all(np.array_equal(value, other[key]) for key, value in one.items())


def test_fit_with_phantoms_continues_bit_for_bit_and_learns_from_partial_masks(sessions, folder, tmp_path):
    training, validation = PatchSet(sessions[:2]), PatchSet(sessions[2:])

    def train(state, epochs):
        settings = options(epochs=epochs, class_names=NAMES, unlabelled=[2])

        def batches_of(patches, settings):
            return MixedBatches(patches, settings, phantoms=phantoms(folder, sessions[:2]), share=0.25)

        task = tiny_task()
        return fit([task], training, validation, settings, tmp_path / state, {}, batches_of=batches_of)[task.name]

    whole, history = train("whole", 2)
    train("parts", 1)
    parts, continued = train("parts", 2)
    assert results_of(history).equals(results_of(continued))
    assert same_weights(whole, parts)
    assert history["val_patch_iou_Muscle"].isna().all()
    assert pd.notna(history["loss"]).all()


def test_phantoms_of_study_have_the_pixel_sizes_of_the_patches_or_the_starters(folder, tmp_path, sessions, monkeypatch):
    for name, size in (("a", 0.6), ("b", 0.9)):
        write_patches(
            np.zeros((1, SIDE, SIDE, 2), np.float32), np.zeros((1, SIDE, SIDE), np.uint8), side=SIDE, stride=24,
            background=0, description=tmp_path / f"{name}.json", images_path=tmp_path / f"{name}_i.b2nd",
            labels_path=tmp_path / f"{name}_l.b2nd", pixel_size=size,
        )  # fmt: skip
    files = [tmp_path / "a.json", tmp_path / "b.json"]
    assert PatchSet(files).pixel_sizes == (0.6, 0.9)
    assert PatchSet([tmp_path / "a.json", sessions[0]]).pixel_sizes is None
    assert phantoms(folder, files).digest != phantoms(folder, sessions).digest
    drawn = []
    monkeypatch.setattr(
        "lumbarseg.training.phantoms.draw_sample", lambda *args: (drawn.append(args[2].pixel_mm), draw_sample(*args))[1]
    )
    phantoms(folder, files).read(range(8))
    phantoms(folder, sessions).read([0])
    assert all(0.6 <= size <= 0.9 for size in drawn[:8])
    assert len(set(drawn[:8])) == 8
    assert drawn[8:] == [SAMPLES["pixel_size_mm"]]


def test_phantoms_of_study_needs_phantoms(tmp_path, sessions):
    with pytest.raises(InputError, match="no phantoms found"):
        phantoms(tmp_path, sessions)


def test_ids_of_phantoms_follow_the_names_of_the_study():
    ids = ids_of_phantoms(["Vert", "Background", "Int-Disc"], 1)
    assert ids.tolist()[:4] == [1, 0, 1, 2]
    assert set(ids.tolist()[4:]) == {1}
    with pytest.raises(InputError, match="phantoms have, and they have no Rib; set it to 0"):
        ids_of_phantoms(["Background", "Vert", "Rib"], 0)
