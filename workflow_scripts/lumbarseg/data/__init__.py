"""Patches: tiling, storage, dataset and augmentation; tables."""
