"""A phantom cohort: patients with known masks and known motion, from a parametric anatomy of the lumbar spine."""
