"""One conversion of a contrast, as tests look at it."""

import gzip
import json

import pytest

from factories.dicom import SECRETS
from lumbarseg.errors import InputError
from lumbarseg.geometry import load_image
from lumbarseg.imaging.conversion import convert


class Conversion:
    """Converts into a folder; of a refusal it requires what holds for all of them."""

    def __init__(self, folder):
        self.image, self.sidecar = folder / "t2w.nii.gz", folder / "t2w.json"

    def convert(self, source, contrast="T2w"):
        self.chosen = convert(source, contrast, self.image, self.sidecar)
        return load_image(self.image), json.loads(self.sidecar.read_text())

    def refusal(self, source, contrast="T2w"):
        with pytest.raises(InputError) as caught:
            self.convert(source, contrast)
        assert not self.image.exists()
        message = str(caught.value)
        assert "\n" not in message
        assert str(source) in message
        assert not any(secret in message for secret in SECRETS.values())
        return message


def written_bytes(folder):
    for file in folder.rglob("*"):
        if file.is_file():
            yield file.name.encode() + file.read_bytes()
            if file.name.endswith(".gz"):
                yield gzip.decompress(file.read_bytes())
