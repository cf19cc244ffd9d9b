"""TensorBoard event files: curves to watch while a training runs."""

import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf


class TensorBoardLogger(keras.callbacks.Callback):
    """Writes histories for TensorBoard, one epoch at a time.

    `keras.callbacks.TensorBoard` writes epochs twice after a restart and needs the tensorboard package.
    """

    def __init__(self, folder: Path, histories: Mapping[str, Iterable[Mapping[str, Any]]]) -> None:
        """Write the epochs of an earlier job again, so that none is missing or there twice.

        Args:
            folder: each task has a folder of event files in it, which is emptied first.
            histories: by task, the rows so far.
        """
        super().__init__()
        self._histories = histories
        self._writers = {}
        for name, rows in histories.items():
            shutil.rmtree(folder / name, ignore_errors=True)
            self._writers[name] = tf.summary.create_file_writer(str(folder / name))
            for row in rows:
                self._write(name, row)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Write the last row of each history."""
        for name in self._writers:
            self._write(name, list(self._histories[name])[-1])

    def _write(self, name: str, row: Mapping[str, Any]) -> None:
        # As tf.summary.scalar does it, which needs the tensorboard package.
        metadata = tf.compat.v1.SummaryMetadata(plugin_data={"plugin_name": "scalars"})
        with self._writers[name].as_default():
            for column, value in row.items():
                if column != "epoch":
                    tf.summary.write(column, tf.constant(value, tf.float32), step=row["epoch"], metadata=metadata)
        self._writers[name].flush()
