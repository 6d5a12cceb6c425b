"""Samples tuples of five phrases to train and evaluate the composer: random, neighbouring, and as frames give them."""

import numpy as np

from ..tables import unit_rows

KINDS = ("random", "neighbouring", "image-like")


def sample(kind: str, count: int, phrases: np.ndarray, points: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Samples `count` tuples of phrase indices [count, 5]; phrases [N, D] unit rows, points [1000, D] of the bridge."""
    if kind == "random":
        return np.stack([rng.choice(len(phrases), 5, replace=False) for _ in range(count)])
    if kind == "neighbouring":
        seeds = rng.choice(len(phrases), count)
        near = phrases[seeds] @ phrases.T
        near += rng.normal(0, 0.05, near.shape)
        return np.argsort(-near, axis=1)[:, :5]
    if kind == "image-like":
        # A frame spreads its probability over one to six classes. Retrieval is that of the device.
        frames = np.zeros((count, points.shape[1]))
        for row in range(count):
            classes = rng.choice(len(points), rng.integers(1, 7), replace=False)
            frames[row] = rng.dirichlet(np.ones(len(classes))) @ points[classes]
        return np.argsort(-(unit_rows(frames) @ phrases.T), axis=1)[:, :5]
    raise ValueError(f"kind {kind!r} is not one of {', '.join(KINDS)}")


def sample_all(count: int, phrases: np.ndarray, points: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Samples `count` tuples of each kind, [3 * count, 5]."""
    return np.concatenate([sample(kind, count, phrases, points, rng) for kind in KINDS])
