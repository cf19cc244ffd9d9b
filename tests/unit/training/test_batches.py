"""Batches of patches: order and warps from seed and epoch alone, groups apart, read ahead."""

import threading
import time

import numpy as np
import pytest

from factories.training import options
from lumbarseg.data.dataset import PatchSet
from lumbarseg.training.batches import TrainingBatches, ValidationBatches


def content(batches):
    return [batches[number] for number in range(len(batches))]


def test_training_batches_depend_only_on_seed_and_epoch(sessions):
    patches = PatchSet(sessions)
    went_through, straight = (TrainingBatches(patches, options()) for _ in range(2))
    for epoch in (1, 2):
        went_through.start_epoch(epoch)
        content(went_through)
    went_through.start_epoch(3)
    straight.start_epoch(3)
    for one, other in zip(content(went_through), content(straight), strict=True):
        for key, value in one.items():
            assert np.array_equal(value, other[key])
    first = straight[0]
    straight.start_epoch(4)
    assert not np.array_equal(first["images"], straight[0]["images"])
    assert not np.array_equal(first["warps"], straight[0]["warps"])


def test_training_batches_hold_each_patch_once_and_never_two_groups(sessions):
    patches = PatchSet(sessions, [2, 3, 2])
    batches = content(TrainingBatches(patches, options(batch_size=5)))
    assert all(len(set(batch["groups"])) == 1 for batch in batches)
    assert [len(batch["images"]) for batch in batches].count(5) == 3
    seen = sorted(value for batch in batches for value in batch["images"][:, 0, 0, 0].tolist())
    assert seen == sorted(patches.read(range(18))[0][:, 0, 0, 0].tolist())


WARPS = {"rotation_deg": 20, "zoom": [0.8, 1.2], "shift": 0.1, "flip": 0.5}


def test_training_batches_without_random_appearance_are_the_patches_as_they_are(sessions, monkeypatch):
    patches = PatchSet(sessions)
    monkeypatch.setattr("lumbarseg.training.batches.randomise_channels", None)
    batches = TrainingBatches(patches, options(augmentation=WARPS | {"contrast": 0}))
    batches.start_epoch(3)
    order = np.random.default_rng([1, 3]).permutation(18)
    images, labels = patches.read(order)
    assert np.array_equal(np.concatenate([batch["images"] for batch in content(batches)]), images)
    assert np.array_equal(np.concatenate([batch["labels"] for batch in content(batches)]), labels)


def test_random_appearance_depends_only_on_seed_epoch_and_patch(sessions):
    patches = PatchSet(sessions)

    def images(epoch, **changes):
        batches = TrainingBatches(patches, options(augmentation=WARPS | {"contrast": 0.6}, **changes))
        batches.start_epoch(epoch)
        generator = np.random.default_rng([changes.get("seed", 1), epoch])
        found = np.concatenate([batch["images"] for batch in content(batches)])
        return found[np.argsort(generator.permutation(18))]

    plain, first = patches.read(range(18))[0], images(1)
    # Other batches, the same patches.
    assert np.array_equal(first, images(1, batch_size=7))
    assert not np.array_equal(first, images(2))
    assert not np.array_equal(first, images(1, seed=2))
    unchanged = [np.array_equal(first[..., c][n], plain[..., c][n]) for n in range(18) for c in (0, 1)]
    assert 5 < unchanged.count(True) < 25


def test_random_appearance_leaves_validation_alone(sessions):
    patches = PatchSet(sessions)
    batches = ValidationBatches(patches, options(augmentation=WARPS | {"contrast": 1}))
    assert np.array_equal(np.concatenate([batch["images"] for batch in content(batches)]), patches.read(range(18))[0])


def test_validation_batches_keep_the_order_and_fit_into_memory(sessions):
    patches = PatchSet(sessions)
    batches = content(ValidationBatches(patches, options(batch_size=5, gradient_accumulation_steps=2)))
    assert [len(batch["images"]) for batch in batches] == [3] * 6
    assert np.array_equal(np.concatenate([batch["labels"] for batch in batches]), patches.read(range(18))[1])


def test_the_next_batch_is_read_while_one_is_computed_on(sessions, monkeypatch):
    patches = PatchSet(sessions)
    reads, read = [threading.Event() for _ in range(2)], patches.read
    coming = iter(reads)

    def noted(indices):
        next(coming).set()
        return read(indices)

    monkeypatch.setattr(patches, "read", noted)
    batches = TrainingBatches(patches, options(batch_size=9))
    batches[0]
    assert reads[1].wait(10)


@pytest.mark.parametrize(("asked_before", "least", "most"), [(True, 0.1, 10), (False, 0, 0.05)])
def test_seconds_waited_counts_reading_that_the_loop_waits_for(sessions, monkeypatch, asked_before, least, most):
    patches = PatchSet(sessions)
    read = patches.read
    monkeypatch.setattr(patches, "read", lambda indices: (time.sleep(0.1), read(indices))[1])
    batches = TrainingBatches(patches, options(batch_size=18))
    if asked_before:
        batches.ask(0)
    batches[0]
    if not asked_before:
        batches.ask(0)
    assert least <= batches.seconds_waited < most
