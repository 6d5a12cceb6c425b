"""How well a stand-in for the text tower does, on tuples it was not trained on."""

import numpy as np

from ..tables import unit_rows


def _ranks(x: np.ndarray) -> np.ndarray:
    return np.argsort(np.argsort(x, axis=-1), axis=-1).astype(np.float64)


def _correlation(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    a, b = a - a.mean(-1, keepdims=True), b - b.mean(-1, keepdims=True)
    return (a * b).sum(-1) / np.maximum(np.linalg.norm(a, axis=-1) * np.linalg.norm(b, axis=-1), 1e-12)


def judge(
    found: np.ndarray, truth: np.ndarray, mean: np.ndarray, scores: np.ndarray, true_scores: np.ndarray, prefix: str
) -> dict[str, float]:
    """found and truth [n, D] sentences, mean [D] the mean sentence; scores and true_scores [n, K] are S_A of each.

    With one category there is nothing to rank: only the cosines are given then.
    """
    a, b = unit_rows(found), unit_rows(truth)
    figures = {"cosine": (a * b).sum(1).mean(), "centred_cosine": _correlation_rows(a - mean, b - mean)}
    if scores.shape[1] > 1:
        figures["top1_agreement"] = (scores.argmax(1) == true_scores.argmax(1)).mean()
        figures["spearman"] = _correlation(_ranks(scores), _ranks(true_scores)).mean()
    return {f"{prefix}_{k}": round(float(v), 4) for k, v in figures.items()}


def _correlation_rows(a: np.ndarray, b: np.ndarray) -> float:
    return float(((a * b).sum(1) / np.maximum(np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1), 1e-12)).mean())
