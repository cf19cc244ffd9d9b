"""Bundles of trained networks, and the segmentation of new patients with them."""
