"""Prediction of whole slices from patches: tuning of thresholds, labelling and counting of sessions, uncertainty."""
