"""The starter bundles that come with the workflow: networks trained on phantoms alone, one for each choice of channels.

This module is read each time Snakemake parses the workflow, so it imports nothing heavy.
"""

from collections.abc import Sequence
from pathlib import Path

from lumbarseg.errors import InputError

FOLDER = Path(__file__).parent / "starter"
"""The folder of the starter bundles."""


def starter_bundle(channels: Sequence[str]) -> Path:
    """Return the path of the starter bundle for these channels.

    Args:
        channels: contrasts of the images, T2w first.

    Raises:
        InputError: this copy of the workflow has no such bundle.
    """
    path = FOLDER / f"{'_'.join(channels)}.zip"
    if not path.is_file():
        raise InputError(
            f"{path}: starter bundle not found; copy the workflow again, or name another bundle or network (`training.start_from`)"
        )
    return path
