"""The training of a starter network: on phantoms alone, every sample drawn while it trains."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import keras

from lumbarseg.atomic_io import atomic_copy, digest
from lumbarseg.config.model_sections import Augmentation
from lumbarseg.models.build import build_network
from lumbarseg.models.transfer import copy_weights, layers_of
from lumbarseg.synthesis.samples import TEST_STRENGTH, SampleShape
from lumbarseg.synthesis.tissue_slices import STORED_PIXEL_MM
from lumbarseg.training.lock import exclusive_lock
from lumbarseg.training.loop import fit
from lumbarseg.training.network import write_history
from lumbarseg.training.options import TrainingOptions
from lumbarseg.training.phantoms import PhantomBatches, PhantomSet
from lumbarseg.training.task import TrainTask

WARM_UP_STEPS = 200


def train_starter(
    topology: Mapping[str, Any],
    phantoms: Sequence[Path],
    held_out: Sequence[Path],
    *,
    contrasts: Sequence[str],
    settings: Mapping[str, Any],
    epochs: int,
    class_names: Sequence[str],
    background: int,
    history_file: Path,
    network_file: Path,
    metadata: Mapping[str, Any],
    start: Path | None = None,
    threads: int = 2,
) -> None:
    """Train a starter network and write its best epoch on phantoms that it has not seen, and its history.

    Adam with a rate that rises over `WARM_UP_STEPS` and falls as a cosine; cross-entropy and soft Dice. The state of an interrupted
    training is next to `history_file`, in `state/`; it is removed at the end.

    Args:
        topology: a complete entry of the config's `topologies`.
        phantoms: stems of the phantoms to learn from; see `tissue_slices.write_phantom`.
        held_out: stems of those on which the best epoch is chosen.
        contrasts: T2w, or T2w and T1w.
        settings: the config's `starter`.
        epochs: number of epochs.
        class_names: in the order of their ids.
        background: id of the class left out of the mean IoU.
        history_file: the history to be written, CSV; see `loop.fit`.
        network_file: the network to be written.
        metadata: written into the network's file; see `models.metadata`.
        start: a network of fewer contrasts to start from; its first convolution is extended by `transfer.copy_weights`.
        threads: that draw samples while the network trains.

    Raises:
        InputError: see `loop.fit`.
    """
    network = build_network(
        topology,
        side=settings["patch_size"],
        channels=len(contrasts),
        classes=len(class_names),
        base_filters=settings["base_filters"],
        seed=settings["seed"],
        name=settings["topology"],
    )
    if start:
        copy_weights(layers_of(keras.models.load_model(start, compile=False)), network)
    shape = SampleShape(tuple(contrasts), settings["patch_size"], settings["pixel_size_mm"], STORED_PIXEL_MM)
    samples = settings["steps_per_epoch"] * settings["batch_size"]
    easy = 0 if start else settings["easy_epochs"]
    training = PhantomSet(phantoms, settings["slices"], shape, samples=samples, seed=settings["seed"], easy_epochs=easy)
    validation = PhantomSet(
        held_out,
        settings["slices"],
        shape,
        samples=settings["validation_samples"],
        seed=settings["seed"] + 1,
        strength=TEST_STRENGTH,
    )
    steps = settings["steps_per_epoch"] * epochs
    rate = keras.optimizers.schedules.CosineDecay(
        0.0,
        max(steps - WARM_UP_STEPS, 1),
        alpha=0.01,
        warmup_target=settings["learning_rate"],
        warmup_steps=WARM_UP_STEPS,
    )
    task = TrainTask(settings["topology"], network, keras.optimizers.Adam(rate), metadata=metadata)
    options = TrainingOptions(
        epochs=epochs,
        batch_size=settings["batch_size"],
        monitor="mean_iou",
        augmentation=Augmentation(),
        seed=settings["seed"],
        background=background,
        class_names=class_names,
        dice_weight=1.0,
    )
    identity = {
        "topology": dict(topology),
        "starter": dict(settings),
        "contrasts": list(contrasts),
        "epochs": epochs,
        "classes": list(class_names),
        "background": background,
        "start": digest(start) if start else None,
    }
    with exclusive_lock(history_file.parent / "state") as lock:
        best, history = fit(
            [task], training, validation, options, lock.folder, identity, batches_of=partial(PhantomBatches, threads=threads)
        )[task.name]  # fmt: skip
        atomic_copy(best, network_file)
        write_history(history, history_file)
        lock.remove_folder()
