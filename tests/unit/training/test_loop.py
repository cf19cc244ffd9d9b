"""Training: it learns, the same from the same seed, in parts, in mixed precision, and says what goes wrong."""

import logging

import keras
import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

from factories.training import TOPOLOGY, results_of, start_child, train, weights, write_session
from lumbarseg.data.dataset import PatchSet
from lumbarseg.errors import InputError
from lumbarseg.training.loop import LOST_AFTER, DivergedError


@pytest.fixture(scope="module")
def sessions(tmp_path_factory):
    folder = tmp_path_factory.mktemp("patches")
    for seed, name in enumerate("abc"):
        write_session(folder, name, seed)
    return folder


@pytest.fixture(scope="module")
def many_slices(tmp_path_factory):
    """Sessions with slices enough to learn squares by heart and by rule."""
    folder = tmp_path_factory.mktemp("many")
    for seed, name in enumerate("abc"):
        write_session(folder, name, seed, slices=24)
    return folder


LONG = {"epochs": 40, "batch_size": 4, "seed": 2}


@pytest.fixture(scope="module")
def learned(many_slices, tmp_path_factory):
    """The best network and the history of a training that is long enough to learn."""
    return train(many_slices, tmp_path_factory.mktemp("learned"), **LONG)


def test_patches_of_several_sessions_read_as_one_list(sessions):
    files = [sessions / f"{name}_patches.json" for name in "ab"]
    both, second = PatchSet(files), PatchSet(files[1:])
    assert len(both) == 12
    assert np.array_equal(both.read([7, 0, 11])[0][[0, 2]], second.read([1, 5])[0])
    assert np.array_equal(both.read([7])[1], second.read([1])[1])
    assert both.digest != second.digest


def test_a_network_learns_and_its_history_says_so(learned):
    best, history = learned
    assert list(history["epoch"]) == list(range(1, LONG["epochs"] + 1))
    assert history["loss"].iloc[-1] < 0.5 * history["loss"].iloc[0]
    assert history["val_patch_iou_Vert"].max() > 0.85
    assert history["val_patch_iou_Nowhere"].isna().any()
    # The first epoch with the highest accuracy is the one that is kept.
    assert f"epoch-{history['val_accuracy'].idxmax() + 1}.keras" in best.name


def test_the_kept_network_is_that_of_its_epoch(sessions, tmp_path):
    best, history = train(sessions, tmp_path)
    images, labels = PatchSet([sessions / "c_patches.json"]).read(range(6))
    scores = keras.ops.convert_to_numpy(keras.models.load_model(best, compile=False)(images, training=False))
    accuracy = (scores.argmax(axis=-1) == labels).mean()
    assert accuracy == pytest.approx(history["val_accuracy"].max(), abs=1e-6)


def test_the_same_seed_gives_the_same_network_bit_for_bit(sessions, tmp_path):
    first, history = train(sessions, tmp_path / "1")
    again, history_again = train(sessions, tmp_path / "2")
    other, _ = train(sessions, tmp_path / "3", seed=2)
    assert results_of(history).equals(results_of(history_again))
    assert all(np.array_equal(a, b) for a, b in zip(weights(first), weights(again), strict=True))
    assert not all(np.array_equal(a, b) for a, b in zip(weights(first), weights(other), strict=True))


def test_an_empty_subset_is_told():
    with pytest.raises(InputError, match=r"expected at least one session, found none; see folds\.tsv"):
        PatchSet([])


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_patch_that_is_not_finite_is_told_with_its_place(tmp_path, value):
    write_session(tmp_path, "b", 1)
    write_session(tmp_path, "c", 2)
    write_session(tmp_path, "a", 0, spoil={(3, 5, 6, 1): value})
    with pytest.raises(
        InputError, match=r"a_patches\.json: expected finite .* NaN or infinite values in patch 3; delete"
    ):
        train(tmp_path, tmp_path / "state", epochs=1)


def test_a_damaged_array_of_patches_is_told(tmp_path):
    for seed, name in enumerate("abc"):
        write_session(tmp_path, name, seed)
    images = tmp_path / "b_images.b2nd"
    content = bytearray(images.read_bytes())
    content[len(content) // 3 : len(content) // 2] = bytes(len(content) // 2 - len(content) // 3)
    images.write_bytes(content)
    with pytest.raises(InputError, match=r"b_(patches\.json|images\.b2nd): expected"):
        train(tmp_path, tmp_path / "state", epochs=1)


def warnings_of_ours(caplog):
    # TensorFlow warns of functions made anew, as they are where many networks are trained in one process
    return [record.getMessage() for record in caplog.records if record.name == "lumbarseg"]


def test_a_class_no_patch_holds_is_warned_of(sessions, tmp_path, caplog):
    with caplog.at_level(logging.WARNING, "lumbarseg"):
        train(sessions, tmp_path, epochs=1)
    said = warnings_of_ours(caplog)
    assert len(said) == 2
    assert "the fold's training patches: expected every class, found no pixel of Nowhere in 12 patches" in said[0]
    assert "the fold's validation patches" in said[1]


def test_a_class_that_is_never_found_is_warned_of_once(tmp_path, caplog):
    for seed, name in enumerate("abc"):
        write_session(tmp_path, name, seed, rare=True)
    with caplog.at_level(logging.WARNING, "lumbarseg"):
        _, history = train(tmp_path, tmp_path / "state", epochs=LOST_AFTER - 1)
        assert not warnings_of_ours(caplog)
        _, history = train(tmp_path, tmp_path / "state", epochs=LOST_AFTER + 5)
        train(tmp_path, tmp_path / "state", epochs=LOST_AFTER + 7)
    assert (history["val_patch_iou_Nowhere"] == 0).all()
    assert warnings_of_ours(caplog) == [
        "UD: expected every class to be found, found an IoU of 0 for Nowhere on the validation patches of the last 20 epochs; "
        "see whether the masks hold enough of it, or try another optimiser or learning rate"
    ]


def test_a_training_that_diverges_is_told_and_keeps_nothing_of_that_epoch(sessions, tmp_path):
    wild = TOPOLOGY | {"optimiser": "sgd", "learning_rate": 1e20}
    with pytest.raises(
        DivergedError, match=r"UD: expected a finite loss in epoch \d+, found (nan|inf); lower the learning rate"
    ):
        train(sessions, tmp_path, topology=wild)


def test_where_memory_does_not_hold_a_batch_it_is_told_what_to_set(sessions, tmp_path):
    def greedy(images, _):
        # more than there are addresses, so that no system promises it
        return {"images": images + tf.reduce_max(tf.tile(images[:, :1, :1, :1], [1, 10**8, 10**8, 1]))}

    message = r"UD: expected 2 patches at a time to fit .* raise `training\.gradient_accumulation_steps` \(it is 2\)"
    with pytest.raises(InputError, match=message):
        train(sessions, tmp_path, forward=greedy, gradient_accumulation_steps=2)


def test_a_batch_in_parts_gives_the_gradients_of_the_whole(sessions, tmp_path):
    # FCN-8s has no batch normalisation, which sees a part at a time.
    fcn = {"family": "fcn8", "fully_connected": 8, "optimiser": "sgd", "learning_rate": 0.05}
    whole, history = train(sessions, tmp_path / "whole", topology=fcn, batch_size=5)
    parts, history_of_parts = train(sessions, tmp_path / "parts", topology=fcn, batch_size=5, gradient_accumulation_steps=3)
    np.testing.assert_allclose(history["loss"], history_of_parts["loss"], rtol=1e-4)
    for one, other in zip(weights(whole), weights(parts), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


def test_curves_for_tensorboard_are_those_of_the_history_and_stay_whole_when_it_goes_on(sessions, tmp_path):
    train(sessions, tmp_path / "state", epochs=2, events=tmp_path / "events")
    _, history = train(sessions, tmp_path / "state", epochs=4, events=tmp_path / "events")
    (file,) = (tmp_path / "events/UD").iterdir()
    written = {}
    for record in tf.data.TFRecordDataset(str(file)).as_numpy_iterator():
        event = tf.compat.v1.Event.FromString(record)
        for value in event.summary.value:
            assert (value.tag, event.step) not in written
            written[value.tag, event.step] = tf.make_ndarray(value.tensor).item()
    expected = history.melt("epoch").itertuples(index=False)
    assert len(written) == history.shape[0] * (history.shape[1] - 1)
    for epoch, column, value in expected:
        assert written[column, epoch] == pytest.approx(value, rel=1e-6, nan_ok=True)


@pytest.mark.parametrize(("precision", "xla"), [("mixed_bfloat16", False), ("mixed_float16", False), ("float32", True)])
def test_networks_learn_as_well_in_mixed_precision_and_with_xla(many_slices, learned, tmp_path, precision, xla):
    training = start_child(many_slices, tmp_path, precision, xla=xla, **LONG)
    assert training.wait(timeout=240) == 0, (tmp_path / "log").read_text()
    history = pd.read_csv(tmp_path / "history.csv")
    best, best_in_float32 = (one["val_patch_iou_Vert"].max() for one in (history, learned[1]))
    # seeds differ among themselves by as much
    assert best == pytest.approx(best_in_float32, abs=0.08)


def test_weights_that_the_last_step_ruins_are_not_kept_however_accurate_they_look(sessions, tmp_path):
    wild = TOPOLOGY | {"optimiser": "sgd", "learning_rate": 1e25}
    # one step an epoch: its loss is that of the sound weights before it
    with pytest.raises(DivergedError, match=r"UD: expected a finite loss in epoch 1, found nan"):
        train(sessions, tmp_path, topology=wild, epochs=1, batch_size=500)
    assert not list(tmp_path.rglob("*.keras"))
