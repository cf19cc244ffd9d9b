"""The steps of training: what stays on the device, and what is counted there."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from factories.training import options, tiny_task
from lumbarseg.training.model import MultiTaskModel, PartialLabels, TaskConfusion, TaskMean


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


BACKGROUND, UNLABELLED = 1, [2, 4]


def patches_of_both_kinds():
    """Labels of two partial patches and of a complete one, and logits: (3, 4, 5), (3, 4, 5, 6)."""
    generator = np.random.default_rng(3)
    labels = generator.choice([0, 1, 3, 5], (3, 4, 5)).astype(np.int32)
    labels[2] = generator.integers(0, 6, (4, 5))
    return labels, generator.normal(0, 3, (3, 4, 5, 6)).astype(np.float32), np.array([False, False, True])


def merged_by_hand(scores, complete):
    """Scores in which, pixel by pixel, unlabelled classes of partial patches are part of the background."""
    merged = scores.astype(np.float64)
    for place in np.ndindex(scores.shape[:3]):
        if not complete[place[0]]:
            for tissue in UNLABELLED:
                merged[(*place, BACKGROUND)] += merged[(*place, tissue)]
                merged[(*place, tissue)] = 0
    return merged


def softmax(logits):
    raised = np.exp(logits.astype(np.float64))
    return raised / raised.sum(axis=-1, keepdims=True)


def test_cross_entropy_of_partial_labels_is_that_of_the_summed_probability():
    labels, logits, complete = patches_of_both_kinds()
    scores = merged_by_hand(softmax(logits), complete)
    expected = np.mean([-np.log(scores[(*place, labels[place])]) for place in np.ndindex(labels.shape)])
    loss = PartialLabels(6, UNLABELLED, BACKGROUND).cross_entropy(labels, logits, tf.constant(complete))
    assert float(loss) == pytest.approx(expected, rel=1e-5)


def test_cross_entropy_of_partial_labels_does_not_push_unlabelled_classes_apart():
    labels, logits, complete = patches_of_both_kinds()
    images = tf.Variable(logits)
    with tf.GradientTape() as tape:
        loss = PartialLabels(6, UNLABELLED, BACKGROUND).cross_entropy(labels, images, tf.constant(complete))
    gradient = tape.gradient(loss, images).numpy()[~complete][labels[~complete] == BACKGROUND]
    assert (gradient[:, [BACKGROUND, *UNLABELLED]] <= 0).all()
    assert (gradient[:, [0, 3, 5]] > 0).all()


def test_soft_dice_loss_of_partial_labels_merges_classes():
    labels, logits, complete = patches_of_both_kinds()
    scores, dice = merged_by_hand(softmax(logits), complete), []
    for tissue in range(6):
        true = labels == tissue
        if true.any():
            common, found = scores[true, tissue].sum(), scores[..., tissue].sum()
            dice.append((2 * common + 1) / (true.sum() + found + 1))
    loss = PartialLabels(6, UNLABELLED, BACKGROUND).soft_dice_loss(labels, logits, tf.constant(complete))
    assert float(loss) == pytest.approx(1 - np.mean(dice), rel=1e-5)


def test_predicted_classes_that_masks_do_not_hold_are_background_in_partial_patches_alone():
    _, logits, complete = patches_of_both_kinds()
    expected = logits.argmax(axis=-1)
    partial = expected[~complete]
    partial[np.isin(partial, UNLABELLED)] = BACKGROUND
    expected[~complete] = partial
    known = PartialLabels(6, UNLABELLED, BACKGROUND)
    assert np.array_equal(known.predicted(logits, tf.constant(complete)), expected)


def test_complete_labels_have_the_loss_of_keras_bit_for_bit():
    labels, logits, complete = patches_of_both_kinds()
    loss = PartialLabels(6, [], BACKGROUND).cross_entropy(labels, logits, tf.constant(complete))
    keras_loss = keras.losses.sparse_categorical_crossentropy(labels, logits, from_logits=True)
    assert float(loss) == float(keras.ops.mean(keras_loss))
