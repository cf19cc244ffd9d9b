"""Bundles: everything needed to segment new patients with an experiment of a study, in one file.

A bundle is an uncompressed ZIP archive of `bundle.json` (the manifest, with a checksum of every other file),
`MODEL_CARD.md`, and the networks and meta-learner as saved by Keras. It may come from anybody, so its layout and manifest are
checked when it is opened. This module is read each time Snakemake parses the workflow, so it imports nothing heavy.
"""

import hashlib
import json
import os
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lumbarseg.atomic_io import atomic_write, disk_full_as_input_error
from lumbarseg.config.study import Model
from lumbarseg.deployment.manifest_model import (
    CARD,
    DRAFT,
    MANIFEST,
    META_LEARNER,
    MOST_MANIFEST,
    check_manifest,
    network_entry,
    read_manifest,
    shown,
)
from lumbarseg.errors import InputError
from lumbarseg.stored_archive import StoredArchive, opened_archive
from lumbarseg.user_files import printable

FORMAT = 2
"""Version of the format; bundles of other versions are rejected."""

# A fixed time stamp, so that the same networks give the same bytes.
_NO_TIME = (1980, 1, 1, 0, 0, 0)


class Bundle:
    """An opened bundle.

    Attributes:
        path: the file.
        manifest: the content of `bundle.json`, see `manifest.build_manifest`; it has been checked, and has all
            defaults (`manifest_model`).
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """Read and check the manifest of a bundle; `check` and `extract` read the rest.

        Raises:
            InputError: the file does not exist, is damaged or no bundle, has another version, compressed or unlisted files, or a
                manifest that says what it may not.
        """
        self.path = Path(path)
        try:
            there = self.path.is_file()
        except (OSError, ValueError) as error:  # a name too long, or with a null character
            raise InputError(
                f"{printable(str(path))[:200]}: the name of the bundle cannot be read ({error}); fix it"
            ) from error
        if not there:
            raise InputError(f"{path}: bundle not found; make one with `snakemake bundle`, or fix the path")
        with self._opened() as archive:
            names = archive.names
            try:
                self.manifest = read_manifest(archive.read(MANIFEST, MOST_MANIFEST))
            except (zipfile.BadZipFile, ValueError) as error:
                raise self.unusable(f"damaged, or not a bundle ({MANIFEST}: {shown(str(error))})") from error
        found = self.manifest.get("format")
        if found != FORMAT or isinstance(found, bool):
            raise InputError(
                f"{path}: bundle format {shown(str(found))}, but this version reads format {FORMAT}; make the bundle again with "
                "`snakemake bundle`, or use the version of the workflow that made it"
            )
        try:
            self.manifest = check_manifest(self.manifest)
        except ValueError as error:
            raise self.unusable(f"{MANIFEST}: {error}") from error
        if differing := set(names) - {MANIFEST} ^ set(self.manifest["files"]):
            raise self.unusable(f"missing or additional files ({shown(', '.join(sorted(differing)))})")

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
        """Return the model card, Markdown.

        Raises:
            InputError: it is damaged, or no text.
        """
        with self._opened() as archive:
            try:
                return archive.read(CARD).decode()
            except ValueError as error:
                raise self.unusable(f"{CARD} is no text in UTF-8") from error

    def check(self) -> None:
        """Require that the files are those that were packed.

        Raises:
            InputError: a file is damaged or has another checksum.
        """
        with self._opened() as archive:
            for name, checksum in self.manifest["files"].items():
                self._require_same(name, archive.digest(name), checksum)

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
        networks = [folder / f"{name}.keras" for name in self.model.networks]
        entries = dict(zip(map(network_entry, self.model.networks), networks, strict=True))
        meta_learners = [folder / META_LEARNER] if self.model.is_stacked else []
        with self._opened() as archive, disk_full_as_input_error(folder):
            for name, path in [*entries.items(), *((META_LEARNER, path) for path in meta_learners)]:
                self._require_same(name, archive.copy(name, path), self.manifest["files"][name])
        return networks, meta_learners

    def _require_same(self, name: str, found: str, checksum: str) -> None:
        if found != checksum:
            raise self.unusable(f"the checksum of {name} differs")

    @contextmanager
    def _opened(self) -> Iterator[StoredArchive]:
        try:
            with opened_archive(self.path) as archive:
                yield archive
        except (zipfile.BadZipFile, OSError) as error:
            reason = error.strerror if isinstance(error, OSError) else shown(str(error))
            raise self.unusable(f"damaged, or not a bundle ({reason})") from error

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
