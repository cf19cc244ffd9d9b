"""Complete entries of `topologies`: defaults filled in, and no key that the network's family does not use."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, get_args

from pydantic import ValidationError

from lumbarseg.config.messages import explain
from lumbarseg.config.model_sections import Topology
from lumbarseg.errors import InputError

_FIELDS = Topology.model_fields
_UNSTATED = {"optimiser": "adam", "learning_rate": 0.00033}
"""Of a network built without a config: the choice of eleven of Table 4's networks. A config has to state both."""

TOPOLOGY_DEFAULTS: Mapping[str, Any] = {
    name: list(value) if isinstance(value, tuple) else value
    for name, value in ((name, _UNSTATED.get(name, field.default)) for name, field in _FIELDS.items())
}
"""Every key of an entry with its default: the standard U-Net."""

TOPOLOGY_CHOICES: Mapping[str, tuple[str, ...]] = {
    name: get_args(field.annotation)
    for name, field in _FIELDS.items()
    if field.annotation not in (int, float) and name != "batch_normalisation"
}
"""The allowed values of the keys that choose one."""

SIDE_MULTIPLES: Mapping[str, int] = {"unet": 16, "fcn8": 32}
"""What a patch's side must be a multiple of, by family: 2 to the number of poolings (4 and 5)."""

_OF_ONE_FAMILY: Mapping[str, str] = {
    "input": "unet",
    "encoder": "unet",
    "decoder": "unet",
    "skip": "unet",
    "output": "unet",
    "batch_normalisation": "unet",
    "transposed_kernel": "unet",
    "up_sampling": "unet",
    "fully_connected": "fcn8",
}
_BLOCKS = ("unet", "vgg", "dense", "attention")


def complete_topology(
    name: str, entry: Mapping[str, Any], file_of: Callable[[Sequence[str]], str] = lambda path: "config"
) -> dict[str, Any]:
    """Check one entry of `topologies` and fill in the keys it leaves out.

    Args:
        name: the topology's name, for the message.
        entry: what the config says; may be complete already.
        file_of: returns the file to name in a message about a path of keys.

    Returns:
        A new dictionary with every key of `TOPOLOGY_DEFAULTS`, in that order.

    Raises:
        InputError: the entry is no mapping, has an unknown key or value, or sets a key that its family does not use.
    """
    try:
        topology = Topology.model_validate({**_UNSTATED, **entry} if isinstance(entry, Mapping) else entry)
    except ValidationError as error:
        raise InputError(explain(error, file_of, ("topologies", name))) from None
    complete = topology.model_dump(mode="json")
    # One meaning, one list: the order in which they are written changes nothing.
    complete["batch_normalisation"] = [kind for kind in _BLOCKS if kind in complete["batch_normalisation"]]
    for key, family in _OF_ONE_FAMILY.items():
        if topology.family != family and complete[key] != TOPOLOGY_DEFAULTS[key]:
            raise InputError(
                f"{file_of(['topologies', name, key])}: `topologies.{name}.{key}` is not used by the family {topology.family}, but is set to {complete[key]}; "
                f"remove it or set `family: {family}`"
            )
    return complete
