"""Training of networks and of stacking heads: one loop, resumable after every epoch, the same result from the same seed."""
