"""Sessions that the tests of training share."""

import pytest

from factories.training import write_sessions


@pytest.fixture(scope="session")
def sessions(tmp_path_factory):
    return write_sessions(tmp_path_factory.mktemp("patches"))
