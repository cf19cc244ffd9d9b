"""The ensemble's pass over sessions: slices put together from patches, thresholds tuned, slices labelled and counted."""
