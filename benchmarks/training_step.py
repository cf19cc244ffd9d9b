"""A training step of U1 (m = 64, two patches of 256 × 256 × 2) against PyTorch and against a large matrix product.

    PYTHONPATH=DIRECTORY python benchmarks/training_step.py        (DIRECTORY: see benchmarks/requirements.txt)

Ours is the step of the training loop itself, augmentation included. PyTorch's network has the same layers and, checked here,
gives the same scores with the same weights; it has no augmentation. Each runs in a process of its own, in turns.
"""

import json
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from measured import CLASSES, SIDE, in_child, made_up_slices, print_table, topologies, training_options

BATCH, WIDTH, THREADS, TURNS, STEPS = 2, 64, 2, 4, 6


def ours(precision: str, weights: str) -> dict[str, Any]:
    """Images and floating-point operations a second of our step, and the latter of a matrix product."""
    import keras
    import tensorflow as tf

    from lumbarseg.data.augmentation import draw_warps
    from lumbarseg.models.build import build_network, multiply_accumulates, optimiser
    from lumbarseg.training.device import prepare_device
    from lumbarseg.training.model import MultiTaskModel
    from lumbarseg.training.task import TrainTask

    options = training_options(batch_size=BATCH, precision=precision)
    prepare_device("cpu", THREADS, {"precision": precision, "seed": 1, "xla": False})
    entry = topologies()["UD"] | {"output": "plain"}  # U1, with Adam
    network = build_network(entry, side=SIDE, channels=2, classes=CLASSES, base_filters=WIDTH, seed=1, name="U1")
    images, labels = made_up_slices(np.random.default_rng(1), BATCH)
    if not Path(weights).exists():
        scores = keras.ops.convert_to_numpy(network(images, training=False))
        names = {variable.path: keras.ops.convert_to_numpy(variable) for variable in network.variables}
        np.savez(
            weights, images=images, scores=scores, **{path.replace("/", "|"): value for path, value in names.items()}
        )
    model = MultiTaskModel([TrainTask("U1", network, optimiser(entry))], options)
    train_step = tf.function(model.train_step, reduce_retracing=True)
    generator = np.random.default_rng(1)

    def step() -> None:
        warps = draw_warps(generator, BATCH, SIDE, options.augmentation)
        batch = {"images": images, "labels": labels, "warps": warps, "groups": np.zeros(BATCH, np.int64)}
        train_step({name: tf.constant(value) for name, value in batch.items()})["step"].numpy()

    seconds = timed(step)
    size = 4096
    left, right = (tf.random.normal((size, size)) for _ in range(2))
    product = timed(lambda: tf.linalg.matmul(left, right).numpy(), 4)
    operations = 3 * 2 * multiply_accumulates(network) * BATCH
    return {"images": BATCH / seconds, "rate": operations / seconds, "product": 2 * size**3 / product}


def timed(act: Any, count: int = STEPS) -> float:
    """The median seconds of an action, after two calls that do not count."""
    times = []
    for number in range(count + 2):
        started = time.perf_counter()
        act()
        if number > 1:
            times.append(time.perf_counter() - started)
    return statistics.median(times)


def pytorch(layout: str, weights: str) -> dict[str, Any]:
    """Images a second of the same network in PyTorch."""
    import torch
    from torch import nn

    torch.set_num_threads(THREADS)

    class Block(nn.Module):
        def __init__(self, before: int, channels: int) -> None:
            super().__init__()
            layers: list[nn.Module] = []
            for width in (before, channels):
                # Keras' constants: epsilon 0.001, momentum 0.99
                layers += [
                    nn.Conv2d(width, channels, 3, padding=1),
                    nn.BatchNorm2d(channels, 1e-3, 0.01),
                    nn.ReLU(inplace=True),
                ]
            self.layers = nn.Sequential(*layers)

        def forward(self, tensor: Any) -> Any:
            return self.layers(tensor)

    class UNet(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            widths = [WIDTH * 2**n for n in range(5)]
            self.encoder = nn.ModuleList(
                [Block(before, own) for before, own in zip([2, *widths[:3]], widths[:4], strict=True)]
            )
            self.bottleneck = Block(widths[3], widths[4])
            self.raised = nn.ModuleList([nn.ConvTranspose2d(2 * own, own, 3, stride=2) for own in widths[:4]])
            self.decoder = nn.ModuleList([Block(2 * own, own) for own in widths[:4]])
            self.classifier = nn.Conv2d(WIDTH, CLASSES, 1)

        def forward(self, tensor: Any) -> Any:
            skips = []
            for block in self.encoder:
                skips.append(block(tensor))
                tensor = nn.functional.max_pool2d(skips[-1], 2)
            tensor = self.bottleneck(tensor)
            for n in (3, 2, 1, 0):
                tensor = torch.cat([skips[n], self.raised[n](tensor)[..., :-1, :-1]], dim=1)
                tensor = self.decoder[n](tensor)
            return self.classifier(tensor)

    network = UNet()
    content = {name.replace("|", "/"): value for name, value in np.load(weights).items()}

    def copied(layer: Any, name: str, order: tuple[int, ...]) -> None:
        layer.weight.data = torch.from_numpy(np.ascontiguousarray(content[f"{name}/kernel"].transpose(order)))
        layer.bias.data = torch.from_numpy(content[f"{name}/bias"])

    blocks = {f"encoder_{n + 1}": block for n, block in enumerate(network.encoder)} | {"bottleneck": network.bottleneck}
    blocks |= {f"decoder_{n + 1}": block for n, block in enumerate(network.decoder)}
    for name, block in blocks.items():
        for number in (0, 1):
            copied(block.layers[3 * number], f"{name}_conv_{number + 1}", (3, 2, 0, 1))
            # a fresh normalisation has the same values in both
    for n, layer in enumerate(network.raised):
        copied(layer, f"decoder_{n + 1}_transposed_conv", (3, 2, 0, 1))
    copied(network.classifier, "classifier", (3, 2, 0, 1))
    images = torch.from_numpy(content["images"].transpose(0, 3, 1, 2).copy())
    with torch.no_grad():
        scores = network.eval()(images).softmax(dim=1).numpy().transpose(0, 2, 3, 1)
    difference = float(np.abs(scores - content["scores"]).max())
    parameters = sum(parameter.numel() for parameter in network.parameters())
    assert parameters == 34_525_260, parameters
    assert difference < 1e-4, difference

    labels = torch.from_numpy(made_up_slices(np.random.default_rng(1), BATCH)[1].astype(np.int64))
    if layout == "channels_last":
        network, images = network.to(memory_format=torch.channels_last), images.to(memory_format=torch.channels_last)
    network.train()
    optimiser = torch.optim.Adam(network.parameters(), lr=0.00033, eps=1e-7)

    def step() -> None:
        optimiser.zero_grad(set_to_none=True)
        loss = nn.functional.cross_entropy(network(images), labels)
        loss.backward()
        optimiser.step()
        loss.item()

    return {"images": BATCH / timed(step), "difference": difference}


def main() -> None:
    """Run the parts in turns and print the table."""
    with tempfile.TemporaryDirectory() as folder:
        weights = f"{folder}/weights.npz"
        has_bfloat16 = "avx512_bf16" in Path("/proc/cpuinfo").read_text(encoding="utf-8")
        parts = [("ours", "float32"), ("pytorch", "contiguous"), ("pytorch", "channels_last")]
        parts += [("ours", "mixed_bfloat16")] if has_bfloat16 else []
        found: dict[Any, list[Any]] = {part: [] for part in parts}
        for _ in range(TURNS):
            for part in parts:
                found[part].append(in_child(__file__, *part, weights))
    images = {part: statistics.median(one["images"] for one in runs) for part, runs in found.items()}
    plain = images["pytorch", "contiguous"]
    difference = found["pytorch", "contiguous"][0]["difference"]
    print(f"{THREADS} threads; scores of both networks differ by {difference:.1e} at most\n")
    rows: list[tuple[Any, ...]] = []
    for part in (("ours", "float32"), ("ours", "mixed_bfloat16")):
        if part not in found:
            rows.append((f"ours, {part[1]}", "no AVX512-BF16 here", "", ""))
            continue
        share = statistics.median(one["rate"] / one["product"] for one in found[part])
        rows.append((f"ours, {part[1]}", images[part], images[part] / plain, share))
    rows += [
        (f"PyTorch, float32, {part[1]}", images[part], images[part] / plain, "")
        for part in parts
        if part[0] == "pytorch"
    ]
    print_table(["step", "images/s", "of plain PyTorch", "of a float32 matrix product's rate"], rows)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(json.dumps({"ours": ours, "pytorch": pytorch}[sys.argv[1]](*sys.argv[2:])))
    else:
        main()
