"""What a training needs to go on after it was killed."""

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


class State:
    """Variables, histories and best epochs of training tasks, in a folder named by a hash of what defines the training.

    Attributes:
        folder: `state-<hash>`.
        histories: by training task, one row an epoch.
    """

    def __init__(self, parent: Path, identity: Mapping[str, Any], tasks: Sequence[TrainTask]) -> None:
        """Make the folder if need be; nothing is read yet.

        Args:
            parent: where the folder is.
            identity: everything that defines this training, as JSON; another one has another folder.
            tasks: whose state is kept.
        """
        digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:16]
        self.folder = parent / f"state-{digest}"
        self.folder.mkdir(parents=True, exist_ok=True)
        # What a job that was killed while it wrote left behind.
        for part in self.folder.glob(".part-*"):
            part.unlink()
        self._learners = tasks
        self._file = self.folder / "state.npz"
        self.histories: dict[str, list[dict[str, Any]]] = {task.name: [] for task in tasks}
        self._best: dict[str, dict[str, Any]] = {}

    def best_file(self, task: TrainTask) -> Path:
        """The network of a training task's best epoch."""
        return self.folder / f"best-{task.name}-epoch-{self._best[task.name]['epoch']}.keras"

    def add(self, task: TrainTask, row: dict[str, Any], criterion: str) -> None:
        """Add an epoch's row; keep the network if it is the best so far."""
        self.histories[task.name].append(row)
        best = self._best.get(task.name)
        # In the first epochs the criterion may be NaN or nothing; the first row is kept in any case.
        if best is None or row[criterion] > best["value"]:
            value = row[criterion] if np.isfinite(row[criterion]) else -np.inf
            self._best[task.name] = {"epoch": row["epoch"], "value": float(value)}
            with atomic_write(self.best_file(task)) as temporary:
                save_network(task.network, temporary, task.metadata)

    def save(self, epoch: int) -> None:
        """Write everything as of the end of an epoch, in one file; then best networks of earlier epochs may go."""
        record = {"epoch": epoch, "histories": self.histories, "best": self._best}
        content: dict[str, Any] = {"record": np.frombuffer(json.dumps(record, default=float).encode(), np.uint8)}
        for task in self._learners:
            for number, variable in enumerate(task.variables):
                content[f"{task.name}/{number}"] = variable.value.numpy()
        buffer = io.BytesIO()
        np.savez(buffer, **content)
        with atomic_write(self._file) as temporary:
            temporary.write_bytes(buffer.getbuffer())
        for task in self._learners:
            for old in self.folder.glob(f"best-{task.name}-epoch-*.keras"):
                if old != self.best_file(task):
                    old.unlink()

    def resume(self) -> int:
        """Take up what an earlier job left.

        Returns:
            The last finished epoch; 0 if there is none.

        Raises:
            InputError: what is there is damaged; nothing is removed.
        """
        if not self._file.is_file():
            return 0
        try:
            with np.load(self._file, allow_pickle=False) as content:
                record = json.loads(bytes(content["record"]))
                values = {
                    (task.name, number): content[f"{task.name}/{number}"]
                    for task in self._learners
                    for number in range(len(task.variables))
                }
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise self._damaged(self._file, str(error)) from error
        self.histories, self._best = record["histories"], record["best"]
        for task in self._learners:
            best = self.best_file(task)
            try:
                with zipfile.ZipFile(best) as archive:
                    broken = archive.testzip()
            except (OSError, zipfile.BadZipFile) as error:
                raise self._damaged(best, str(error)) from error
            if broken:
                raise self._damaged(best, f"its part {broken} is not as it was written")
            for number, variable in enumerate(task.variables):
                variable.assign(values[task.name, number])
        return int(record["epoch"])

    def _damaged(self, file: Path, found: str) -> InputError:
        return InputError(
            f"{file}: expected the state of an interrupted training, found a damaged file ({found}); remove "
            f"{self.folder} to train from the first epoch"
        )
