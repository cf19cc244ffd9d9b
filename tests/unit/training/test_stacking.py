"""Meta-learners in the training loop: side by side, on frozen networks, in fold and out of fold."""

from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from factories.training import options, results_of, weights, write_session
from lumbarseg.config.study import Model
from lumbarseg.data.dataset import PatchSet
from lumbarseg.models.build import build_network, optimiser
from lumbarseg.models.ensemble import Ensemble, build_meta_learner, meta_learner_inputs
from lumbarseg.training.loop import fit
from lumbarseg.training.task import TrainTask

CLASSES, SIDE, WIDTH = 3, 32, 3
ADAM = {"optimiser": "adam", "learning_rate": 0.01}
AS_THEY_ARE = {"rotation": 0, "zoom": [1, 1], "shift": 0, "flip": 0}
MODELS = [Model(f"E2+{combiner}", ("U1", "UD"), combiner) for combiner in ("NAD", "TCD")]


@pytest.fixture(scope="module")
def sessions(tmp_path_factory) -> list[Path]:
    folder = tmp_path_factory.mktemp("patches")
    return [write_session(folder, name, seed) for seed, name in enumerate("abc")]


def ensemble(seed=1):
    networks = {
        name: build_network(topology, side=SIDE, channels=2, classes=CLASSES, width=WIDTH, seed=seed, name=name)
        for name, topology in {"U1": {}, "UD": {"output": "ds3"}}.items()
    }
    return Ensemble(networks, [], {})


def task(model):
    meta_learner = build_meta_learner(model, side=SIDE, classes=CLASSES, width=WIDTH, channels=8, seed=1)
    return TrainTask(model.name, meta_learner, optimiser(ADAM), meta_learner_inputs(model))


def stack(sessions, state, models, forward, groups=None, **changes):
    settings = {"epochs": 3, "augmentation": AS_THEY_ARE, "class_names": ["Background", "Vert", "Nowhere"]} | changes
    training = PatchSet(sessions[:2], groups)
    return fit(
        [task(model) for model in models], training, PatchSet(sessions[2:], groups and [9]), options(**settings),
        state, {"groups": groups}, forward=forward,
    )  # fmt: skip


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)
def test_a_head_equals_two_dense_layers_trained_apart_on_stored_outputs(sessions, tmp_path, model):
    networks = ensemble()
    epochs, batch = 3, 4
    best, history = stack(sessions, tmp_path, [model], lambda images, _: networks.forward(images))[model.name]

    images, labels = PatchSet(sessions[:2]).read(range(12))
    stored = [keras.ops.convert_to_numpy(networks.forward(images)[name]) for name in meta_learner_inputs(model)]
    merged = np.mean(stored, axis=0) if model.combiner[1] == "A" else np.concatenate(stored, axis=-1)
    apart = keras.Sequential(
        [keras.Input(merged.shape[1:]), keras.layers.Dense(8, activation="relu"), keras.layers.Dense(CLASSES)]
    )
    start = task(model).network
    apart.set_weights(
        [array.reshape(like.shape) for array, like in zip(start.get_weights(), apart.get_weights(), strict=True)]
    )
    adam = keras.optimizers.Adam(0.01)
    found = []
    for epoch in range(1, epochs + 1):
        order = np.random.default_rng([1, epoch]).permutation(12)
        for first in range(0, 12, batch):
            some = order[first : first + batch]
            with tf.GradientTape() as tape:
                loss = tf.reduce_mean(
                    tf.nn.sparse_softmax_cross_entropy_with_logits(labels[some].astype("i4"), apart(merged[some]))
                )
            adam.apply(tape.gradient(loss, apart.trainable_variables), apart.trainable_variables)
        found.append([array.ravel() for array in apart.get_weights()])
    kept = int(history["val_accuracy"].idxmax())
    for ours, theirs in zip(weights(best), found[kept], strict=True):
        assert ours.ravel() == pytest.approx(theirs, abs=2e-5)


def test_heads_side_by_side_learn_as_each_alone(sessions, tmp_path):
    networks = ensemble()
    together = stack(sessions, tmp_path / "both", MODELS, lambda images, _: networks.forward(images))
    for model in MODELS:
        alone = stack(sessions, tmp_path / model.name, [model], lambda images, _: networks.forward(images))
        (best, history), (best_alone, history_alone) = together[model.name], alone[model.name]
        assert results_of(history).equals(results_of(history_alone))
        for one, other in zip(weights(best), weights(best_alone), strict=True):
            assert np.array_equal(one, other)


def test_each_network_runs_forward_once_a_batch_for_all_heads(sessions, tmp_path):
    networks, calls = ensemble(), []

    def forward(images, group):
        tf.py_function(lambda: calls.append(1), [], [])
        return networks.forward(images)

    stack(sessions, tmp_path, MODELS, forward, epochs=2)
    # Each epoch three batches to learn from and two to validate on.
    assert len(calls) == 2 * (3 + 2)


def test_out_of_fold_each_patient_is_seen_by_the_networks_of_its_group_and_once_an_epoch(sessions, tmp_path):
    by_group = {2: ensemble(2), 3: ensemble(3), 9: ensemble(1)}
    of_group = {2: sessions[0], 3: sessions[1], 9: sessions[2]}
    seen = {group: [] for group in by_group}

    def forward(images, group):
        def note(batch):
            seen[group].extend(np.round(batch.numpy()[:, 0, 0, 0], 6).tolist())

        tf.py_function(note, [images], [])
        return by_group[group].forward(images)

    stack(sessions, tmp_path, MODELS[:1], forward, groups=[2, 3], epochs=2)
    for group, session in of_group.items():
        patches, _ = PatchSet([session]).read(range(6))
        assert sorted(seen[group]) == sorted(2 * np.round(patches[:, 0, 0, 0], 6).tolist())


def test_heads_of_other_groups_never_go_on_from_old_state(sessions, tmp_path):
    assert PatchSet(sessions, [1, 1, 2]).digest != PatchSet(sessions, [1, 2, 2]).digest != PatchSet(sessions).digest
