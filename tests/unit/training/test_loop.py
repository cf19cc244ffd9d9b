"""Training: it learns, the same from the same seed, in parts and in mixed precision, and reports what goes wrong."""

import logging

import keras
import numpy as np
import pytest
import tensorflow as tf

from factories.training import (
    ADAM,
    results_of,
    same_weights,
    tiny_task,
    train,
    weights,
    write_session,
    write_sessions,
)
from lumbarseg.data.dataset import PatchSet
from lumbarseg.errors import InputError
from lumbarseg.training import loop
from lumbarseg.training.loop import DivergedError


@pytest.fixture(scope="module")
def many_slices(tmp_path_factory):
    return write_sessions(tmp_path_factory.mktemp("many"), slices=24)


@pytest.fixture(scope="module")
def learned(many_slices, tmp_path_factory):
    """The best network and the history of a training that is long enough to learn, and its log."""
    return train(many_slices, tmp_path_factory.mktemp("learned"), epochs=12)


def messages(caplog):
    # TensorFlow warns of functions traced again, as they are where many networks are trained in one process
    return [record.getMessage() for record in caplog.records if record.name == "lumbarseg"]


def test_fit_learns_and_records_every_epoch(learned):
    _, history = learned
    assert list(history["epoch"]) == list(range(1, 13))
    assert history["loss"].iloc[-1] < 0.5 * history["loss"].iloc[0]
    assert history["val_patch_iou_Vert"].max() > 0.85
    assert history["val_patch_iou_Nowhere"].isna().any()


def test_fit_keeps_the_network_of_the_first_epoch_with_the_highest_accuracy(learned, many_slices):
    best, history = learned
    assert best.name == f"best-U1-epoch-{history['val_accuracy'].idxmax() + 1}.keras"
    images, labels = PatchSet(many_slices[-1:]).read(range(24))
    scores = keras.ops.convert_to_numpy(keras.models.load_model(best, compile=False)(images, training=False))
    assert (scores.argmax(axis=-1) == labels).mean() == pytest.approx(history["val_accuracy"].max(), abs=1e-6)


def test_fit_gives_the_same_network_bit_for_bit_from_the_same_seed(sessions, tmp_path):
    first, history = train(sessions, tmp_path / "1")
    again, history_again = train(sessions, tmp_path / "2")
    other, _ = train(sessions, tmp_path / "3", seed=2)
    assert results_of(history).equals(results_of(history_again))
    assert same_weights(first, again)
    assert not same_weights(first, other)


def test_fit_logs_speed_waiting_and_time_left(sessions, tmp_path, caplog):
    with caplog.at_level(logging.INFO, "lumbarseg"):
        train(sessions, tmp_path, epochs=2)
    lines = [line for line in messages(caplog) if line.startswith("epoch ")]
    assert len(lines) == 2
    assert " patches/s, " in lines[0]
    assert " % of the time waiting for data, 0 min " in lines[0]
    assert lines[1].endswith("0 min 00 s left")


@pytest.mark.parametrize("session", "ac")  # of training and of validation
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_fit_rejects_patches_that_are_not_finite(tmp_path, value, session):
    sessions = write_sessions(tmp_path)
    write_session(tmp_path, session, 0, spoilt={(5, 5, 6, 1): value})
    message = rf"{session}_patches\.json: patch 5 has NaN or infinite values; delete"
    with pytest.raises(InputError, match=message):
        # no more than two patches are read before the first step
        train(sessions, tmp_path / "state", epochs=1, batch_size=1)


def test_fit_rejects_damaged_patches(tmp_path):
    sessions = write_sessions(tmp_path)
    images = tmp_path / "b_images.b2nd"
    content = bytearray(images.read_bytes())
    content[len(content) // 3 : len(content) // 2] = bytes(len(content) // 2 - len(content) // 3)
    images.write_bytes(content)
    with pytest.raises(InputError, match=r"b_(patches\.json|images\.b2nd): "):
        train(sessions, tmp_path / "state", epochs=1)


def test_fit_warns_of_classes_without_pixels(sessions, tmp_path, caplog):
    train(sessions, tmp_path, epochs=1)
    training, validation = messages(caplog)
    assert "training patches of the fold: no pixel of Nowhere in 12 patches; no network can learn it" in training
    assert validation.startswith("validation patches of the fold: no pixel of Nowhere in 6 patches")


def test_fit_learns_the_classes_that_masks_hold_and_counts_no_other(many_slices, tmp_path, caplog):
    # The network may call background what it likes, Nowhere among it.
    _, history = train(many_slices, tmp_path, epochs=12, unlabelled=[2], dice_weight=0.5)
    assert history["val_patch_iou_Vert"].max() > 0.85
    assert history["val_patch_iou_Background"].max() > 0.9
    assert history["val_patch_iou_Nowhere"].isna().all()
    assert not [message for message in messages(caplog) if "Nowhere" in message]


def test_fit_refuses_masks_with_a_class_that_they_are_said_not_to_hold(sessions, tmp_path):
    with pytest.raises(
        InputError, match="config: the masks hold pixels of Vert, which `partial_labels` does not name; add it"
    ):
        train(sessions, tmp_path, unlabelled=[1])


def test_fit_warns_once_of_a_class_that_is_never_found(tmp_path, caplog, monkeypatch):
    monkeypatch.setattr(loop, "LOST_AFTER", 3)
    sessions = write_sessions(tmp_path, rare=True)
    train(sessions, tmp_path / "state", epochs=2)
    assert not messages(caplog)
    train(sessions, tmp_path / "state", epochs=4)
    _, history = train(sessions, tmp_path / "state", epochs=5)
    assert (history["val_patch_iou_Nowhere"] == 0).all()
    assert messages(caplog) == [
        "U1: the validation IoU of Nowhere was 0 in the last 3 epochs; check that the masks hold enough of it, or try another "
        "optimiser or learning rate"
    ]


@pytest.mark.parametrize("batch_size", [4, 500])
def test_fit_stops_when_the_loss_is_not_finite_and_keeps_nothing_of_that_epoch(sessions, tmp_path, batch_size):
    # With one step per epoch the training loss is that of the sound weights before it.
    wild = tiny_task(ADAM | {"optimiser": "sgd", "learning_rate": 1e25})
    with pytest.raises(
        DivergedError, match=r"U1: the loss of epoch 1 is (nan|inf); lower the learning rate"
    ) as stopped:
        train(sessions, tmp_path, task=wild, batch_size=batch_size)
    assert not len(stopped.value.histories["U1"])
    assert not list(tmp_path.rglob("*.keras"))


def test_fit_says_what_to_set_when_memory_does_not_hold_a_batch(sessions, tmp_path):
    def exhaust(images):
        raise MemoryError

    def greedy(images, group):
        return {"images": tf.ensure_shape(tf.py_function(exhaust, [images], tf.float32), images.shape)}

    message = r"U1: out of memory with 2 patches per step; increase `training\.gradient_accumulation_steps` \(now 2\)"
    with pytest.raises(InputError, match=message):
        train(sessions, tmp_path, forward=greedy, gradient_accumulation_steps=2)


def test_gradient_accumulation_gives_the_gradients_of_the_whole_batch(sessions, tmp_path):
    # Batch normalisation would see one part at a time.
    sgd = {"optimiser": "sgd", "learning_rate": 0.05}
    whole, history = train(sessions, tmp_path / "whole", task=tiny_task(sgd, normalised=False), batch_size=5)
    parts, history_of_parts = train(
        sessions,
        tmp_path / "parts",
        task=tiny_task(sgd, normalised=False),
        batch_size=5,
        gradient_accumulation_steps=3,
    )
    np.testing.assert_allclose(history["loss"], history_of_parts["loss"], rtol=1e-5)
    for one, other in zip(weights(whole), weights(parts), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


@pytest.fixture
def precision(request):
    keras.config.set_dtype_policy(request.param)
    yield request.param
    keras.config.set_dtype_policy("float32")


@pytest.mark.parametrize(
    ("precision", "changes"),
    [
        ("mixed_bfloat16", {}),
        ("mixed_float16", {"gradient_accumulation_steps": 2}),
        ("float32", {"xla": True, "gradient_accumulation_steps": 2}),
        ("float32", {"xla": True}),
        ("mixed_bfloat16", {"unlabelled": [2], "gradient_accumulation_steps": 2}),
        ("float32", {"xla": True, "unlabelled": [2], "dice_weight": 0.5}),
    ],
    indirect=["precision"],
)
def test_fit_learns_as_well_in_mixed_precision_and_with_xla(many_slices, learned, tmp_path, precision, changes):
    task = tiny_task()
    assert task.network.get_layer("classifier").compute_dtype == precision.removeprefix("mixed_")
    assert isinstance(task.optimiser, keras.mixed_precision.LossScaleOptimizer) == (precision == "mixed_float16")
    _, history = train(many_slices, tmp_path, task=task, epochs=12, **changes)
    # seeds differ among themselves by as much
    assert history["val_patch_iou_Vert"].max() == pytest.approx(learned[1]["val_patch_iou_Vert"].max(), abs=0.08)
