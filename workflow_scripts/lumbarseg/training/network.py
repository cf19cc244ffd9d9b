"""The training of one topology on the patches of one fold."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from lumbarseg.data.dataset import PatchSet
from lumbarseg.models.build import build_network, optimiser
from lumbarseg.training.loop import fit
from lumbarseg.training.task import TrainingOptions, TrainTask


def train_network(
    name: str,
    topology: Mapping[str, Any],
    training: PatchSet,
    validation: PatchSet,
    *,
    settings: Mapping[str, Any],
    class_names: Sequence[str],
    background: int,
    state_folder: Path,
    events: Path | None = None,
    metadata: Mapping[str, Any] | None = None,
) -> tuple[Path, pd.DataFrame]:
    """Build a network and train it (Sections 5.1 to 5.3).

    Args:
        name: of the topology.
        topology: a complete entry of the config's `topologies`.
        training: the fold's training patches.
        validation: the fold's validation patches.
        settings: the config's `training`, but for what does not change its result.
        class_names: in the order of their ids.
        background: id of the class left out of the mean IoU.
        state_folder: where the state is kept for a job that is started again.
        events: where TensorBoard's event files go, if anywhere.
        metadata: what the network's file says of itself; see `networks.passport`.

    Returns:
        The best epoch's network, a `.keras` file in the state folder, and the history; see `loop.fit`, which also says
        what is raised.
    """
    network = build_network(
        topology,
        side=training.side,
        channels=training.channels,
        classes=len(class_names),
        base_filters=settings["base_filters"],
        seed=settings["seed"],
        name=name,
    )
    results = fit(
        [TrainTask(name, network, optimiser(topology), metadata=metadata or {})],
        training,
        validation,
        TrainingOptions.from_config(settings, settings["epochs"], class_names, background),
        state_folder,
        identity={
            "topology": dict(topology),
            "training": dict(settings),
            "classes": list(class_names),
            "background": background,
        },
        events=events,
    )
    return results[name]
