"""Fits a composer to the sentences of the text tower."""

import math
from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F

from .network import LEARNED, State, compose, find, start

BATCH = 256
RIDGE = 1.0
RATE, ROW_RATE = 1e-3, 1e-2  # a phrase's own row changes only if a sentence contains the phrase
LOOKUP = ("find.weight", "find.bias", "keys.weight")  # not trained: they identify the phrase


def fit_ridge(x: np.ndarray, y: np.ndarray, strength: float = RIDGE) -> tuple[np.ndarray, np.ndarray]:
    """Fits y [n, D] to x [n, k D] by least squares with a penalty. Returns a matrix [k D, D] and a bias [D]."""
    x_mean, y_mean = x.mean(0), y.mean(0)
    a, b = torch.from_numpy(x - x_mean), torch.from_numpy(y - y_mean)
    gram = (a.T @ a).double() + strength * torch.eye(a.shape[1], dtype=torch.float64)
    w = torch.linalg.solve(gram, (a.T @ b).double()).float().numpy()
    return w, (y_mean - x_mean @ w).astype(np.float32)


def score_metric(phrases: np.ndarray) -> np.ndarray:
    """Returns M [D, D] with |x M|^2 = variance of x . p over phrases p [N, D]: the part of x that changes scores."""
    centred = (phrases - phrases.mean(0)).astype(np.float64)
    covariance = centred.T @ centred / len(phrases)
    floor = 1e-3 * np.trace(covariance) / len(covariance)
    return np.linalg.cholesky(covariance + floor * np.eye(len(covariance))).astype(np.float32)


def loss(out: torch.Tensor, expected: torch.Tensor, metric: torch.Tensor) -> torch.Tensor:
    """Adds 1 - cosine and 1 - correlation of the scores that texts like the lexicon's would get."""
    whole = 1 - F.cosine_similarity(out, expected)
    scores = 1 - F.cosine_similarity(out @ metric, expected @ metric)
    size = (out.norm(dim=-1) - 1).square()
    return (whole + 2 * scores + 0.1 * size).mean()


def rate_factor(step: int, steps: int) -> float:
    """Returns the factor of the learning rate: up over the first tenth, then down along a cosine."""
    return min((step + 1) / (0.1 * steps), 0.5 + 0.5 * math.cos(math.pi * step / steps))


def train(
    phrases: np.ndarray,
    tuples: np.ndarray,
    target: np.ndarray,
    *,
    epochs: int,
    seed: int = 0,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> State:
    """Trains on tuples [n, k] of phrase indices: phrases [N, D] and target sentences [n, D] are unit rows."""
    torch.manual_seed(seed)
    table, y, which = (torch.from_numpy(np.ascontiguousarray(a)) for a in (phrases, target, tuples))
    metric = torch.from_numpy(score_metric(phrases))
    state = start(*fit_ridge(phrases[tuples].reshape(len(tuples), -1), target), phrases, seed)
    numbers = find(state, table) if LEARNED in state else torch.zeros(len(table), dtype=torch.int64)
    params = [p.requires_grad_(True) for name, p in state.items() if name not in (LEARNED, *LOOKUP)]
    groups = [{"params": params, "lr": RATE, "weight_decay": 0.02}]
    if LEARNED in state:
        groups.append({"params": [state[LEARNED].requires_grad_(True)], "lr": ROW_RATE, "weight_decay": 0.0})
    adam = torch.optim.AdamW(groups, betas=(0.9, 0.98), fused=True)
    steps = epochs * -(-len(y) // BATCH)
    schedule = torch.optim.lr_scheduler.LambdaLR(adam, lambda step: rate_factor(step, steps))
    done = 0
    for _ in range(epochs):
        for part in torch.randperm(len(y)).split(BATCH):
            batch = which[part]
            value = loss(compose(state, table[batch], numbers[batch]), y[part], metric)
            adam.zero_grad()
            value.backward()
            torch.nn.utils.clip_grad_norm_(params, 1.0)
            adam.step()
            schedule.step()
            done += 1
            progress(done, steps)
    trained = {k: v.detach().clone() for k, v in state.items()}
    if LEARNED in trained:  # after rounding, the look-up may return either of two equal phrases
        trained[LEARNED] = trained[LEARNED][numbers]
    return trained
