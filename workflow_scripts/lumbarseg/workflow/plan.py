"""What a run consists of: its study, sessions and folds, and the files that each rule takes.

The rules ask a `Plan`; it knows no Snakemake. This module is read each time Snakemake parses the workflow, so it imports nothing
heavy. Functions that Snakemake calls with wildcards are named in the docstrings as input or params functions.
"""

import os
import re
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from lumbarseg.cohort import selection
from lumbarseg.cohort.sheet import Session, read_sheet
from lumbarseg.cohort.split import Assignment, changed_folds, read_folds, split_patients
from lumbarseg.cohort.table import encoding_warning
from lumbarseg.config import published
from lumbarseg.config.study import HYPER_PARAMETERS, Model, Study
from lumbarseg.deployment.bundle import Bundle, network_entry
from lumbarseg.deployment.starter import STARTER, starter_bundle
from lumbarseg.errors import InputError
from lumbarseg.imaging.registration.fsl_installation import require_flirt
from lumbarseg.phantom.cohort import participant_ids
from lumbarseg.user_files import printable
from lumbarseg.workflow.paths import LABEL, Paths, ids_of, of_models, of_sessions

InputFunction = Callable[[Any], Any]
"""What Snakemake calls with a job's wildcards."""

PHANTOMS_PER_PART = 40
"""Phantoms that one job writes, in about a minute and a half."""

FIRST_STARTER_PHANTOM = 100_001
"""Phantom cohorts number their patients from 1, so starter networks see none of them."""

RUN_SETTINGS = {"device", "tensorboard"}
"""Settings of training that change no result. Scripts read them from the config; as parameters they would retrain networks."""


class Plan:
    """A run's study, sessions and folds.

    Attributes:
        study: the checked config.
        paths: where its files lie.
        metrics_only: whether tables, figures and the page are made from copied metrics, without images and networks.
        all_sessions: the sheet's sessions.
        missing_images: participant_id, session_id and contrast of images that are not there.
        sessions: those with all images.
        with_masks: of these, those with a mask.
        labelled: of these, those that selection has not left out. Images are looked at in jobs, so the record of the last run is
            what counts; the rule `split` compares the two.
        assignments: which patient is in which subset of which fold.
        split_problem: why there is no split; empty if there is one.
    """

    def __init__(self, study: Study) -> None:
        """Read the sheet and split its patients.

        Args:
            study: the checked config.

        Raises:
            InputError: the sheet or a split made elsewhere cannot be used.
        """
        self.study = study
        self.paths = Paths(study.config.study, study.config.bundle)
        self.metrics_only = study.config.metrics_only
        self.all_sessions = [] if self.metrics_only else self._read_sessions()
        self.missing_images = [
            (session.participant_id, session.session_id, contrast)
            for session in self.all_sessions
            for contrast in self.channels
            if not getattr(session, contrast.lower())
        ]
        incomplete = {row[:2] for row in self.missing_images}
        self.sessions = [session for session in self.all_sessions if ids_of([session])[0] not in incomplete]
        self._by_ids = dict(zip(ids_of(self.sessions), self.sessions, strict=True))
        self.with_masks = [session for session in self.sessions if session.mask]
        excluding = selection.excludes(study.config.selection)
        left_out = selection.left_out(self.paths.selection) if excluding else set()
        self.labelled = [session for session in self.with_masks if ids_of([session])[0] not in left_out]
        self.split_problem, self.assignments = self._split()

    # ---- the cohort -----------------------------------------------------------------------------------------------

    @property
    def channels(self) -> list[str]:
        """The contrasts that networks take, T2w first."""
        return list(self.study.config.channels)

    @property
    def class_names(self) -> list[str]:
        """Class names in the order of their ids."""
        return [label.name for label in self.study.config.classes]

    @property
    def has_t1w(self) -> bool:
        """Whether T1w is a channel."""
        return "T1w" in self.channels

    @property
    def is_phantom(self) -> bool:
        """Whether the run makes its cohort itself."""
        return self.study.config.phantom is not None

    @property
    def sheet(self) -> str:
        """The sheet of sessions."""
        return self.paths.result("phantom/sessions.tsv") if self.is_phantom else self.study.config.sessions

    def _read_sessions(self) -> list[Session]:
        """Read the sheet; a phantom's sessions follow from the config, because its sheet is made by the run.

        A missing sheet is no mistake yet: `networks` needs none. What needs it asks `with_sheet`.
        """
        config = self.study.config
        if config.phantom is None:
            may_lack = config.selection.missing_contrast == "exclude" and not config.bundle
            return read_sheet(self.sheet, self.channels, may_lack) if Path(self.sheet).exists() else []
        if config.split.stratify:
            raise InputError(
                "config: `split.stratify` needs a sheet of sessions, and a phantom cohort has none before it is made; set "
                "`stratify: null`"
            )
        return [
            Session(
                participant,
                "01",
                self.paths.result(f"phantom/dicom/{participant}/T2w"),
                self.paths.result(f"phantom/dicom/{participant}/T1w"),
                self.paths.result(f"phantom/masks/{participant}_mask.nii.gz"),
            )
            for participant in participant_ids(config.phantom.patients)
        ]

    def _split(self) -> tuple[str, list[Assignment]]:
        split = self.study.config.split
        if not self.all_sessions:
            return "", []
        if split.file:
            return "", read_folds(split.file, self.labelled, split.folds)
        try:
            return "", split_patients(self.labelled, split.folds, split.test_patients, split.stratify, split.seed)
        except InputError as error:
            # Images of too few patients for folds can still be converted and cut into patches.
            return str(error), []

    @property
    def selection_criteria(self) -> dict[str, Any]:
        """The criteria of selection; classes that masks do not hold are not looked for in them."""
        criteria = self.study.config.selection.model_dump(mode="json")
        held = self.study.config.partial_labels
        if held is not None:
            coverage = criteria["coverage"]
            coverage["classes"] = [name for name in coverage["classes"] if name in held]
        return criteria

    @property
    def warnings(self) -> list[str]:
        """Sentences about the sheet and a split made elsewhere that were read, but perhaps not as they were meant."""
        files = [self.sheet, self.study.config.split.file] if self.all_sessions and not self.is_phantom else []
        return [warning for file in files if file and (warning := encoding_warning(file))]

    @property
    def rows_read(self) -> list[str]:
        """Sentences with the number of rows of the sheet and of a split made elsewhere, so that a row that is lost is noticed."""
        if self.is_phantom or not self.all_sessions:
            return []
        patients = len({session.participant_id for session in self.all_sessions})
        split = self.study.config.split.file
        return [
            f"{self.sheet}: {len(self.all_sessions)} rows read, the sessions of {patients} patients",
            *([f"{split}: {len(self.assignments)} rows read"] if split else []),
        ]

    def changed_folds(self) -> list[int]:
        """Return the folds whose patients are not those of the last run."""
        return changed_folds(self.paths.folds, self.assignments)

    @property
    def left_out(self) -> list[tuple[str, str]]:
        """(participant_id, session_id) of sessions with a mask that selection has left out."""
        return sorted(set(ids_of(self.with_masks)) - set(ids_of(self.labelled)))

    @cached_property
    def _patients(self) -> dict[tuple[int, str], set[str]]:
        """Participant ids by fold and subset; jobs ask for them hundreds of times."""
        found: dict[tuple[int, str], set[str]] = {}
        for row in self.assignments:
            found.setdefault((row.fold, row.subset), set()).add(row.participant_id)
        return found

    def subset(self, fold: int | str, *names: str) -> list[Session]:
        """Return the sessions of a fold's subsets (train, validation, test)."""
        patients = set().union(*(self._patients.get((int(fold), name), set()) for name in names))
        return [session for session in self.labelled if session.participant_id in patients]

    def tested_sessions(self) -> list[Session]:
        """Return the test sessions of all folds, each once."""
        tested = {session for fold in self.study.folds for session in self.subset(fold, "test")}
        return [session for session in self.labelled if session in tested]

    # ---- requirements, checked when a job is planned ------------------------------------------------------------------

    def with_sheet(self, *paths: str) -> InputFunction:
        """Return an input function that gives these paths, or says that there is no sheet of sessions."""

        def files(wildcards: Any) -> Any:
            if self.metrics_only:
                raise InputError(
                    "config: `metrics_only` is true, which makes figures, tables and the page alone; set it to false to run other stages"
                )
            if not self.all_sessions:
                raise InputError(
                    f"{self.sheet}: sheet of sessions not found; write one (docs/your_own_data.md), have it written "
                    "(snakemake write_sheet), name it as `sessions` in the config, or set `metrics_only: true` to draw figures and "
                    "tables from copied metrics"
                )
            return paths[0] if len(paths) == 1 else list(paths)

        return files

    def with_split(self, path: str) -> InputFunction:
        """Return an input function that gives a path, or says why patients cannot be split into folds."""

        def file(wildcards: Any) -> Any:
            if self.split_problem:
                raise InputError(self.split_problem)
            return self.with_sheet(path)(wildcards)

        return file

    def with_bundle(self, *paths: str) -> InputFunction:
        """Return an input function that gives these paths, or says that no bundle is named."""

        def files(wildcards: Any) -> Any:
            if not self.study.config.bundle:
                raise InputError(
                    "config: `segment` needs a bundle and a sheet of the new sessions; name both: "
                    "snakemake segment --config bundle=FILE sessions=SHEET, or bundle=starter for the networks that come with the "
                    "workflow"
                )
            return self.with_sheet(*paths)(wildcards)

        return files

    def layout(self, wildcards: Any) -> dict[str, Any]:
        """Params function: how the folder of images is laid out."""
        layout = self.study.config.layout
        if not layout:
            raise InputError("config: `write_sheet` needs the section `layout`; name kind and folder (docs/layouts/)")
        return layout.model_dump(mode="json")

    # ---- files of sessions ----------------------------------------------------------------------------------------------

    def source_images(self, wildcards: Any) -> Any:
        """Input function: a session's images as the sheet names them; a phantom's come with its sheet."""
        return self.sheet if self.is_phantom else list(self.source_by_contrast(wildcards).values())

    def source_by_contrast(self, wildcards: Any) -> dict[str, str]:
        """Params function: by contrast, the DICOM folder or image file that the sheet names."""
        session = self._by_ids[wildcards.participant, wildcards.session]
        return {contrast: getattr(session, contrast.lower()) for contrast in self.channels}

    @property
    def sources_to_split(self) -> list[tuple[str, ...]]:
        """participant_id, session_id and images of each session that is split, as the sheet names them."""
        return [
            (*ids_of([session])[0], *(getattr(session, contrast.lower()) for contrast in self.channels))
            for session in self.labelled
        ]

    def source_mask(self, wildcards: Any) -> str:
        """Params function: a session's mask as the sheet names it."""
        return self._by_ids[wildcards.participant, wildcards.session].mask

    def source_mask_file(self, wildcards: Any) -> str:
        """Input function: the file that a session's mask comes from."""
        return self.sheet if self.is_phantom else self.source_mask(wildcards)

    def mask_if_any(self, wildcards: Any) -> list[str]:
        """Input function: a session's mask on the T2w grid, or nothing if it has none."""
        return [self.paths.mask.format(**wildcards)] if self.source_mask(wildcards) else []

    def of_subset(self, pattern: str, *names: str) -> InputFunction:
        """Return an input function: a pattern for each session of a fold's subsets."""
        return lambda wildcards: of_sessions(self.subset(wildcards.fold, *names), pattern)

    def ids_of_subset(self, *names: str) -> InputFunction:
        """Return a params function: (participant_id, session_id) of a fold's subsets, in the order of `of_subset`."""
        return lambda wildcards: ids_of(self.subset(wildcards.fold, *names))

    @property
    def registration_settings(self) -> dict[str, Any]:
        """The settings of registration that count: those of the other engine change nothing."""
        registration = self.study.config.registration
        unused = set() if registration.engine == "flirt" else {"flirt"}
        return registration.model_dump(mode="json", exclude=unused)

    def registration_problem(self, wildcards: Any) -> str:
        """Return why a session whose T1w is not registered yet cannot be registered; empty if it can be."""
        registered = self.paths.registered.format(participant=wildcards.participant, session=wildcards.session)
        if self.study.config.registration.engine != "flirt" or Path(registered).exists():
            return ""
        try:
            require_flirt()
        except InputError as error:
            return str(error)
        return ""

    # ---- networks and models ----------------------------------------------------------------------------------------------

    @property
    def training(self) -> dict[str, Any]:
        """The settings of training that change its result."""
        return self.study.config.training.model_dump(mode="json", exclude=RUN_SETTINGS)

    def start_file(self, wildcards: Any) -> list[str]:
        """Input function: the file whose weights networks start from; nothing if they are drawn at random.

        Raises:
            InputError: the file does not exist, or is no bundle although its name says so.
        """
        chosen = self.study.config.training.start_from
        if not chosen:
            return []
        _require_no_pattern(chosen, "training.start_from")
        # Relative to where the run is, so that a moved folder is as done as it was.
        path = os.path.relpath(starter_bundle(self.channels)) if chosen == "starter" else chosen
        if not Path(path).is_file():
            raise InputError(f"{path}: file not found; fix the path in `training.start_from`, or set it to null")
        if path.endswith(".zip"):
            Bundle(path)
        return [path]

    def start_member(self, topology: InputFunction) -> InputFunction:
        """Return a params function: the bundle's network that a training starts from; None if it does not start from a bundle.

        This is the network of the same topology if the bundle has it, otherwise its first.

        Args:
            topology: params function that gives the name of the topology that is trained.
        """

        def member(wildcards: Any) -> str | None:
            files = self.start_file(wildcards)
            if not files or not files[0].endswith(".zip"):
                return None
            names = Bundle(files[0]).model.networks
            name = topology(wildcards)
            return network_entry(name if name in names else names[0])

        return member

    def phantoms_of_training(self) -> list[str]:
        """Return the folders of phantoms that are mixed into the batches of networks; nothing if there are none."""
        return self.of_starter_parts("train") if self.study.config.training.phantom_share else []

    @property
    def modules_without_phantoms(self) -> list[str]:
        """The modules that a training does not use because no phantoms are mixed in: a change of the phantom does not repeat it."""
        return [] if self.study.config.training.phantom_share else ["lumbarseg.training.phantoms"]

    @property
    def phantom_samples(self) -> dict[str, Any] | None:
        """The settings of samples that are drawn of `phantoms_of_training`; None if there are none."""
        shared = self.study.config.training.phantom_share
        return self.study.config.starter.model_dump(include={"slices", "pixel_size_mm"}) if shared else None

    @property
    def topologies(self) -> dict[str, Any]:
        """By name, the complete entries of the topologies that are trained."""
        return {name: self.study.topology(name) for name in self.study.networks}

    @staticmethod
    def described(models: Sequence[Model]) -> list[tuple[str, tuple[str, ...], str]]:
        """Return (name, networks, combiner) of models: plain data, for parameters."""
        return [(model.name, model.networks, model.combiner) for model in models]

    def of_models(self, pattern: str, stacked_only: bool = False) -> list[str]:
        """Return a pattern for each model of the study, the fold left open."""
        models = self.study.meta_learners if stacked_only else self.study.models
        return of_models(pattern, [model.name for model in models])

    def networks_of_fold(self) -> list[str]:
        """Return the trained networks of a fold, the fold left open."""
        return [self.paths.network.replace("{topology}", name) for name in self.study.networks]

    def of_folds(self, *patterns: str) -> list[str]:
        """Return each pattern for each fold (and topology, if it has one), fold by fold."""
        return [
            path
            for pattern in patterns
            for fold in self.study.folds
            for path in dict.fromkeys(pattern.format(fold=fold, topology=name) for name in self.study.networks)
        ]

    def masks_of_experiments(self) -> list[str]:
        """Return the folders of all experiments' masks, the fold left open."""
        return [self.paths.masks(experiment) for experiment in self.study.experiments]

    # ---- stacking ----------------------------------------------------------------------------------------------------------

    def folds_to_stack(self, fold: int | str) -> list[int]:
        """Return the folds whose networks a fold's meta-learners learn from: its own; out of fold, all."""
        return self.study.folds if self.study.config.stacking.out_of_fold else [int(fold)]

    def networks_to_stack(self, wildcards: Any) -> list[str]:
        """Input function: the networks that a fold's meta-learners learn from."""
        return [path for files in self.networks_by_fold(wildcards).values() for path in files]

    def networks_by_fold(self, wildcards: Any) -> dict[int, list[str]]:
        """Params function: the files of `networks_to_stack` by fold."""
        return {
            fold: [path.format(fold=fold) for path in self.networks_of_fold()]
            for fold in self.folds_to_stack(wildcards.fold)
        }

    def fold_of_networks(self, wildcards: Any) -> list[int]:
        """Params function: for each training session of a fold, in the order of `of_subset`, the fold of its networks.

        Out of fold, that is the fold in which its patient is in the validation subset, so no network has seen it.

        Raises:
            InputError: a split made elsewhere has no such fold for a patient.
        """
        sessions = self.subset(wildcards.fold, "train")
        if not self.study.config.stacking.out_of_fold:
            return [int(wildcards.fold)] * len(sessions)
        unseen = {row.participant_id: row.fold for row in self.assignments if row.subset == "validation"}
        missing = sorted({session.participant_id for session in sessions} - set(unseen))
        if missing:
            raise InputError(
                f"{self.study.config.split.file}: {', '.join(missing[:5])}: no fold has this patient in the validation subset, "
                "which `stacking.out_of_fold` needs; change the split, or set it to false"
            )
        return [unseen[session.participant_id] for session in sessions]

    # ---- evaluation ----------------------------------------------------------------------------------------------------------

    @property
    def uncertain_model(self) -> str | None:
        """The model whose uncertainty is mapped, if any."""
        experiment = self.study.config.uncertainty.experiment
        return experiment and experiment.rpartition("+")[0]

    def uncertainty_of_fold(self) -> list[str]:
        """Return the folder of uncertainty maps, the fold left open; nothing if the config asks for none."""
        return [self.paths.uncertainty(self.uncertain_model)] if self.uncertain_model else []

    def differences_from_paper(self, config: Path) -> list[tuple[str, str, str]]:
        """Return the settings that differ from the paper's study: key, this study's value, the paper's.

        Args:
            config: the config of the paper's study.
        """
        paper = yaml.safe_load(config.read_text(encoding="utf-8"))
        return self.study.differences_from(Study(paper))

    def benchmarks_by_rule(self) -> dict[str, list[str]]:
        """Return, by rule, the benchmark files of what sessions and folds go through."""
        images = ["convert_session", "mask_session", "normalise_session", "patch_session"]
        images += ["register_session"] if self.has_t1w else []
        folds = ["stack_fold"] if self.study.meta_learners else []
        folds += ["threshold_fold"] if "TH" in self.study.config.labellings else []
        return {
            **{name: of_sessions(self.labelled, self.paths.benchmark(name, LABEL)) for name in images},
            "train_network": self.of_folds(self.paths.benchmark("train_network", "{topology}_fold-{fold}")),
            **{name: self.of_folds(self.paths.benchmark(name, "fold-{fold}")) for name in [*folds, "reconstruct_fold"]},
        }

    # ---- search ----------------------------------------------------------------------------------------------------------------

    def trials(self) -> list[dict[str, Any]]:
        """Return the trials of the hyper-parameter search, one for each combination and fold."""
        search = self.study.config.search
        folds = search.folds if search else ()
        return [
            {"trial": trial.name, "topology": trial.topology, **trial.hyper_parameters, "fold": fold}
            for trial in self.study.trials.values()
            for fold in folds
        ]

    def histories_of_trials(self, wildcards: Any) -> list[str]:
        """Input function: the histories of all trials."""
        trials = self.trials()
        if not trials:
            raise InputError(
                "config: `search` needs the section `search` with learning rates to try; write one (docs/search.md)"
            )
        return [self.paths.trial_history.format(**row) for row in trials]

    def present_hyper_parameters(self) -> dict[str, dict[str, Any]]:
        """Return, by topology, the hyper-parameters that the config has."""
        return {
            name: {key: self.study.topology(name)[key] for key in HYPER_PARAMETERS}
            for name in self.study.config.topologies
        }

    # ---- starter networks ------------------------------------------------------------------------------------------------

    @property
    def starter(self) -> dict[str, Any]:
        """The settings of starter networks."""
        return self.study.config.starter.model_dump(mode="json")

    def starter_topology(self, wildcards: Any) -> dict[str, Any]:
        """Params function: the complete entry of the starter's topology."""
        name = self.study.config.starter.topology
        if name not in self.study.config.topologies:
            raise InputError(f"config: `starter.topology` is {name}, which is not in `topologies`; name one of those")
        if self.class_names != published.class_names() or self.study.config.background != 0:
            raise InputError(
                "config: `snakemake starter` trains on phantoms, which have the classes of the paper; remove `classes` and `background`"
            )
        # Optimiser and rate are those of `starter`, so that a change of the topology's own retrains nothing.
        own = {"optimiser": "adam", "learning_rate": self.study.config.starter.learning_rate}
        return self.study.topology(name) | own

    def starter_epochs(self, wildcards: Any) -> int:
        """Params function: epochs of a starter network."""
        starter = self.study.config.starter
        return starter.t1w_epochs if wildcards.contrasts.endswith("T1w") else starter.epochs

    def starter_to_extend(self, wildcards: Any) -> list[str]:
        """Input function: the network of T2w that one of T2w and T1w starts from."""
        return [self.paths.starter_network.format(contrasts="T2w")] if wildcards.contrasts.endswith("T1w") else []

    def starter_parts(self) -> dict[str, tuple[int, int]]:
        """Return the first and last number of the phantoms by part: held-out, train and test ones, each phantom once."""
        starter, parts, last = self.study.config.starter, {}, FIRST_STARTER_PHANTOM - 1
        for kind, count in (("held-out", starter.held_out), ("train", starter.phantoms), ("test", starter.tested)):
            for part, start in enumerate(range(last + 1, last + count + 1, PHANTOMS_PER_PART), 1):
                parts[f"{kind}-{part}"] = (start, min(start + PHANTOMS_PER_PART - 1, last + count))
            last += count
        return parts

    def starter_numbers(self, wildcards: Any) -> tuple[int, int]:
        """Params function: first and last number of a part's phantoms."""
        return self.starter_parts()[wildcards.part]

    def of_starter_parts(self, kind: str) -> list[str]:
        """Return the folders of the phantoms of a kind: held-out, train or test."""
        return [self.paths.starter_phantoms.format(part=part) for part in self.starter_parts() if part.startswith(kind)]

    # ---- new patients --------------------------------------------------------------------------------------------------------------

    def of_bundle(self, pattern: str) -> InputFunction:
        """Return an input function: a pattern for each fold and each model or topology that may go into a bundle."""

        def files(wildcards: Any) -> list[str]:
            experiment = wildcards.experiment
            if experiment not in ["best", *self.study.experiments]:
                raise InputError(
                    f"config: `bundle_experiment` is {experiment}, which is no experiment of this study; set it to `best` or one of "
                    f"{', '.join(self.study.experiments[:12])}, …"
                )
            models = [m for m in self.study.models if experiment == "best" or experiment.rpartition("+")[0] == m.name]
            topologies = list(dict.fromkeys(name for model in models for name in model.networks))
            names = [model.name for model in models if model.is_stacked or pattern != self.paths.meta_learner]
            return list(
                dict.fromkeys(
                    pattern.format(fold=fold, model=model, topology=topology)
                    for fold in self.study.folds
                    for model in (names if "{model}" in pattern else [""])
                    for topology in (topologies if "{topology}" in pattern else [""])
                )
            )

        return files

    def t2w_series(self, wildcards: Any) -> list[str]:
        """Input function: the folder of a session's T2w series, or nothing if it did not come as DICOM."""
        source = self.source_by_contrast(wildcards)["T2w"]
        return [source] if Path(source).is_dir() else []

    def segmentations(self) -> list[str]:
        """Return everything that is made of new sessions, but for DICOM-SEG, which comes with the flags where it can be made."""
        paths = self.paths
        return [
            *of_sessions(self.sessions, paths.segmented, paths.measures, *paths.session_page, paths.session_flags),
            paths.label_descriptions,
            paths.measures_key,
        ]

    # ---- drafts --------------------------------------------------------------------------------------------------------------------

    @property
    def without_masks(self) -> list[Session]:
        """The sessions that `draft` labels."""
        return [session for session in self.sessions if not session.mask]

    @property
    def notice(self) -> str:
        """A sentence on sessions without a mask, which a study leaves out; empty if there are none, or all are to be segmented."""
        if not self.without_masks or self.study.config.bundle:
            return ""
        return (
            f"{self.sheet}: {len(self.without_masks)} of {len(self.sessions)} sessions have no mask and are not part of split and "
            "training; `snakemake draft` labels them"
        )

    def corrected(self) -> list[Session]:
        """Return the sessions with a mask that were drafted before they had one."""
        needed = [self.paths.draft(name) for name in ("labels_draft.nii.gz", "labels_draft.json")]
        return [
            session
            for session in self.with_masks
            if all(Path(path).exists() for path in of_sessions([session], *needed))
        ]

    def drafts_of_corrected(self, wildcards: Any) -> list[tuple[int, str, str, str]]:
        """Params function: number in the order drawn, participant_id, session_id and folder of the draft of each corrected session.

        Drafts of sessions with a mask are no input of any rule: they are never made again, whatever bundle is named later.

        Raises:
            InputError: no session with a mask has a draft.
        """
        order = {session: number for number, session in enumerate(self.with_masks, start=1)}
        found = self.corrected()
        if not found:
            raise InputError(
                f"{self.sheet}: no session has both a mask and a draft, so there are no corrections to measure; run `snakemake "
                "draft` while `mask` is empty, correct drafts, and name the corrected masks in the sheet"
            )
        return [
            (order[session], *ids_of([session])[0], str(Path(folder).parent))
            for session, folder in zip(found, of_sessions(found, self.paths.draft("labels_draft.nii.gz")), strict=True)
        ]

    def draft_bundle(self, wildcards: Any) -> str:
        """Input function: the bundle that drafts are made with.

        Raises:
            InputError: it cannot be used, or has other channels or classes than the study.
        """
        config = self.study.config
        if config.draft.bundle:
            _require_no_pattern(config.draft.bundle, "draft.bundle")
        bundle = Bundle(config.draft.bundle or starter_bundle(self.channels))
        names = [entry["name"] for entry in bundle.manifest["classes"]]
        for what, theirs, ours in (
            ("channels", bundle.manifest["channels"], self.channels),
            ("classes", names, self.class_names),
            ("background", names[bundle.manifest["background"]], self.class_names[config.background]),
        ):
            if theirs != ours:
                raise InputError(
                    f"{bundle.path}: {what} {_listed(theirs)} instead of the study's {_listed(ours)}; name another bundle as "
                    f"`draft.bundle`, or set `{what}` of the config to those of the bundle"
                )
        return str(bundle.path)

    def with_drafts(self, *paths: str) -> InputFunction:
        """Return an input function that gives these paths, or says that drafts need a sheet and no `bundle`."""

        def files(wildcards: Any) -> Any:
            if self.study.config.bundle:
                raise InputError(
                    "config: `bundle` is for `segment`, which segments new patients; name the bundle of drafts as `draft.bundle`"
                )
            return self.with_sheet(*paths)(wildcards)

        return files


def _listed(names: Any) -> str:
    return names if isinstance(names, str) else ", ".join(names)


_BUNDLE_FOLDER = re.compile(r"[^\W_][\w .,=@+()-]{0,99}(?<![ .])")


def _require_no_pattern(path: str, key: str) -> None:
    """Require that a path is no pattern for Snakemake, which takes names in braces for wildcards.

    Raises:
        InputError: it has braces, or signs that cannot be printed.
    """
    if "{" in path or "}" in path or not path.isprintable():
        raise InputError(
            f"{printable(path)}: braces and signs that cannot be printed may not be in the path of `{key}`; rename the file or its folder"
        )


def apply_bundle(config: dict[str, Any]) -> None:
    """Let a bundle's settings replace the config's, in place, if the config names a bundle.

    New patients are then prepared as those of the training were: channels, classes and preprocessing are the bundle's, and
    sessions are those of the sheet, never a phantom cohort. `starter` names the starter bundle for the config's channels.

    Raises:
        InputError: the bundle cannot be used.
    """
    # Anything but text, and other channels, are refused by the check of the config.
    if config.get("bundle") and isinstance(config["bundle"], str):
        if config["bundle"] == STARTER:
            if config.get("channels") not in (["T2w"], ["T2w", "T1w"]):
                return
            config["bundle"] = str(starter_bundle(config["channels"]))
        elif not _BUNDLE_FOLDER.fullmatch(Path(config["bundle"]).stem):
            raise InputError(
                f"{printable(config['bundle'])}: the name of the bundle cannot be that of the folder of its results; rename the file "
                "to letters, digits, space and . , = @ _ + - ( ), beginning with a letter or digit"
            )
        _require_no_pattern(config["bundle"], "bundle")
        config.update(Bundle(config["bundle"]).settings)
        config.pop("phantom", None)
