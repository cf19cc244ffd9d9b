"""What the tests of deployment share."""

import pytest

from factories.bundle import STACKED, small_bundle


@pytest.fixture(scope="session")
def stacked_bundle(tmp_path_factory):
    """The path of a bundle of two networks with a meta-learner; tests do not change it."""
    return small_bundle(tmp_path_factory.mktemp("bundle"), STACKED)
