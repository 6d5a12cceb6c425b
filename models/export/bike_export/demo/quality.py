"""How well the composer stands in for the text tower, on tuples it has not seen."""

import numpy as np

from ..tables import unit_rows


def ranks(x: np.ndarray) -> np.ndarray:
    """Ranks along the last axis."""
    return np.argsort(np.argsort(x, axis=-1), axis=-1).astype(np.float64)


def correlation(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Pearson's correlation of matching rows [n, m] -> [n]; of ranks it is Spearman's."""
    return (unit_rows(a - a.mean(-1, keepdims=True)) * unit_rows(b - b.mean(-1, keepdims=True))).sum(-1)


def compare(stand_in: np.ndarray, truth: np.ndarray, mean: np.ndarray, categories: np.ndarray, prefix: str) -> dict[str, float]:
    """stand_in and truth [n, D] are centred sentence vectors; mean [D] is what was taken off; categories [K, D].

    `cosine` compares vectors with the mean put back, as the tower gives them, `centred_cosine` what scores are
    made of; `top1` and `spearman` compare the scores of the categories.
    """
    a, b = unit_rows(stand_in), unit_rows(truth)
    size = np.linalg.norm(truth, axis=1, keepdims=True)
    raw_a, raw_b = unit_rows(a * size + mean), unit_rows(truth + mean)
    scores_a, scores_b = a @ categories.T, b @ categories.T
    figures = {
        "cosine": (raw_a * raw_b).sum(1).mean(),
        "centred_cosine": (a * b).sum(1).mean(),
        "top1_agreement": (scores_a.argmax(1) == scores_b.argmax(1)).mean(),
        "spearman": correlation(ranks(scores_a), ranks(scores_b)).mean(),
    }
    return {f"{prefix}_{k}": round(float(v), 4) for k, v in figures.items()}
