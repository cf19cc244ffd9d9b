"""Bundles, and the segmentation of new patients with them."""
