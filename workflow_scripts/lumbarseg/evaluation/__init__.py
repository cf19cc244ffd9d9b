"""Evaluation of labels against the truth: labelling, metrics, statistics, ranking, and the choice of models and cases."""
