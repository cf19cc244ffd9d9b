"""Fixtures of the tests of images."""

import json

import nibabel as nib
import numpy as np
import pytest

from factories.conversion import Conversion
from lumbarseg.config.image_sections import Registration
from lumbarseg.geometry import load_image
from lumbarseg.imaging.registration.session import register
from lumbarseg.imaging.registration.transforms import from_flirt


@pytest.fixture
def session(tmp_path):
    """Paths of one session, and a run of `register` on them that returns the affine found and the report."""

    class Session:
        fixed, moving = tmp_path / "t2w.nii.gz", tmp_path / "t1w.nii.gz"
        registered, matrix, report = (
            tmp_path / "out" / "t1w.nii.gz",
            tmp_path / "out" / "t1w.mat",
            tmp_path / "out" / "t1w.json",
        )

        def run(self, fixed, moving, engine="itk", **settings):
            nib.save(fixed, self.fixed)
            nib.save(moving, self.moving)
            registration = Registration.model_validate({"engine": engine, **settings})
            register(self.fixed, self.moving, self.registered, self.matrix, self.report, registration)
            found = from_flirt(np.loadtxt(self.matrix), load_image(self.fixed), load_image(self.moving))
            return found, json.loads(self.report.read_text())

    return Session()


@pytest.fixture
def out(tmp_path):
    return Conversion(tmp_path / "out")
