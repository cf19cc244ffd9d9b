"""A bundle: all that it takes to segment new patients with an experiment of a study, in one file.

A ZIP archive, not compressed further: `bundle.json` (what everything is, and a checksum of every other file), `MODEL_CARD.md`,
the networks and the meta-learner as Keras saved them. This module is read each time Snakemake parses the workflow for
`segment`, so it imports nothing heavy.
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

FORMAT = 1
"""Version of the layout; a bundle of another one is refused."""

MANIFEST = "bundle.json"
CARD = "MODEL_CARD.md"
META_LEARNER = "meta_learner.keras"

# Entries carry no time, so that the same networks give the same bytes.
_NO_TIME = (1980, 1, 1, 0, 0, 0)
_PIECE = 1 << 22  # bytes read at a time


def network_entry(topology: str) -> str:
    """Name a network's file within a bundle."""
    return f"networks/{topology}.keras"


class Bundle:
    """An opened bundle.

    Attributes:
        path: of the file.
        manifest: the content of `bundle.json`, see `packing.describe`.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        """Read what a bundle says of itself; `check` and `extract` read the rest.

        Raises:
            InputError: there is no such file, it is no bundle or damaged, or of another version.
        """
        self.path = Path(path)
        if not self.path.is_file():
            raise InputError(f"{path}: expected a bundle, found no such file; make one with `snakemake bundle`")
        try:
            with zipfile.ZipFile(self.path) as archive:
                self.manifest: dict[str, Any] = json.loads(archive.read(MANIFEST))
        except (zipfile.BadZipFile, KeyError, ValueError, OSError) as error:
            raise InputError(
                f"{path}: expected a bundle, found a file that is damaged or something else ({error}); copy it again, or make "
                "it anew with `snakemake bundle`"
            ) from error
        found = self.manifest.get("format") if isinstance(self.manifest, dict) else None
        if found != FORMAT:
            raise InputError(
                f"{path}: expected a bundle of version {FORMAT}, found version {found}; make it anew with `snakemake bundle`, or "
                "take the version of this workflow that made it"
            )

    @property
    def model(self) -> Model:
        """The network or ensemble."""
        model = self.manifest["model"]
        return Model(model["name"], tuple(model["networks"]), model["combiner"])

    @property
    def settings(self) -> dict[str, Any]:
        """What a config has to say for images to be prepared as those of the training were.

        Registration is by ITK, which comes with the workflow: new patients are segmented where FSL is not installed.
        """
        keys = ("channels", "classes", "background", "normalisation", "patches")
        registration = self.manifest["registration"] | {"engine": "itk"}
        return {key: self.manifest[key] for key in keys} | {"registration": registration}

    def card(self) -> str:
        """The model card, Markdown."""
        with self._opened() as archive:
            return archive.read(CARD).decode()

    def check(self) -> None:
        """Require that all files are there and are those that were packed.

        Raises:
            InputError: one is missing, too much, or its checksum differs.
        """
        with self._opened() as archive:
            found, listed = set(archive.namelist()) - {MANIFEST}, self.manifest["files"]
            if found != set(listed):
                names = ", ".join(sorted(found ^ set(listed)))
                raise self.unusable(f"the files that {MANIFEST} lists", f"a difference in {names}")
            for name, checksum in listed.items():
                if self._digest(archive, name) != checksum:
                    raise self.unusable(f"{name} as it was packed", "another checksum")

    def extract(self, folder: Path) -> tuple[list[Path], list[Path]]:
        """Write the networks and the meta-learner to a folder.

        Args:
            folder: an empty one.

        Returns:
            The networks' files in the order of `model.networks`, and the meta-learner's, if there is one.

        Raises:
            InputError: as `check`.
        """
        self.check()
        names = [network_entry(network) for network in self.model.networks]
        meta_learners = [META_LEARNER] if self.model.is_stacked else []
        with self._opened() as archive:
            missing = [name for name in names + meta_learners if name not in self.manifest["files"]]
            if missing:
                raise self.unusable(f"everything {self.model.name} is made of", f"no {', '.join(missing)}")
            for name in names + meta_learners:
                archive.extract(name, folder)
        return [folder / name for name in names], [folder / name for name in meta_learners]

    def _opened(self) -> zipfile.ZipFile:
        try:
            return zipfile.ZipFile(self.path)
        except (zipfile.BadZipFile, OSError) as error:
            raise self.unusable("a whole archive", str(error)) from error

    def _digest(self, archive: zipfile.ZipFile, name: str) -> str:
        checksum = hashlib.sha256()
        try:
            with archive.open(name) as file:
                while piece := file.read(_PIECE):
                    checksum.update(piece)
        except (zipfile.BadZipFile, OSError, EOFError) as error:
            raise self.unusable(f"{name} as it was packed", str(error)) from error
        return checksum.hexdigest()

    def unusable(self, expected: str, found: str) -> InputError:
        """Make the error that says what in the bundle is damaged or does not fit together."""
        return InputError(
            f"{self.path}: expected {expected}, found {found}; copy the bundle again, or make it anew with `snakemake bundle`"
        )


def write_bundle(
    path: str | os.PathLike[str], manifest: Mapping[str, Any], files: Mapping[str, Path], card: str
) -> None:
    """Write a bundle, whole or not at all. The same content gives the same bytes.

    Args:
        path: the file.
        manifest: what `packing.describe` gives; `format` and `files` are added.
        files: by name within the bundle, the networks and the meta-learner.
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
    """The model itself, and each network of an ensemble by itself, whose scores tell how far they disagree."""
    return [model] if not model.combiner else [*(Model(name, (name,)) for name in model.networks), model]
