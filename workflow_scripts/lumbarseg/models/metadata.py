"""What a network's file says of itself beside its weights, so that networks that do not belong together are told apart."""

import json
import re
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import keras

from lumbarseg.errors import InputError

_MEMBER, _METADATA, _CONFIG = "lumbarseg.json", "metadata.json", "config.json"


def network_metadata(name: str, fold: int, channels: Sequence[str], class_names: Sequence[str]) -> dict[str, Any]:
    """Say what a network or meta-learner is.

    Args:
        name: of the topology, or of the model whose meta-learner it is.
        fold: in which it was trained, 1 … number of folds.
        channels: contrasts of the images, in their order.
        class_names: in the order of their ids.
    """
    return {"name": name, "fold": fold, "channels": list(channels), "classes": list(class_names)}


def save_network(network: keras.Model, path: Path, metadata: Mapping[str, Any]) -> None:
    """Write a network as a `.keras` file with its metadata inside, as a member of the archive that Keras passes over.

    The same network gives the same file, byte for byte: what Keras writes of the day and of addresses in memory is left out.
    """
    network.save(path)
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    of_keras = json.loads(members[_METADATA])
    of_keras.pop("date_saved", None)
    members[_METADATA] = json.dumps(of_keras).encode()
    members[_CONFIG] = _counted(members[_CONFIG])
    if metadata:
        members[_MEMBER] = json.dumps(dict(metadata), ensure_ascii=False).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name), content)


def _counted(config: bytes) -> bytes:
    """Objects that layers share are told apart by their addresses in memory: count them instead."""
    numbers: dict[bytes, int] = {}

    def number(found: re.Match[bytes]) -> bytes:
        return b"%s%d" % (found[1], numbers.setdefault(found[2], len(numbers)))

    return re.sub(rb'("shared_object_id": )(\d+)', number, config)


def load_network(path: str | Path, expected: Mapping[str, Any]) -> keras.Model:
    """Read a network and require that it is the one that is expected.

    Args:
        path: a `.keras` file of `save_network`.
        expected: its passport.

    Raises:
        InputError: the file is none of a network, or that of another topology, fold, channels or label table.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            found = json.loads(archive.read(_MEMBER))
    except (OSError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise InputError(
            f"{path}: expected a network that this workflow trained, found a file that is not one ({error}); train it anew"
        ) from error
    for key, value in expected.items():
        if found.get(key) != value:
            raise InputError(
                f"{path}: expected a network of {_WORDS[key]} {_shown(value)}, found one of {_shown(found.get(key))}; put "
                "the right file in its place, or train it anew"
            )
    return keras.models.load_model(path, compile=False)


_WORDS = {"name": "the model", "fold": "fold", "channels": "the channels", "classes": "the classes"}


def _shown(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
