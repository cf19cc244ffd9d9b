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
        ({"encoders": "vgg"}, "unknown key `topologies.X.encoders`; did you mean `encoder`?"),
        ({"learning_rate": "1e-3"}, "learning_rate` must be a number above 0, not the text `1e-3`; write 0.001"),
        ({"learning_rate": 0}, "must be above 0, not 0"),
        ({"learning_rate": math.nan}, "must be a number above 0, not NaN"),
        ({"learning_rate": True}, "must be a number above 0, not true"),
        (
            {"family": "fcn8", "fully_connected": 4096.0},
            "fully_connected` must be a whole number of at least 1, not 4096.0",
        ),
        ({"family": "fcn8", "skip": "attention"}, "skip` is not used by the family fcn8"),
        ({"family": "fcn8", "transposed_kernel": 2}, "transposed_kernel` is not used by the family fcn8"),
        ({"family": "fcn8", "batch_normalisation": []}, "batch_normalisation` is not used by the family fcn8"),
        ({"fully_connected": 512}, "set `family: fcn8`"),
        (None, "`topologies.X` must be a section of keys, not null"),
        ({"skip": ["ds1"]}, 'not ["ds1"]'),
        (None, "`topologies.X` must be a section of keys, not null"),
        ({"batch_normalisation": ["unet", "fcn"]}, "must be `unet`, `vgg`, `dense` or `attention`, not `fcn`"),
        ({"batch_normalisation": True}, "must be a list of `unet`, `vgg`, `dense`, `attention`, not true"),
        ({"transposed_kernel": 1}, "transposed_kernel` must be at least 2, not 1"),
        ({"transposed_kernel": 2.5}, "transposed_kernel` must be a whole number of at least 2, not 2.5"),
        ({"up_sampling": "cubic"}, "up_sampling` must be `nearest` or `bilinear`, not `cubic`"),
    ],
)  # fmt: skip
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
