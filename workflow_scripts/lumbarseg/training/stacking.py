"""The training of a fold's meta-learners, side by side, on the outputs of frozen networks (Sections 4.2.2 and 5.4)."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import tensorflow as tf

from lumbarseg.atomic_io import atomic_copy, digest
from lumbarseg.config.study import Model
from lumbarseg.data.dataset import PatchSet
from lumbarseg.models.build import optimiser
from lumbarseg.models.ensemble import Ensemble, build_meta_learner, meta_learner_inputs
from lumbarseg.models.metadata import load_trained, network_metadata
from lumbarseg.training.lock import exclusive_lock
from lumbarseg.training.loop import fit
from lumbarseg.training.model import Forward
from lumbarseg.training.network import write_history
from lumbarseg.training.options import TrainingOptions
from lumbarseg.training.task import TrainTask


def train_meta_learners(
    models: Sequence[Model],
    network_files: Mapping[int, Mapping[str, str]],
    training: Sequence[str | Path],
    validation: Sequence[str | Path],
    *,
    fold: int,
    networks_of_training: Sequence[int] | None,
    settings: Mapping[str, Any],
    stacking: Mapping[str, Any],
    channels: Sequence[str],
    class_names: Sequence[str],
    background: int,
    unlabelled: Sequence[int] = (),
    meta_learner_files: Sequence[Path],
    history_file: Path,
) -> None:
    """Train all meta-learners of a fold and write their best epochs and histories.

    Each frozen network runs forward once per batch, for all meta-learners. The state of an interrupted training is next to
    `history_file`, in `state_fold-<fold>`; it is removed at the end.

    Args:
        models: the stacked ensembles.
        network_files: by fold, each topology's network. With out-of-fold stacking there are those of several folds.
        training: the patch files (`…_patches.json`) of the fold's training sessions.
        validation: those of its validation sessions.
        fold: the fold, 1 … number of folds.
        networks_of_training: for each training session the fold whose networks it is seen by, which for out-of-fold stacking
            are networks that were not trained on it.
        settings: the config's `training`, without what does not change its result.
        stacking: the config's `stacking`.
        channels: contrasts of the images, in their order.
        class_names: in the order of their ids.
        background: id of the class left out of the mean IoU.
        unlabelled: ids of the classes that masks do not hold; see `model.PartialLabels`.
        meta_learner_files: the meta-learners to be written, in the order of `models`.
        history_file: the histories to be written, CSV; those of `loop.fit` with a column `model`.

    Raises:
        InputError: a network is not that of its fold and topology, or see `loop.fit`.
    """
    ensembles = {
        number: Ensemble(
            {
                name: load_trained(path, network_metadata(name, number, channels, class_names), "train")
                for name, path in files.items()
            },
            [],
            {},
        )
        for number, files in network_files.items()
    }
    patches = PatchSet(training, networks_of_training)
    tasks = [
        TrainTask(
            model.name,
            build_meta_learner(
                model,
                side=patches.side,
                classes=len(class_names),
                base_filters=settings["base_filters"],
                channels=stacking["channels"],
                seed=settings["seed"],
            ),
            optimiser({key: stacking[key] for key in ("optimiser", "learning_rate")}),
            meta_learner_inputs(model),
            network_metadata(model.name, fold, channels, class_names),
        )
        for model in models
    ]
    with exclusive_lock(history_file.parent / f"state_fold-{fold}") as lock:
        results = fit(
            tasks,
            patches,
            PatchSet(validation, [fold] * len(validation)),
            TrainingOptions.from_settings(settings, stacking["epochs"], class_names, background, unlabelled),
            lock.folder,
            identity={
                "networks": [digest(path) for files in network_files.values() for path in files.values()],
                "meta_learners": [(model.name, model.networks, model.combiner) for model in models],
                "stacking": dict(stacking),
                "training": dict(settings),
                "classes": list(class_names),
                "background": background,
                "unlabelled": list(unlabelled),
            },
            forward=forward_ensembles(ensembles),
        )
        for task, target in zip(tasks, meta_learner_files, strict=True):
            atomic_copy(results[task.name][0], target)
        histories = pd.concat([history.assign(model=name) for name, (_, history) in results.items()])
        write_history(histories, history_file)
        lock.remove_folder()


def forward_ensembles(ensembles: Mapping[int, Ensemble]) -> Forward:
    """Return the function that runs the networks of a batch's group forward.

    Args:
        ensembles: by group number; see `Ensemble.forward`.
    """
    groups = list(ensembles)

    def forward(images: Any, group: Any) -> Any:
        if len(groups) == 1:
            return ensembles[groups[0]].forward(images)
        place = tf.argmax(tf.equal(tf.constant(groups, group.dtype), group), output_type=tf.int32)
        return tf.switch_case(place, [partial(ensembles[number].forward, images) for number in groups])

    return forward
