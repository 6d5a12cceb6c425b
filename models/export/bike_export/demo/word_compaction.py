"""Compacts word tables by merging similar rows.

Concept spotting computes a softmax over the frames for each word row, and then the weighted mean over rows. A row with
weight n that replaces n similar rows therefore gives nearly the same saliency. The cosine between each original row and
its replacement measures how near.
"""

from dataclasses import dataclass

import numpy as np

from ..tables import unit_rows

# Merged rows [w, D], their weights [w], and the index of the merged row that replaces each original row [W].
Merged = tuple[np.ndarray, np.ndarray, np.ndarray]


@dataclass
class WordTable:
    """Compacted words of K phrases. The weights of each phrase have the same sum."""

    word: np.ndarray  # [K, Wc, D], unit rows; unused rows repeat the first one
    word_weight: np.ndarray  # [K, Wc]; 0 marks an unused row
    cosine_min: float  # smallest cosine between an original row and its replacement
    cosine_mean: float  # its weighted mean


def merge_rows(rows: np.ndarray, weight: np.ndarray, cosine: float, max_rows: int) -> Merged:
    """Merges the two closest of rows [W, D] while their cosine is at least `cosine`, or more than max_rows are left.

    A merged row is the normalised weighted mean of the rows that it replaces.
    """
    total = (rows * weight[:, None]).astype(np.float64)
    weight = weight.astype(np.float64).copy()
    member = np.arange(len(rows))
    alive = np.ones(len(rows), bool)
    unit = unit_rows(rows).astype(np.float64)
    near = unit @ unit.T
    np.fill_diagonal(near, -np.inf)
    for left in range(len(rows), 1, -1):
        i, j = sorted(divmod(int(near.argmax()), len(rows)))
        if near[i, j] < cosine and left <= max_rows:
            break
        total[i] += total[j]
        weight[i] += weight[j]
        member[member == j] = i
        alive[j] = False
        unit[i] = total[i] / max(np.linalg.norm(total[i]), 1e-12)
        near[j, :] = near[:, j] = -np.inf
        row = unit @ unit[i]
        row[~alive] = row[i] = -np.inf
        near[i, :] = near[:, i] = row
    place = np.cumsum(alive) - 1
    return unit[alive], weight[alive], place[member]


def compact_words(words: list[np.ndarray], weights: list[np.ndarray], *, cosine: float, max_rows: int) -> WordTable:
    """Compacts K arrays [W_k, D], whose weights [W_k] have equal sums.

    Rows with at least this `cosine` are always merged. While there are more than `max_rows`, the closest are merged.
    """
    sums = np.array([w.sum() for w in weights])
    if np.abs(sums - sums[0]).max() > 1e-4 * max(sums[0], 1e-12):
        raise ValueError("word weights must have the same sum for every phrase")
    rows = [unit_rows(w) for w in words]
    merged = [merge_rows(r, w, cosine, max_rows) for r, w in zip(rows, weights, strict=True)]
    count = max(len(m[0]) for m in merged)
    word = np.zeros((len(rows), count, rows[0].shape[1]), np.float32)
    word_weight = np.zeros((len(rows), count), np.float32)
    cosines = []
    for k, (unit, weight, member) in enumerate(merged):
        word[k] = unit[0]
        word[k, : len(unit)] = unit
        word_weight[k, : len(unit)] = weight
        cosines.append((rows[k] * unit[member]).sum(-1))
    near, of_weight = np.concatenate(cosines), np.concatenate(weights)
    return WordTable(unit_rows(word), word_weight, float(near.min()), float((near * of_weight).sum() / of_weight.sum()))
