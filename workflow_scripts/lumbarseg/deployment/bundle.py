"""Bundles: everything needed to segment new patients with an experiment of a study, in one file.

A bundle is an uncompressed ZIP archive of `bundle.json` (the manifest, with a checksum of every other file),
`MODEL_CARD.md`, and the networks and meta-learner as saved by Keras. This module is read each time Snakemake parses the
workflow for `segment`, so it imports nothing heavy.
"""

import hashlib
import json
import os
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from lumbarseg.atomic_io import atomic_write
from lumbarseg.config.study import Model
from lumbarseg.errors import InputError

FORMAT = 2
"""Version of the format; bundles of other versions are rejected."""

MANIFEST = "bundle.json"
CARD = "MODEL_CARD.md"
META_LEARNER = "meta_learner.keras"

DRAFT = "draft"
"""Verdict on a class of a starter network whose labels are worth correcting; see `starter_packing`."""

# A fixed time stamp, so that the same networks give the same bytes.
_NO_TIME = (1980, 1, 1, 0, 0, 0)
_CHUNK = 1 << 22  # bytes read at a time


def network_entry(topology: str) -> str:
    """Return the name of a network's file within a bundle."""
    return f"networks/{topology}.keras"


class Bundle:
    """An opened bundle.

    Attributes:
        path: the file.
        manifest: the content of `bundle.json`, see `manifest.build_manifest`.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """Read the manifest of a bundle; `check` and `extract` read the rest.

        Raises:
            InputError: the file does not exist, is damaged or no bundle, or has another version.
        """
        self.path = Path(path)
        if not self.path.is_file():
            raise InputError(f"{path}: bundle not found; make one with `snakemake bundle`, or fix the path")
        try:
            with zipfile.ZipFile(self.path) as archive:
                self.manifest: dict[str, Any] = json.loads(archive.read(MANIFEST))
        except (zipfile.BadZipFile, KeyError, ValueError, OSError) as error:
            raise self.unusable(f"damaged, or not a bundle ({error})") from error
        found = self.manifest.get("format") if isinstance(self.manifest, dict) else None
        if found != FORMAT:
            raise InputError(
                f"{path}: bundle format {found}, but this version reads format {FORMAT}; make the bundle again with `snakemake "
                "bundle`, or use the version of the workflow that made it"
            )

    @property
    def model(self) -> Model:
        """The network or ensemble."""
        model = self.manifest["model"]
        return Model(model["name"], tuple(model["networks"]), model["combiner"])

    @property
    def settings(self) -> dict[str, Any]:
        """The config with which images are prepared as those of the training were.

        Registration is by ITK, which is part of the environment, because new patients are segmented where FSL may be missing.
        """
        keys = ("channels", "classes", "background", "normalisation", "patches")
        registration = self.manifest["registration"] | {"engine": "itk"}
        return {key: self.manifest[key] for key in keys} | {"registration": registration}

    @property
    def title(self) -> str:
        """What made the labels, for pages."""
        if self.is_starter:
            failing = [name for name, verdict in self.manifest.get("verdicts", {}).items() if verdict != DRAFT]
            warning = f"; not to be used: {', '.join(failing)}" if failing else ""
            return f"starter network {self.manifest['experiment']}, trained on phantoms alone; a draft to be corrected{warning}"
        return f"{self.manifest['experiment']}, fold {self.manifest['fold']} of study {self.manifest['study']}"

    @property
    def is_starter(self) -> bool:
        """Whether its networks saw phantoms alone."""
        return not self.manifest["patients"]["train"]

    def card(self) -> str:
        """Return the model card, Markdown."""
        with self._opened() as archive:
            return archive.read(CARD).decode()

    def check(self) -> None:
        """Require that the files are those that were packed.

        Raises:
            InputError: a file is missing, was added, or has another checksum.
        """
        with self._opened() as archive:
            found, listed = set(archive.namelist()) - {MANIFEST}, self.manifest["files"]
            if found != set(listed):
                names = ", ".join(sorted(found ^ set(listed)))
                raise self.unusable(f"missing or additional files ({names})")
            for name, checksum in listed.items():
                if self._digest(archive, name) != checksum:
                    raise self.unusable(f"the checksum of {name} differs")

    def extract(self, folder: Path) -> tuple[list[Path], list[Path]]:
        """Write the networks and the meta-learner to a folder.

        Args:
            folder: an empty folder.

        Returns:
            The files of the networks in the order of `model.networks`, and that of the meta-learner, if there is one.

        Raises:
            InputError: as `check`.
        """
        self.check()
        names = [network_entry(network) for network in self.model.networks]
        meta_learners = [META_LEARNER] if self.model.is_stacked else []
        with self._opened() as archive:
            missing = [name for name in names + meta_learners if name not in self.manifest["files"]]
            if missing:
                raise self.unusable(f"{', '.join(missing)} of {self.model.name} missing")
            for name in names + meta_learners:
                archive.extract(name, folder)
        return [folder / name for name in names], [folder / name for name in meta_learners]

    def _opened(self) -> zipfile.ZipFile:
        try:
            return zipfile.ZipFile(self.path)
        except (zipfile.BadZipFile, OSError) as error:
            raise self.unusable(f"damaged archive ({error})") from error

    def _digest(self, archive: zipfile.ZipFile, name: str) -> str:
        checksum = hashlib.sha256()
        try:
            with archive.open(name) as file:
                while chunk := file.read(_CHUNK):
                    checksum.update(chunk)
        except (zipfile.BadZipFile, OSError, EOFError) as error:
            raise self.unusable(f"{name} is damaged ({error})") from error
        return checksum.hexdigest()

    def unusable(self, problem: str) -> InputError:
        """Return the error for a bundle that is damaged or inconsistent."""
        return InputError(f"{self.path}: {problem}; copy the bundle again, or make it again with `snakemake bundle`")


def write_bundle(
    path: str | os.PathLike[str], manifest: Mapping[str, Any], files: Mapping[str, Path], card: str
) -> None:
    """Write a bundle atomically. The same content gives the same bytes.

    Args:
        path: the file.
        manifest: from `manifest.build_manifest`; `format` and `files` are added.
        files: networks and meta-learner by their name within the bundle.
        card: the model card, Markdown.
    """
    checksums = {CARD: hashlib.sha256(card.encode()).hexdigest()}
    with atomic_write(path) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as archive:
        for name, file in sorted(files.items()):
            content = file.read_bytes()
            checksums[name] = hashlib.sha256(content).hexdigest()
            archive.writestr(zipfile.ZipInfo(name, _NO_TIME), content)
        described = {"format": FORMAT, **manifest, "files": checksums}
        archive.writestr(zipfile.ZipInfo(CARD, _NO_TIME), card)
        archive.writestr(
            zipfile.ZipInfo(MANIFEST, _NO_TIME), json.dumps(described, indent=2, ensure_ascii=False) + "\n"
        )


def models_for_uncertainty(model: Model) -> Iterable[Model]:
    """Return the model and, for an ensemble, each of its networks, whose disagreement is part of the uncertainty."""
    return [model] if not model.combiner else [*(Model(name, (name,)) for name in model.networks), model]
