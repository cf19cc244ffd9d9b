"""TensorBoard's event files: those of the history, of every topology, whole after a restart."""

import pytest
import tensorflow as tf

from factories.training import train
from lumbarseg.training.tensorboard import TensorBoardLogger


def scalars(folder):
    """The values in a folder with one event file, by curve and epoch; none is there twice."""
    (file,) = folder.iterdir()
    found = {}
    for record in tf.data.TFRecordDataset(str(file)).as_numpy_iterator():
        event = tf.compat.v1.Event.FromString(record)
        for value in event.summary.value:
            assert (value.tag, event.step) not in found
            found[value.tag, event.step] = tf.make_ndarray(value.tensor).item()
    return found


def test_event_files_hold_the_history_once_after_a_restart(sessions, tmp_path):
    train(sessions, tmp_path / "state", epochs=1, events=tmp_path / "events")
    _, history = train(sessions, tmp_path / "state", epochs=2, events=tmp_path / "events")
    found = scalars(tmp_path / "events/U1")
    assert len(found) == history.shape[0] * (history.shape[1] - 1)
    for epoch, column, value in history.melt("epoch").itertuples(index=False):
        assert found[column, epoch] == pytest.approx(value, rel=1e-6, nan_ok=True)


def test_a_second_topology_of_a_fold_leaves_the_event_files_of_the_first(tmp_path):
    for name in ("U1", "UD"):
        TensorBoardLogger(tmp_path, {name: [{"epoch": 1, "loss": 0.5}]})
    assert scalars(tmp_path / "U1") == scalars(tmp_path / "UD") == {("loss", 1): 0.5}
