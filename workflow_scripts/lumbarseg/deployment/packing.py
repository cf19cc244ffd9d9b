"""Packing of an experiment of a study into a bundle."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lumbarseg.atomic_io import read_json
from lumbarseg.cohort.split import SUBSETS, Assignment
from lumbarseg.config.study import Model
from lumbarseg.data.csv_tables import read_csv
from lumbarseg.deployment.bundle import META_LEARNER, Bundle, network_entry, write_bundle
from lumbarseg.deployment.domain_check import profile_of_files, ranges_of
from lumbarseg.deployment.manifest import build_manifest
from lumbarseg.deployment.model_card import model_card
from lumbarseg.deployment.segmenter import Segmenter
from lumbarseg.evaluation.model_selection import select_model, validation_iou
from lumbarseg.labels import LabelTable
from lumbarseg.temporary_files import PACKING, folder_beside_results


@dataclass(frozen=True)
class StudyFiles:
    """Files of a study from which an experiment is packed.

    Attributes:
        thresholds: `thresholds/<model>/fold-<k>.json` of all models and folds.
        networks: `networks/<topology>/fold-<k>/network.keras`.
        histories: `networks/<topology>/fold-<k>/history.csv`.
        meta_learners: `…/<model>/fold-<k>/…` of stacked models.
        images: normalised images on the T2w grid, all sessions of the first channel, then those of the next.
        sidecars: sidecars in the order of `images`.
        iou: `metrics/iou.csv`.
    """

    thresholds: Sequence[Path]
    networks: Sequence[Path]
    histories: Sequence[Path]
    meta_learners: Sequence[Path]
    images: Sequence[Path]
    sidecars: Sequence[Path]
    iou: Path


def pack_experiment(
    path: Path,
    name: str,
    files: StudyFiles,
    *,
    config: Mapping[str, Any],
    models: Sequence[Model],
    labellings: Sequence[str],
    patients: Sequence[str],
    assignments: Sequence[Assignment],
) -> tuple[str, int]:
    """Write the bundle of an experiment, and check that it can be loaded.

    Args:
        path: the bundle to write.
        name: `best` (by validation), or an experiment.
        files: files of the study.
        config: the study's config, see `manifest.build_manifest`.
        models: the models to choose from.
        labellings: labellings of the study.
        patients: the patient of each session in `files.images`.
        assignments: the split.

    Returns:
        Name of the experiment, and number of the fold.

    Raises:
        InputError: files of the study do not fit together.
    """
    tuned = {(one["model"], one["fold"]): one for one in map(read_json, files.thresholds)}
    table = LabelTable(config["classes"], config["background"])
    validation = validation_iou(tuned.values(), [table.names[tissue] for tissue in table.foreground_ids])
    experiment, fold = select_model(validation, models, name, labellings)
    model = next(one for one in models if one.name == experiment.rpartition("+")[0])

    def of_fold(paths: Sequence[Path], owner: str) -> Path:
        return next(one for one in paths if one.parts[-3:-1] == (owner, f"fold-{fold}"))

    def by_channel(paths: Sequence[Path], place: int) -> dict[str, Path]:
        return dict(zip(config["channels"], paths[place :: len(patients)], strict=True))

    subsets = {
        subset: [row.participant_id for row in assignments if (row.fold, row.subset) == (fold, subset)]
        for subset in SUBSETS
    }
    profiles = [
        profile_of_files(by_channel(files.images, place), by_channel(files.sidecars, place))
        for place, patient in enumerate(patients)
        if patient in subsets["train"]
    ]
    manifest = build_manifest(
        config=config,
        experiment=experiment,
        fold=fold,
        model=model,
        tuned=tuned[model.name, fold],
        validation=validation,
        histories={topology: read_csv(of_fold(files.histories, topology)) for topology in model.networks},
        test=read_csv(files.iou),
        subsets=subsets,
        ranges=ranges_of(profiles),
    )
    content = {network_entry(topology): of_fold(files.networks, topology) for topology in model.networks}
    if model.is_stacked:
        content[META_LEARNER] = of_fold(files.meta_learners, model.name)
    with folder_beside_results(path.parent, PACKING) as scratch:
        unchecked = scratch / path.name
        write_bundle(unchecked, manifest, content, model_card(manifest))
        Segmenter(Bundle(unchecked))  # raises if parts do not fit together
        unchecked.replace(path)
    return experiment, fold
