"""A phantom cohort: patients with known masks and known motion, from a parametric anatomy of the lumbar spine."""

from lumbarseg.phantom.cohort import participant_ids, write_cohort

__all__ = ["participant_ids", "write_cohort"]
