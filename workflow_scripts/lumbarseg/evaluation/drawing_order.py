"""Whom to draw next: sessions without a mask, in the order in which masks of them help most.

A session is worth drawing if its draft is uncertain, and if it is unlike those that are drawn already. Novelty is the distance to the
nearest of these, as in the greedy k-centre choice of Sener and Savarese (ICLR 2018, "Active learning for convolutional neural
networks: a core-set approach"); each session that is chosen counts as drawn for the next choice. Joining it with uncertainty follows
the idea of Yang et al. (MICCAI 2017, "Suggestive annotation: a deep active learning framework for biomedical image segmentation").
Neither method is reproduced: sessions are compared by values of their images (`domain_check.session_profile`), not by features of a
network, and the two terms are added with a weight. Volumes of classes are not compared, because those of drafts have the errors of
the networks, which would set all drafts apart from all masks.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True)
class Choice:
    """A session in the order.

    Attributes:
        place: its place among the candidates.
        score: 0 … 1, what it was chosen for.
        novelty: 0 … 1, distance to the nearest session drawn or chosen before, relative to the largest distance of any two
            sessions; NaN for the first choice of all, which has nothing to be compared with.
    """

    place: int
    score: float
    novelty: float


def standardised(profiles: Sequence[Mapping[str, float]]) -> NDArray[np.float64]:
    """Make values of sessions comparable: zero mean and unit variance of each over all sessions.

    Args:
        profiles: values of each session by name.

    Returns:
        (sessions, values) float64. Values that do not vary are left out; a value that a session lacks is 0, the mean.
    """
    names = list(dict.fromkeys(name for profile in profiles for name in profile))
    values = np.array([[profile.get(name, np.nan) for name in names] for profile in profiles], np.float64)
    values = values.reshape(len(profiles), len(names))
    values = values[:, [np.ptp(column[np.isfinite(column)]) > 0 for column in values.T]]
    scaled = (values - np.nanmean(values, axis=0)) / np.nanstd(values, axis=0) if values.size else values
    return np.nan_to_num(scaled, nan=0.0)


def drawing_order(
    uncertainty: ArrayLike, candidates: NDArray[np.floating], drawn: NDArray[np.floating], novelty: float
) -> list[Choice]:
    """Order sessions: one after the other the one with the greatest score.

    The score is (1 − `novelty`) · uncertainty + `novelty` · novelty; uncertainty is scaled to 0 … 1 over the candidates. Of equal
    scores the first candidate is chosen. While there is nothing to compare with, uncertainty alone decides.

    Args:
        uncertainty: of each candidate, any unit; NaN where the draft is empty, which counts as the greatest.
        candidates: (candidates, values), from `standardised`.
        drawn: (drawn sessions, values), the same values.
        novelty: its weight, 0 … 1.

    Returns:
        All candidates in their order.
    """
    sure = _scaled(np.asarray(uncertainty, np.float64))
    everyone = np.concatenate([candidates, drawn])
    distances = np.linalg.norm(candidates[:, np.newaxis] - everyone[np.newaxis], axis=-1)
    largest = np.linalg.norm(everyone[:, np.newaxis] - everyone[np.newaxis], axis=-1).max(initial=0)
    relative = distances / largest if largest > 0 else distances
    nearest = relative[:, len(candidates) :].min(axis=1, initial=np.inf)
    left = list(range(len(candidates)))
    choices: list[Choice] = []
    while left:
        compared = bool(choices) or len(drawn) > 0
        scores = [(1 - novelty) * sure[c] + novelty * nearest[c] if compared else sure[c] for c in left]
        best = int(np.argmax(scores))
        place = left.pop(best)
        choices.append(Choice(place, float(scores[best]), float(nearest[place]) if compared else float("nan")))
        nearest = np.minimum(nearest, relative[:, place])
    return choices


def _scaled(uncertainty: NDArray[np.float64]) -> NDArray[np.float64]:
    """Scale to 0 … 1; NaN becomes 1, and so does everything if all are equal."""
    known = uncertainty[np.isfinite(uncertainty)]
    if known.size == 0 or np.ptp(known) == 0:
        return np.ones(uncertainty.shape)
    return np.nan_to_num((uncertainty - known.min()) / np.ptp(known), nan=1.0)
