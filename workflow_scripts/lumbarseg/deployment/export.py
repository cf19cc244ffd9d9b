"""Export of the networks of a bundle to ONNX, for other software."""

import importlib.util
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np

from lumbarseg.atomic_io import atomic_write, write_json
from lumbarseg.deployment.bundle import CARD, Bundle
from lumbarseg.deployment.segmenter import Segmenter
from lumbarseg.errors import InputError
from lumbarseg.models.build import with_head_input

_PACKAGES = ("onnx", "tf2onnx")


def export_onnx(bundle: Bundle, folder: Path, on_progress: Callable[[str], None] = lambda name: None) -> None:
    """Write a bundle's networks and meta-learner as ONNX, and the manifest, which describes pre- and postprocessing, as JSON.

    Input of a network is `patch` (batch, side, side, channels) float32 z-scores. Its outputs are `head_input` (batch, side,
    side, m), the input of stacking on tensors, and `scores` (batch, side, side, classes), which sum to 1.

    Args:
        bundle: the bundle.
        folder: the folder for `<topology>.onnx`, `meta_learner.onnx` if there is a meta-learner, `bundle.json` and the model
            card.
        on_progress: called with the name of each finished file.

    Raises:
        InputError: the packages for ONNX are not installed, or the bundle cannot be used.
    """
    absent = [name for name in _PACKAGES if importlib.util.find_spec(name) is None]
    if absent:
        raise InputError(
            f"export to ONNX: {' and '.join(absent)} not installed; run pip install --require-hashes -r envs/onnx.txt"
        )
    networks, meta_learners = Segmenter(bundle).networks()
    for name, network in networks.items():
        _write(with_head_input(network), folder / f"{name}.onnx", ["head_input", "scores"])
        on_progress(f"{name}.onnx")
    for meta_learner in meta_learners.values():
        _write(meta_learner, folder / "meta_learner.onnx", ["scores"])
        on_progress("meta_learner.onnx")
    write_json(folder / "bundle.json", bundle.manifest)
    with atomic_write(folder / CARD) as temporary:
        temporary.write_text(bundle.card(), encoding="utf-8")


def _write(network: keras.Model, path: Path, outputs: list[str]) -> None:
    import onnx

    example = [np.zeros((1, *one.shape[1:]), np.float32) for one in network.inputs]
    network(example if len(example) > 1 else example[0], training=False)
    with atomic_write(path) as temporary, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # tf2onnx uses deprecated names of NumPy
        network.export(temporary, format="onnx", verbose=False)
        model = onnx.load(temporary)
        for place, name in enumerate(outputs):
            _rename_output(model.graph, place, name)
        onnx.checker.check_model(model)
        onnx.save(model, temporary)


def _rename_output(graph: Any, place: int, name: str) -> None:
    """Rename an output, because exported ones are called `Identity:0`."""
    from onnx import helper

    graph.node.append(helper.make_node("Identity", [graph.output[place].name], [name]))
    graph.output[place].name = name
