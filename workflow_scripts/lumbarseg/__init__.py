"""Semantic segmentation of the lumbar spine in sagittal T1w and T2w MR: the library behind the workflow."""

__version__ = "0.1.0"

__version__ = "0.1.0"
