"""Batch statistics: recomputed on plain patches, without a change of the training itself."""

import keras
import numpy as np

from factories.training import SIDE, tiny_network, train, write_sessions
from lumbarseg.data.dataset import PatchSet
from lumbarseg.training.batch_statistics import RecomputedStatistics, StatisticsAverage
from lumbarseg.training.task import TrainTask


def statistics(network):
    layer = next(layer for layer in network.layers if isinstance(layer, keras.layers.BatchNormalization))
    return layer.moving_mean.numpy(), layer.moving_variance.numpy()


def test_statistics_average_is_that_of_the_layer_s_input(tmp_path):
    network = tiny_network()
    images = np.random.default_rng(1).normal(2.0, 3.0, (3, 4, SIDE, SIDE, 2)).astype(np.float32)
    before = keras.Model(network.input, network.layers[1].output)
    average = StatisticsAverage(network)
    for batch in images:
        average.add(batch)
    average.apply()
    inputs = [keras.ops.convert_to_numpy(before(batch)) for batch in images]
    mean, variance = statistics(network)
    np.testing.assert_allclose(mean, np.mean([one.mean((0, 1, 2)) for one in inputs], axis=0), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(variance, np.mean([one.var((0, 1, 2)) for one in inputs], axis=0), rtol=1e-4)


def test_recomputed_statistics_change_the_averages_and_no_weight(tmp_path):
    sessions = write_sessions(tmp_path)
    moving, history = train(sessions, tmp_path / "moving", epochs=2)
    recomputed, other = train(sessions, tmp_path / "recomputed", epochs=2, batch_statistics="recomputed")
    last = [keras.models.load_model(path, compile=False) for path in (moving, recomputed)]
    assert np.array_equal(history["loss"], other["loss"])
    assert not np.array_equal(history["val_loss"], other["val_loss"])
    assert not np.array_equal(statistics(last[0])[0], statistics(last[1])[0])


def test_recomputed_statistics_leave_meta_learners_alone(tmp_path):
    patches = PatchSet(write_sessions(tmp_path)[:-1])
    task = TrainTask("E2+NAD", tiny_network(normalised=False), keras.optimizers.Adam())
    before = task.network.get_weights()
    RecomputedStatistics([task], patches, 4).on_test_begin()
    assert all(np.array_equal(a, b) for a, b in zip(before, task.network.get_weights(), strict=True))
