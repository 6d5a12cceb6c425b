"""Compares composed sentences with those of the text tower, on tuples that training did not use."""

import numpy as np

from ..tables import unit_rows


def _ranks(x: np.ndarray) -> np.ndarray:
    return np.argsort(np.argsort(x, axis=-1), axis=-1).astype(np.float64)


def _correlation(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    a, b = a - a.mean(-1, keepdims=True), b - b.mean(-1, keepdims=True)
    return (a * b).sum(-1) / np.maximum(np.linalg.norm(a, axis=-1) * np.linalg.norm(b, axis=-1), 1e-12)


def evaluate(
    composed: np.ndarray,
    expected: np.ndarray,
    mean: np.ndarray,
    scores: np.ndarray,
    expected_scores: np.ndarray,
    prefix: str,
) -> dict[str, float]:
    """Returns the figures of sentences `composed` against `expected` [n, D], and of their attribute scores [n, K].

    `mean` [D] is the mean sentence. One category cannot be ranked: then only the cosines are returned.
    """
    a, b = unit_rows(composed), unit_rows(expected)
    figures = {"cosine": (a * b).sum(1).mean(), "centred_cosine": _correlation_rows(a - mean, b - mean)}
    if scores.shape[1] > 1:
        figures["top1_agreement"] = (scores.argmax(1) == expected_scores.argmax(1)).mean()
        figures["spearman"] = _correlation(_ranks(scores), _ranks(expected_scores)).mean()
    return {f"{prefix}_{k}": round(float(v), 4) for k, v in figures.items()}


def _correlation_rows(a: np.ndarray, b: np.ndarray) -> float:
    return float(((a * b).sum(1) / np.maximum(np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1), 1e-12)).mean())
