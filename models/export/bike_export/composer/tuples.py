"""Tuples of phrases to train and judge with: random, neighbouring, and as retrieval for a frame would give them."""

import numpy as np

from ..tables import unit_rows

KINDS = ("random", "neighbouring", "image-like")
CHUNK = 512


def draw(
    kind: str, count: int, k: int, retrieval: np.ndarray, frames: np.ndarray | None, rng: np.random.Generator
) -> np.ndarray:
    """`count` tuples [count, k] of numbers of phrases; retrieval [N, Da] unit rows; frames [m, Da], real ones or none.

    A frame that is not real is made up: one to six phrases in random shares, less what all phrases have in common,
    and noise.
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
        some = min(CHUNK, count - at)
        if kind == "neighbouring":
            seen = centred[rng.choice(n, some)]
            noise = 0.05
        elif frames is not None and len(frames) >= 8 and at % (2 * CHUNK) == 0:
            pair = rng.choice(len(frames), (some, 2))
            share = rng.uniform(0, 1, (some, 1))
            seen = unit_rows(share * frames[pair[:, 0]] + (1 - share) * frames[pair[:, 1]])
            out.append(top(seen @ retrieval.T + rng.normal(0, 0.005, (some, n)), k))
            continue
        else:
            seen = np.stack(
                [
                    rng.dirichlet(np.ones(c)) @ centred[rng.choice(n, c, replace=False)]
                    for c in rng.integers(1, min(7, n + 1), some)
                ]
            )
            noise = 0.02
        out.append(top(seen @ centred.T + rng.normal(0, noise, (some, n)), k))
    return np.concatenate(out)


def top(scores: np.ndarray, k: int) -> np.ndarray:
    """Numbers [n, k] of the k highest scores of each row, highest first."""
    best = np.argpartition(-scores, k - 1, axis=1)[:, :k]
    return np.take_along_axis(best, np.argsort(-np.take_along_axis(scores, best, 1), axis=1), 1)


def draw_all(
    count: int, k: int, retrieval: np.ndarray, frames: np.ndarray | None, rng: np.random.Generator
) -> np.ndarray:
    """`count` tuples of each kind, [3 * count, k]."""
    return np.concatenate([draw(kind, count, k, retrieval, frames, rng) for kind in KINDS])
