"""Training of networks and of meta-learners: one loop, resumable after every epoch, the same result from the same seed."""
