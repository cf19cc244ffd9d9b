"""Curves to watch while a training runs: TensorBoard's event files."""

import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import tensorflow as tf


class TensorBoardLogger:
    """Writes the history of a training for TensorBoard, an epoch at a time."""

    def __init__(self, folder: Path | None, histories: Mapping[str, Iterable[Mapping[str, Any]]]) -> None:
        """Begin anew with what an earlier job left, so that no epoch stands there twice and none is missing.

        Args:
            folder: where the event files go, one folder a training task; its old content is removed. None writes nothing.
            histories: by training task, the rows so far.
        """
        self._writers: dict[str, Any] = {}
        if folder is None:
            return
        shutil.rmtree(folder, ignore_errors=True)
        for name, rows in histories.items():
            self._writers[name] = tf.summary.create_file_writer(str(folder / name))
            for row in rows:
                self.write(name, row)

    def write(self, name: str, row: Mapping[str, Any]) -> None:
        """Write an epoch's row of a training task; every column becomes a curve."""
        if name not in self._writers:
            return
        # As tf.summary.scalar does it, which asks for the tensorboard package.
        metadata = tf.compat.v1.SummaryMetadata(plugin_data={"plugin_name": "scalars"})
        with self._writers[name].as_default():
            for column, value in row.items():
                if column != "epoch":
                    tf.summary.write(column, tf.constant(value, tf.float32), step=row["epoch"], metadata=metadata)
        self._writers[name].flush()
