"""Draw the network of docs/networks.md: `python docs/network_figure.py`."""

from pathlib import Path

import yaml

from lumbarseg.models.build import build_network
from lumbarseg.models.graph import block_graph
from lumbarseg.reporting.figures.networks import network_diagram

ROOT = Path(__file__).parents[1]
NAME = "UAMD"

topologies = yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8"))["topologies"]
network = build_network(topologies[NAME], side=256, channels=2, classes=12, base_filters=64, seed=1, name=NAME)
network_diagram(block_graph(network)).savefig(
    ROOT / f"docs/images/network_{NAME}.png", dpi=150, metadata={"Software": None}
)
