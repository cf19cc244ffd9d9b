"""Entries of `topologies`: defaults, and what a wrong entry is answered with."""

import math
import subprocess
import sys

import pytest

from factories.networks import REPOSITORY, TOPOLOGIES
from lumbarseg.config.topology import TOPOLOGY_DEFAULTS, complete_topology
from lumbarseg.errors import InputError


def test_complete_topology_of_an_empty_entry_is_the_standard_unet():
    assert complete_topology("U1", {}) == dict(TOPOLOGY_DEFAULTS)


def test_complete_topology_keeps_a_complete_entry():
    for name, entry in TOPOLOGIES.items():
        complete = complete_topology(name, entry)
        assert complete_topology(name, complete) == complete
        assert complete | entry == complete


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ({"encoders": "vgg"}, "unknown key 'encoders'"),
        ({"learning_rate": "1e-3"}, "learning_rate of X must be a number above 0, found '1e-3'"),
        ({"learning_rate": 0}, "found 0"),
        ({"learning_rate": math.nan}, "found nan"),
        ({"learning_rate": True}, "found True"),
        ({"family": "fcn8", "fully_connected": 4096.0}, "fully_connected of X must be a whole number above 0"),
        ({"family": "fcn8", "skip": "attention"}, "skip can only be left out"),
        ({"fully_connected": 512}, "family: fcn8"),
        (None, "must be a mapping"),
        ({"skip": ["ds1"]}, "found ['ds1']"),
    ],
)
def test_complete_topology_rejects_a_wrong_entry_in_one_sentence(entry, expected):
    with pytest.raises(InputError) as caught:
        complete_topology("X", entry)
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)


def test_config_topology_imports_nothing_heavy():
    code = (
        "import sys; sys.path.insert(0, 'workflow_scripts'); import lumbarseg.config.topology; "
        "sys.exit(bool({'keras', 'tensorflow', 'numpy'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, check=False).returncode == 0


def test_complete_topology_ignores_the_order_of_normalised_blocks():
    one, other = ({"batch_normalisation": order} for order in (["vgg", "unet"], ["unet", "vgg"]))
    assert complete_topology("U", one) == complete_topology("U", other)
    assert complete_topology("U", {}) == complete_topology("U", {"batch_normalisation": ["dense", "unet"]})


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"batch_normalisation": ["unet", "fcn"]}, r"must be a list of unet, vgg, dense, attention, found 'fcn'"),
        ({"batch_normalisation": True}, r"must be a list of unet, vgg, dense, attention, found True"),
        ({"transposed_kernel": 1}, r"must be 2 or more, for its stride is 2, found 1"),
        ({"transposed_kernel": 2.5}, r"transposed_kernel of U must be a whole number above 0"),
        ({"up_sampling": "cubic"}, r"up_sampling of U must be one of nearest, bilinear"),
        ({"family": "fcn8", "transposed_kernel": 2}, r"transposed_kernel can only be left out"),
        ({"family": "fcn8", "batch_normalisation": []}, r"batch_normalisation can only be left out"),
    ],
)
def test_complete_topology_rejects_a_wrong_reading(entry, message):
    with pytest.raises(InputError, match=message):
        complete_topology("U", entry)
