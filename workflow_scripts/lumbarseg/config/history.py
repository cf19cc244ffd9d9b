"""Columns of a training's history that the config names.

This module is read each time Snakemake parses the workflow, so it imports nothing heavy.
"""

MONITOR_COLUMNS = {"accuracy": "val_accuracy", "mean_iou": "val_patch_iou"}
"""The column whose greatest value marks the best epoch, by the config's `training.monitor` (Section 5.3)."""
