"""The state of a training on disk, from which an interrupted job continues."""

import hashlib
import io
import json
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lumbarseg.atomic_io import atomic_write
from lumbarseg.errors import InputError
from lumbarseg.models.metadata import save_network
from lumbarseg.training.task import TrainTask


class Checkpoint:
    """Variables, histories and best networks of train tasks, in a folder named by a hash of what defines the training.

    Attributes:
        folder: `state-<hash>`.
        histories: by task, one row per epoch.
    """

    def __init__(self, parent: Path, identity: Mapping[str, Any], tasks: Sequence[TrainTask]) -> None:
        """Make the folder if it does not exist; nothing is read yet.

        Args:
            parent: folder of the checkpoint's folder.
            identity: everything that defines this training, as JSON; another training has another folder.
            tasks: whose state is kept.
        """
        digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:16]
        self.folder = parent / f"state-{digest}"
        self.folder.mkdir(parents=True, exist_ok=True)
        # Left by a job that was killed while it wrote.
        for part in self.folder.glob(".part-*"):
            part.unlink()
        self._tasks = tasks
        self._file = self.folder / "state.npz"
        self.histories: dict[str, list[dict[str, Any]]] = {task.name: [] for task in tasks}
        self._best: dict[str, dict[str, Any]] = {}

    def best_file(self, task: TrainTask) -> Path:
        """Return the path of the network of a task's best epoch."""
        return self.folder / f"best-{task.name}-epoch-{self._best[task.name]['epoch']}.keras"

    def record_epoch(self, rows: Sequence[Mapping[str, Any]], monitored_column: str) -> None:
        """Add an epoch's row to each task's history, keep networks that are the best so far, and save everything.

        The state is one file, so an epoch is saved as a whole or not at all. Best networks of earlier epochs are removed
        only then.

        Args:
            rows: one per task, with the epoch's number in `epoch`.
            monitored_column: its greatest value marks the best epoch; the first epoch wins a tie.
        """
        for task, row in zip(self._tasks, rows, strict=True):
            self.histories[task.name].append(dict(row))
            best = self._best.get(task.name)
            # In the first epochs the value may be NaN; the first epoch is kept in any case.
            if best is None or row[monitored_column] > best["value"]:
                value = row[monitored_column] if np.isfinite(row[monitored_column]) else -np.inf
                self._best[task.name] = {"epoch": row["epoch"], "value": float(value)}
                with atomic_write(self.best_file(task)) as temporary:
                    save_network(task.network, temporary, task.metadata)
        self._save()
        for task in self._tasks:
            for old in self.folder.glob(f"best-{task.name}-epoch-*.keras"):
                if old != self.best_file(task):
                    old.unlink()

    def _save(self) -> None:
        record = json.dumps({"histories": self.histories, "best": self._best}, default=float)
        content: dict[str, Any] = {"record": np.frombuffer(record.encode(), np.uint8)}
        for task in self._tasks:
            for number, variable in enumerate(task.variables):
                content[f"{task.name}/{number}"] = variable.value.numpy()
        buffer = io.BytesIO()
        np.savez(buffer, **content)
        with atomic_write(self._file) as temporary:
            temporary.write_bytes(buffer.getbuffer())

    def restore(self) -> int:
        """Set variables and histories to what an earlier job saved.

        Returns:
            The number of finished epochs; 0 if there is no earlier job.

        Raises:
            InputError: the state is damaged; nothing is removed.
        """
        if not self._file.is_file():
            return 0
        try:
            with np.load(self._file, allow_pickle=False) as content:
                record = json.loads(bytes(content["record"]))
                values = {
                    task.name: [content[f"{task.name}/{number}"] for number in range(len(task.variables))]
                    for task in self._tasks
                }
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise self._damaged(self._file, str(error)) from error
        self.histories, self._best = record["histories"], record["best"]
        for task in self._tasks:
            best = self.best_file(task)
            try:
                with zipfile.ZipFile(best) as archive:
                    broken = archive.testzip()
            except (OSError, zipfile.BadZipFile) as error:
                raise self._damaged(best, str(error)) from error
            if broken:
                raise self._damaged(best, f"checksum of {broken}")
            for variable, value in zip(task.variables, values[task.name], strict=True):
                variable.assign(value)
        return len(self.histories[self._tasks[0].name])

    def _damaged(self, file: Path, found: str) -> InputError:
        return InputError(
            f"{file}: the state of an interrupted training is damaged ({found}); remove {self.folder} to train from the first "
            "epoch"
        )
