"""Compares composed sentences with those of the text tower, on tuples that training did not use."""

import numpy as np

from ..tables import unit_rows


def ranks(x: np.ndarray) -> np.ndarray:
    """Returns ranks along the last axis."""
    return np.argsort(np.argsort(x, axis=-1), axis=-1).astype(np.float64)


def correlation(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Returns Pearson's correlation of matching rows [n, m] -> [n]; of ranks it is Spearman's."""
    return (unit_rows(a - a.mean(-1, keepdims=True)) * unit_rows(b - b.mean(-1, keepdims=True))).sum(-1)


def compare(
    composed: np.ndarray, expected: np.ndarray, mean: np.ndarray, categories: np.ndarray, prefix: str
) -> dict[str, float]:
    """Compares centred sentence vectors [n, D]; mean [D] is what was subtracted; categories [K, D].

    `cosine` compares vectors with the mean added again, as the tower computes them, and `centred_cosine` the centred
    ones, from which scores are computed. `top1_agreement` and `spearman` compare the scores of the categories.
    """
    a, b = unit_rows(composed), unit_rows(expected)
    size = np.linalg.norm(expected, axis=1, keepdims=True)
    raw_a, raw_b = unit_rows(a * size + mean), unit_rows(expected + mean)
    scores_a, scores_b = a @ categories.T, b @ categories.T
    figures = {
        "cosine": (raw_a * raw_b).sum(1).mean(),
        "centred_cosine": (a * b).sum(1).mean(),
        "top1_agreement": (scores_a.argmax(1) == scores_b.argmax(1)).mean(),
        "spearman": correlation(ranks(scores_a), ranks(scores_b)).mean(),
    }
    return {f"{prefix}_{k}": round(float(v), 4) for k, v in figures.items()}
