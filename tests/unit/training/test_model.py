"""The steps of training: what stays on the device, and what is counted there."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from factories.training import options, tiny_task
from lumbarseg.training.model import MultiTaskModel, TaskConfusion, TaskMean


def test_task_mean_weights_batches_by_their_patches():
    mean = TaskMean(2)
    mean.update_state([1.0, 4.0], 3)
    mean.update_state([5.0, 0.0], 1)
    assert mean.result().numpy().tolist() == [2.0, 3.0]
    mean.reset_state()
    mean.update_state([7.0, 7.0], 2)
    assert mean.result().numpy().tolist() == [7.0, 7.0]


def test_task_confusion_counts_more_pixels_than_float32_can():
    confusion = TaskConfusion(1, 2)
    confusion.counts.assign(np.full((1, 2, 2), 2**24))
    confusion.update_state(np.array([[[0, 1]]]), [np.array([[[0, 0]]])])
    assert confusion.result().numpy().tolist() == [[[2**24 + 1, 2**24], [2**24 + 1, 2**24]]]


def test_rows_leave_out_the_background_and_absent_classes():
    model = MultiTaskModel([tiny_task()], options())
    model._confusion.counts.assign([[[6, 2, 0], [0, 8, 0], [0, 0, 0]]])
    (row,) = model.rows()
    assert row["val_accuracy"] == 14 / 16
    assert row["val_patch_iou"] == row["val_patch_iou_Vert"] == pytest.approx(0.8)
    assert row["val_patch_iou_Background"] == pytest.approx(0.75)
    assert np.isnan(row["val_patch_iou_Nowhere"])


def test_steps_return_nothing_that_keras_would_copy_from_the_device():
    model = MultiTaskModel([tiny_task()], options())
    batch = {
        "images": np.zeros((2, 32, 32, 2), np.float32), "labels": np.zeros((2, 32, 32), np.uint8),
        "warps": np.tile(np.array([1, 0, 0, 0, 1, 0, 0, 0], np.float32), (2, 1)), "groups": np.zeros(2, np.int64),
    }  # fmt: skip
    for step in (model.train_step, model.test_step):
        returned = tf.function(step).get_concrete_function(keras.tree.map_structure(tf.constant, batch)).outputs
        assert [(output.shape, output.dtype) for output in returned] == [((), tf.int32)]
