"""Tuples of five phrases to train and judge the composer with: random, neighbouring and as frames would give."""

import numpy as np

from ..tables import unit_rows

KINDS = ("random", "neighbouring", "image-like")


def draw(kind: str, count: int, phrases: np.ndarray, points: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """`count` tuples of phrase numbers [count, 5]; phrases [N, D] unit rows, points [1000, D] of the bridge."""
    if kind == "random":
        return np.stack([rng.choice(len(phrases), 5, replace=False) for _ in range(count)])
    if kind == "neighbouring":
        seeds = rng.choice(len(phrases), count)
        near = phrases[seeds] @ phrases.T
        near += rng.normal(0, 0.05, near.shape)
        return np.argsort(-near, axis=1)[:, :5]
    if kind == "image-like":
        # Frames spread their probability over one to six classes; then retrieval as the device does it.
        frames = np.zeros((count, points.shape[1]))
        for row in range(count):
            classes = rng.choice(len(points), rng.integers(1, 7), replace=False)
            frames[row] = rng.dirichlet(np.ones(len(classes))) @ points[classes]
        return np.argsort(-(unit_rows(frames) @ phrases.T), axis=1)[:, :5]
    raise ValueError(f"tuples of kind {kind!r}: one of {', '.join(KINDS)}")


def draw_all(count: int, phrases: np.ndarray, points: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """`count` tuples of each kind, [3 * count, 5]."""
    return np.concatenate([draw(kind, count, phrases, points, rng) for kind in KINDS])
