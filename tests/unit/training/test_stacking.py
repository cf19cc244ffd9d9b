"""Meta-learners: side by side, on frozen networks, in fold and out of fold."""

import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

from factories.training import ADAM, CLASS_NAMES, SIDE, options, results_of, same_weights, tiny_network, weights
from lumbarseg.config.study import Model
from lumbarseg.data.dataset import PatchSet
from lumbarseg.errors import InputError
from lumbarseg.models.build import optimiser
from lumbarseg.models.ensemble import Ensemble, build_meta_learner, meta_learner_inputs
from lumbarseg.models.metadata import load_network, network_metadata, save_network
from lumbarseg.training.loop import fit
from lumbarseg.training.stacking import forward_ensembles, train_meta_learners
from lumbarseg.training.task import TrainTask

AS_THEY_ARE = {"rotation_deg": 0, "zoom": [1, 1], "shift": 0, "flip": 0}
NETWORKS = ("U1", "UD")
MODELS = [Model(f"E2+{combiner}", NETWORKS, combiner) for combiner in ("NAD", "TCD")]
CLASSES, WIDTH = len(CLASS_NAMES), 3  # of the tiny network's head input


def ensemble(seed=1):
    return Ensemble({name: tiny_network(name, seed + place) for place, name in enumerate(NETWORKS)}, [], {})


def task(model):
    meta_learner = build_meta_learner(model, side=SIDE, classes=CLASSES, base_filters=WIDTH, channels=8, seed=1)
    return TrainTask(model.name, meta_learner, optimiser(ADAM), meta_learner_inputs(model))


def stack(sessions, state, models, forward, groups=None, **changes):
    training, validation = PatchSet(sessions[:2], groups), PatchSet(sessions[2:], groups and [9])
    settings = options(**{"augmentation": AS_THEY_ARE} | changes)
    return fit([task(model) for model in models], training, validation, settings, state, {}, forward=forward)


@pytest.fixture(scope="module")
def side_by_side(sessions, tmp_path_factory):
    """Both meta-learners trained together: their results, and how often the networks ran forward."""
    networks, calls = ensemble(), []

    def forward(images, group):
        tf.py_function(lambda: calls.append(1), [], [])
        return networks.forward(images)

    return stack(sessions, tmp_path_factory.mktemp("both"), MODELS, forward), len(calls)


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)
def test_a_meta_learner_equals_two_dense_layers_trained_on_stored_outputs(sessions, side_by_side, model):
    networks, batch = ensemble(), 4
    best, history = side_by_side[0][model.name]

    images, labels = PatchSet(sessions[:2]).read(range(12))
    stored = [keras.ops.convert_to_numpy(networks.forward(images)[name]) for name in meta_learner_inputs(model)]
    merged = np.mean(stored, axis=0) if model.combiner[1] == "A" else np.concatenate(stored, axis=-1)
    dense = keras.Sequential(
        [keras.Input(merged.shape[1:]), keras.layers.Dense(8, activation="relu"), keras.layers.Dense(CLASSES)]
    )
    start = task(model).network
    dense.set_weights(
        [array.reshape(like.shape) for array, like in zip(start.get_weights(), dense.get_weights(), strict=True)]
    )
    adam = keras.optimizers.Adam(0.01)
    found = []
    for epoch in range(1, len(history) + 1):
        order = np.random.default_rng([1, epoch]).permutation(12)
        for first in range(0, 12, batch):
            some = order[first : first + batch]
            with tf.GradientTape() as tape:
                loss = tf.reduce_mean(
                    tf.nn.sparse_softmax_cross_entropy_with_logits(labels[some].astype("i4"), dense(merged[some]))
                )
            adam.apply(tape.gradient(loss, dense.trainable_variables), dense.trainable_variables)
        found.append([array.ravel() for array in dense.get_weights()])
    kept = int(history["val_accuracy"].idxmax())
    for ours, theirs in zip(weights(best), found[kept], strict=True):
        assert ours.ravel() == pytest.approx(theirs, abs=2e-5)


def test_meta_learners_side_by_side_learn_as_each_alone(sessions, side_by_side, tmp_path):
    for model in MODELS:
        alone = stack(sessions, tmp_path / model.name, [model], forward_ensembles({0: ensemble()}))[model.name]
        together = side_by_side[0][model.name]
        assert results_of(together[1]).equals(results_of(alone[1]))
        assert same_weights(together[0], alone[0])


def test_networks_run_forward_once_per_batch_for_all_meta_learners(side_by_side):
    # In each of three epochs there are three batches to learn from and two to validate on.
    assert side_by_side[1] == 3 * (3 + 2)


def test_out_of_fold_each_patient_is_seen_by_the_networks_of_its_group_once_per_epoch(sessions, tmp_path):
    class Noting:
        """Networks that note which patches they are given."""

        def __init__(self, seed):
            self.networks, self.seen = ensemble(seed), []

        def note(self, images):
            self.seen += np.round(images.numpy()[:, 0, 0, 0], 6).tolist()

        def forward(self, images):
            tf.py_function(self.note, [images], [])
            return self.networks.forward(images)

    of_group = {2: Noting(2), 3: Noting(4), 9: Noting(6)}
    stack(sessions, tmp_path, MODELS[:1], forward_ensembles(of_group), groups=[2, 3], epochs=2)
    for noting, session in zip(of_group.values(), sessions, strict=True):
        patches, _ = PatchSet([session]).read(range(6))
        assert sorted(noting.seen) == sorted(2 * np.round(patches[:, 0, 0, 0], 6).tolist())


def test_groups_are_part_of_what_defines_a_training(sessions):
    assert PatchSet(sessions, [1, 1, 2]).digest != PatchSet(sessions, [1, 2, 2]).digest != PatchSet(sessions).digest


def test_train_meta_learners_writes_each_and_refuses_networks_of_another_fold(sessions, tmp_path):
    files = {fold: {name: tmp_path / f"{name}_{fold}.keras" for name in NETWORKS} for fold in (1, 2)}
    for fold, of_fold in files.items():
        for name, path in of_fold.items():
            save_network(tiny_network(name, fold), path, network_metadata(name, fold, ["T2w", "T1w"], CLASS_NAMES))
    training = {"batch_size": 4, "gradient_accumulation_steps": 1, "monitor": "accuracy", "seed": 1, "xla": False}
    training["batch_statistics"] = "recomputed"  # of which meta-learners have none
    targets = [tmp_path / f"{model.name}.keras" for model in MODELS]

    def run(network_files):
        train_meta_learners(
            MODELS, network_files, sessions[:2], sessions[2:], fold=1, networks_of_training=[2, 1],
            settings=training | {"base_filters": WIDTH, "augmentation": AS_THEY_ARE},
            stacking={"channels": 4, "epochs": 1, **ADAM}, channels=["T2w", "T1w"], class_names=CLASS_NAMES, background=0,
            meta_learner_files=targets, history_file=tmp_path / "out/history_fold-1.csv",
        )  # fmt: skip

    with pytest.raises(InputError, match="fold is 1, expected 2"):
        run({1: files[1], 2: files[1]})
    run(files)
    for model, target in zip(MODELS, targets, strict=True):
        load_network(target, network_metadata(model.name, 1, ["T2w", "T1w"], CLASS_NAMES))
    history = pd.read_csv(tmp_path / "out/history_fold-1.csv")
    assert history["model"].tolist() == [model.name for model in MODELS]
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["history_fold-1.csv"]
