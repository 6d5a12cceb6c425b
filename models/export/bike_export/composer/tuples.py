"""Samples tuples of phrases for training and evaluation: random, neighbouring, and as retrieval gives for a frame."""

import numpy as np

from ..tables import unit_rows

KINDS = ("random", "neighbouring", "image-like")
CHUNK = 512


def sample(
    kind: str, count: int, k: int, retrieval: np.ndarray, frames: np.ndarray | None, rng: np.random.Generator
) -> np.ndarray:
    """Samples tuples [count, k] of phrase indices; retrieval [N, Da] has unit rows, frames [m, Da] are real or None.

    Without real frames, frames are simulated: one to six phrases in random shares, minus the mean of all phrases, plus
    noise.
    """
    n = len(retrieval)
    if kind == "random":
        return (
            np.argpartition(rng.random((count, n)), k - 1, axis=1)[:, :k]
            if n < 4096
            else np.stack([rng.choice(n, k, replace=False) for _ in range(count)])
        )
    centred = unit_rows(retrieval - retrieval.mean(0) + 1e-9)
    out = []
    for at in range(0, count, CHUNK):
        size = min(CHUNK, count - at)
        if kind == "neighbouring":
            queries = centred[rng.choice(n, size)]
            noise = 0.05
        elif frames is not None and len(frames) >= 8 and at % (2 * CHUNK) == 0:
            pair = rng.choice(len(frames), (size, 2))
            share = rng.uniform(0, 1, (size, 1))
            queries = unit_rows(share * frames[pair[:, 0]] + (1 - share) * frames[pair[:, 1]])
            out.append(top(queries @ retrieval.T + rng.normal(0, 0.005, (size, n)), k))
            continue
        else:
            queries = np.stack(
                [
                    rng.dirichlet(np.ones(c)) @ centred[rng.choice(n, c, replace=False)]
                    for c in rng.integers(1, min(7, n + 1), size)
                ]
            )
            noise = 0.02
        out.append(top(queries @ centred.T + rng.normal(0, noise, (size, n)), k))
    return np.concatenate(out)


def top(scores: np.ndarray, k: int) -> np.ndarray:
    """Returns the indices [n, k] of the k highest scores of each row, highest first."""
    best = np.argpartition(-scores, k - 1, axis=1)[:, :k]
    return np.take_along_axis(best, np.argsort(-np.take_along_axis(scores, best, 1), axis=1), 1)


def sample_all(
    count: int, k: int, retrieval: np.ndarray, frames: np.ndarray | None, rng: np.random.Generator
) -> np.ndarray:
    """Samples `count` tuples of each kind, [3 * count, k]."""
    return np.concatenate([sample(kind, count, k, retrieval, frames, rng) for kind in KINDS])
