"""The training of one topology on the patches of one fold, from files to files."""

import logging
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd

from lumbarseg.atomic_io import atomic_copy, atomic_write, digest
from lumbarseg.data.dataset import PatchSet
from lumbarseg.models.build import build_network, optimiser
from lumbarseg.models.transfer import start_from
from lumbarseg.training.batches import TrainingBatches
from lumbarseg.training.lock import exclusive_lock
from lumbarseg.training.loop import DivergedError, fit
from lumbarseg.training.mixing import MixedBatches, Samples
from lumbarseg.training.options import TrainingOptions
from lumbarseg.training.task import TrainTask

logger = logging.getLogger("lumbarseg")


def train_network(
    name: str,
    topology: Mapping[str, Any],
    training: Sequence[str | Path],
    validation: Sequence[str | Path],
    *,
    settings: Mapping[str, Any],
    class_names: Sequence[str],
    background: int,
    unlabelled: Sequence[int] = (),
    history_file: Path,
    network_file: Path | None = None,
    metadata: Mapping[str, Any] | None = None,
    phantoms: Samples | None = None,
    start: Path | None = None,
    start_member: str | None = None,
    events: Path | None = None,
) -> None:
    """Train a network and write its best epoch and its history (Sections 5.1 to 5.3).

    The state of an interrupted training is next to `history_file`, in `state/`; it is removed at the end.

    Args:
        name: of the topology.
        topology: a complete entry of the config's `topologies`.
        training: the patch files (`…_patches.json`) of the fold's training sessions.
        validation: those of its validation sessions.
        settings: the config's `training`, without what does not change its result.
        class_names: in the order of their ids.
        background: id of the class left out of the mean IoU.
        unlabelled: ids of the classes that masks do not hold; see `model.PartialLabels`.
        history_file: the history to be written, CSV; see `loop.fit`.
        network_file: the network to be written. Without it, as in a hyper-parameter search, only the history is written,
            and a training that diverged is a result: its history is shorter.
        metadata: written into the network's file; see `models.metadata`.
        phantoms: take the place of the share `phantom_share` of each batch; see `mixing.MixedBatches`.
        start: the file whose weights the network starts from, a bundle or a network; without it they are drawn at random.
        start_member: name of the network within a bundle; see `transfer.start_from`.
        events: folder of TensorBoard's event files; none are written without it.

    Raises:
        InputError: see `loop.fit` and `transfer.start_from`.
    """
    patches = PatchSet(training)
    network = build_network(
        topology,
        side=patches.side,
        channels=patches.channels,
        classes=len(class_names),
        base_filters=settings["base_filters"],
        seed=settings["seed"],
        name=name,
    )
    if start:
        logger.info("%s: %s", name, start_from(network, start, start_member, class_names))
    task = TrainTask(name, network, optimiser(topology), metadata=metadata or {})
    with exclusive_lock(history_file.parent / "state") as lock:
        try:
            best, history = fit(
                [task],
                patches,
                PatchSet(validation),
                TrainingOptions.from_settings(settings, settings["epochs"], class_names, background, unlabelled),
                lock.folder,
                identity={
                    "topology": dict(topology),
                    "training": dict(settings),
                    "phantoms": phantoms.digest if phantoms else None,
                    "start": [digest(start), start_member] if start else None,
                    "classes": list(class_names),
                    "background": background,
                    "unlabelled": list(unlabelled),
                },
                events=events,
                batches_of=(
                    partial(MixedBatches, phantoms=phantoms, share=settings["phantom_share"])
                    if phantoms
                    else TrainingBatches
                ),
            )[name]
            if network_file:
                atomic_copy(best, network_file)
        except DivergedError as error:
            if network_file:
                raise
            logger.info("%s", error)
            history = error.histories[name]
        write_history(history, history_file)
        lock.remove_folder()


def write_history(history: pd.DataFrame, path: Path) -> None:
    """Write a history as CSV, with its header even if there is no epoch in it."""
    with atomic_write(path) as temporary:
        (history if len(history) else history.assign(epoch=[])).to_csv(temporary, index=False)
