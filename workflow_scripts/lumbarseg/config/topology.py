"""What an entry of the configuration's `topologies` may say; plain Python, so that the workflow can read it too."""

from collections.abc import Mapping
from typing import Any

from lumbarseg.errors import InputError

TOPOLOGY_DEFAULTS: Mapping[str, Any] = {
    "family": "unet",
    "input": "single",
    "encoder": "unet",
    "decoder": "unet",
    "skip": "concatenate",
    "output": "plain",
    "activation": "relu",
    "batch_normalisation": ["unet", "dense"],
    "transposed_kernel": 3,
    "up_sampling": "nearest",
    "optimiser": "adam",
    "learning_rate": 0.00033,
    "fully_connected": 4096,
}
"""Every key of an entry with its default: the standard U-Net, with the optimiser of eleven of Table 4's networks."""

TOPOLOGY_CHOICES: Mapping[str, tuple[str, ...]] = {
    "family": ("unet", "fcn8"),
    "input": ("single", "multi_kernel"),
    "encoder": ("unet", "vgg", "dense"),
    "decoder": ("unet", "dense"),
    "skip": ("concatenate", "attention", "ds1", "ds2"),
    "output": ("plain", "ds3"),
    "activation": ("relu", "prelu"),
    "up_sampling": ("nearest", "bilinear"),
    "optimiser": (
        "adadelta",
        "adafactor",
        "adagrad",
        "adam",
        "adamax",
        "adamw",
        "ftrl",
        "lion",
        "nadam",
        "rmsprop",
        "sgd",
    ),
}
"""The allowed values of the keys that choose one; the other keys are positive numbers, but for this one:"""

NORMALISED_BLOCKS: tuple[str, ...] = ("unet", "vgg", "dense", "attention")
"""What `batch_normalisation` may list: the kinds of blocks that have it."""

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


def complete_topology(name: str, entry: Mapping[str, Any]) -> dict[str, Any]:
    """Check one entry of `topologies` and fill in the keys it leaves out.

    Args:
        name: the topology's name, for the message.
        entry: what the configuration says; may be complete already.

    Returns:
        A new dictionary with every key of `TOPOLOGY_DEFAULTS`, in that order.

    Raises:
        InputError: the entry is no mapping, has an unknown key or value, or sets a key that its family has no use for.
    """
    if not isinstance(entry, Mapping):
        raise InputError(
            f"Configuration, topologies: {name} must be a mapping such as {{skip: attention}}, found {entry!r}; "
            "write {} for the standard U-Net."
        )
    for key in entry:
        if key not in TOPOLOGY_DEFAULTS:
            raise InputError(
                f"Configuration, topologies: {name} has the unknown key {key!r}; expected keys are "
                f"{', '.join(TOPOLOGY_DEFAULTS)}; correct or remove it."
            )
    complete = {key: entry.get(key, default) for key, default in TOPOLOGY_DEFAULTS.items()}
    complete["batch_normalisation"] = _checked_blocks(name, complete["batch_normalisation"])
    for key, allowed in TOPOLOGY_CHOICES.items():
        if complete[key] not in allowed:
            raise InputError(
                f"Configuration, topologies: {key} of {name} must be one of {', '.join(allowed)}, "
                f"found {complete[key]!r}; choose one of them."
            )
    _check_number(name, "learning_rate", complete["learning_rate"], whole=False)
    for key in ("transposed_kernel", "fully_connected"):
        _check_number(name, key, complete[key], whole=True)
    if complete["transposed_kernel"] < 2:
        raise InputError(
            f"Configuration, topologies: transposed_kernel of {name} must be 2 or more, for its stride is 2, found "
            f"{complete['transposed_kernel']}; write 2 or 3."
        )
    for key, family in _OF_ONE_FAMILY.items():
        if complete["family"] != family and complete[key] != TOPOLOGY_DEFAULTS[key]:
            raise InputError(
                f"Configuration, topologies: {name} is of the family {complete['family']}, where {key} can only be "
                f"left out, found {complete[key]!r}; remove it or set family: {family}."
            )
    return complete


def _checked_blocks(name: str, value: Any) -> list[str]:
    listed = list(value) if isinstance(value, (list, tuple)) else [value]
    unknown = [kind for kind in listed if kind not in NORMALISED_BLOCKS]
    if unknown:
        raise InputError(
            f"Configuration, topologies: batch_normalisation of {name} must be a list of {', '.join(NORMALISED_BLOCKS)}, found "
            f"{unknown[0]!r}; correct or remove it, or write [] for none."
        )
    # One meaning, one list: the order in which they are written changes nothing.
    return [kind for kind in NORMALISED_BLOCKS if kind in listed]


def _check_number(name: str, key: str, value: Any, *, whole: bool) -> None:
    allowed = int if whole else (int, float)
    # the comparison is false for "not a number" too, and true is an int for Python
    if isinstance(value, allowed) and not isinstance(value, bool) and 0 < value < float("inf"):
        return
    # YAML 1.1 reads 1e-3 as text, the likeliest way to come here
    kind, example = ("whole number above 0", "4096") if whole else ("number above 0", "0.001 (with a point, not 1e-3)")
    raise InputError(
        f"Configuration, topologies: {key} of {name} must be a {kind}, found {value!r}; write it like {example}."
    )
