"""Estimate the GPU hours of the full study: `snakemake networks`, then `python benchmarks/gpu_hours.py results/lumbar`.

Operations are counted, not measured: two floating-point operations per multiply-accumulate (metrics/networks.csv); a training
step costs three forward passes. The rate is the nominal rate of a V100 SXM2 times an assumed share of it (`--share`).
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd
import yaml

HOME = Path(__file__).parents[1]
DEVELOPMENT, TEST = 18147, 4113
"""Number of patches in the paper's Table 3."""

RATES = {"float32": 15.7e12, "mixed_float16": 125e12}
"""Nominal floating-point operations per second of a V100 SXM2."""

PIXELS, CLASSES = 256**2, 12


def meta_learner(combiner: str, members: int, base_filters: int, channels: int) -> int:
    """Count the multiply-accumulates of a meta-learner on one patch."""
    inputs = (base_filters if combiner[0] == "T" else CLASSES) * (members if combiner[1] == "C" else 1)
    return PIXELS * (inputs * channels + channels * CLASSES)


def operations(config: Mapping, networks: Mapping[str, int], together: bool) -> dict[str, float]:
    """Count the floating-point operations of the study by stage.

    Args:
        config: the study.
        networks: multiply-accumulates of each topology's forward pass on one patch.
        together: each network runs once per batch for all ensembles, combiners and meta-learners; otherwise once for each.
    """
    folds, training, stacking = config["split"]["folds"], config["training"], config["stacking"]
    learn, check = DEVELOPMENT * (folds - 1) / folds, DEVELOPMENT / folds
    ensembles = [config["ensembles"][name] for name in config["combine"]["ensembles"]]
    combiners = config["combine"]["combiners"]
    meta_learners = [name for name in combiners if name not in ("Arith", "Geo")]
    once = sum(networks[name] for name in config["train"])

    def forward(times: Sequence[str], alone: int) -> int:
        """Count the networks' forward passes of one patch: once, or for each combiner of each ensemble (and network)."""
        each = sum(networks[name] for members in ensembles for name in members) * len(times) + alone
        return once if together else each

    trained = sum(
        meta_learner(name, len(members), training["base_filters"], stacking["channels"])
        for members in ensembles
        for name in meta_learners
    )
    passes = forward(combiners, once) + trained
    return {
        "train": 2 * folds * training["epochs"] * once * (3 * learn + check),
        "stack": 2
        * folds
        * stacking["epochs"]
        * ((learn + check) * forward(meta_learners, 0) + (3 * learn + check) * trained),
        # One pass serves both labellings; separately, TH and MAP need one each.
        "threshold": 2 * folds * check * passes,
        "reconstruct": 2 * folds * TEST * passes * (1 if together else len(config["labellings"])),
    }


def main() -> None:
    """Print hours by stage: each ensemble separately in float32, and as the workflow does it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("results", type=Path)
    parser.add_argument(
        "--share",
        type=float,
        nargs=2,
        default=[0.5, 0.25],
        help="assumed shares of the nominal rates in float32 and mixed_float16",
    )
    arguments = parser.parse_args()
    config = yaml.safe_load((HOME / "config.yaml").read_text())
    table = arguments.results / "metrics/networks.csv"
    if not table.is_file():
        sys.exit(f"{table}: file not found; run `snakemake networks` first")
    networks = pd.read_csv(table).set_index("topology")["multiply_accumulates"].to_dict()
    rates = {name: rate * share for (name, rate), share in zip(RATES.items(), arguments.share, strict=True)}
    separate, shared = (operations(config, networks, together) for together in (False, True))
    print(
        "| stage | separately, 10^15 operations | one pass | separately, float32, h | one pass, float32, h | one pass, mixed_float16, h |"
    )
    print("|---|---|---|---|---|---|")
    for stage in [*separate, "all"]:
        both = [sum(counted.values()) if stage == "all" else counted[stage] for counted in (separate, shared)]
        hours = [both[0] / rates["float32"], both[1] / rates["float32"], both[1] / rates["mixed_float16"]]
        print(
            f"| {stage} | {both[0] / 1e15:,.0f} | {both[1] / 1e15:,.0f} | "
            + " | ".join(f"{h / 3600:,.0f}" for h in hours)
            + " |"
        )
    print("\n| one training | float32, h | mixed_float16, h |\n|---|---|---|")
    for name in (max(networks, key=networks.get), min(networks, key=networks.get)):
        alone = operations({**config, "train": [name]}, networks, True)["train"] / config["split"]["folds"]
        print(f"| {name} | " + " | ".join(f"{alone / rate / 3600:.1f}" for rate in rates.values()) + " |")


if __name__ == "__main__":
    main()
