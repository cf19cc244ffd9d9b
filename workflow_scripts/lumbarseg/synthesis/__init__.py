"""Training images made of phantoms: slices of tissues, contrasts and appearances drawn at random (no patient data)."""
