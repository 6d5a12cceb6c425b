"""Compaction of word tables: rows that all categories share are stored once, near-equal rows are merged.

Concept spotting takes, for each word row, a softmax over the frames, and then the weighted mean over rows. A row
that stands for n near-equal rows with weight n therefore gives nearly the same saliency; how near is stated as the
cosine between each original row and the row that stands for it.
"""

from dataclasses import dataclass

import numpy as np

from .tables import unit_rows

# Merged rows [w, D], their weights [w], and which of them stands for each original row [W].
Merged = tuple[np.ndarray, np.ndarray, np.ndarray]


@dataclass
class WordTable:
    """Compacted words of K categories. Weights of own rows plus shared rows sum to the same total for each one."""

    word: np.ndarray  # [K, Wc, D], unit rows; unused rows repeat the first one
    word_weight: np.ndarray  # [K, Wc]; 0 marks an unused row
    shared_word: np.ndarray  # [P, D]
    shared_weight: np.ndarray  # [P]
    cosine_min: float  # worst cosine between an original row and its stand-in
    cosine_mean: float  # its weighted mean


def shared_positions(words: np.ndarray, tolerance: float) -> np.ndarray:
    """Positions [W] (bool) whose row differs by at most `tolerance` in any component over words [K, W, D].

    The text transformer of CLIP is causal: the start token and the prompt's words come before the name, so their
    rows are the same in every category. With one category nothing can be told, and nothing is shared.
    """
    if len(words) < 2:
        return np.zeros(words.shape[1], bool)
    return (np.abs(words - words[:1]).max(axis=(0, 2)) <= tolerance)


def merge_rows(rows: np.ndarray, weight: np.ndarray, cosine: float, max_rows: int) -> Merged:
    """Merges rows [W, D] while the closest two have at least this cosine, or more than max_rows are left."""
    return merge_levels(rows, weight, (cosine,), max_rows)[0]


def merge_levels(rows: np.ndarray, weight: np.ndarray, cosines: tuple[float, ...], max_rows: int) -> list[Merged]:
    """`merge_rows` at each of these cosines, highest first: what is merged at one is where the next goes on from.

    A merged row is the normalised weighted mean of what it stands for.
    """
    total = (rows * weight[:, None]).astype(np.float64)
    weight = weight.astype(np.float64).copy()
    member = np.arange(len(rows))
    alive = np.ones(len(rows), bool)
    unit = unit_rows(rows).astype(np.float64)
    near = unit @ unit.T
    np.fill_diagonal(near, -np.inf)
    out: list[Merged] = []
    left = len(rows)
    while True:
        i, j = divmod(int(near.argmax()), len(rows))
        while left == 1 or (near[i, j] < cosines[len(out)] and left <= max_rows):
            place = np.cumsum(alive) - 1
            out.append((unit[alive], weight[alive], place[member]))
            if len(out) == len(cosines):
                return out
        i, j = min(i, j), max(i, j)
        total[i] += total[j]
        weight[i] += weight[j]
        member[member == j] = i
        alive[j] = False
        left -= 1
        unit[i] = total[i] / max(np.linalg.norm(total[i]), 1e-12)
        near[j, :] = near[:, j] = -np.inf
        row = unit @ unit[i]
        row[~alive] = row[i] = -np.inf
        near[i, :] = near[:, i] = row


def compact_words(words: list[np.ndarray] | np.ndarray, *, weights: list[np.ndarray] | None = None,
                  cosine: float = 0.999, max_rows: int = 77, share: bool = True,
                  share_tolerance: float = 1e-4) -> WordTable:
    """Compacts words: [K, W, D], or a list of K arrays [W_k, D] where phrases have different counts of words.

    `weights` holds one array [W_k] a category (default: 1 each); they must have equal sums. `cosine` is the least
    likeness at which rows are merged whatever their number; beyond `max_rows` the closest are merged regardless.
    """
    weights = [np.ones(len(w)) for w in words] if weights is None else [np.asarray(w, np.float64) for w in weights]
    sums = np.array([w.sum() for w in weights])
    if np.abs(sums - sums[0]).max() > 1e-4 * max(sums[0], 1e-12):
        raise ValueError("word weights must have the same sum for every category")
    rows = [unit_rows(w) for w in words]
    depth = rows[0].shape[1]
    shared, shared_weight = np.zeros((0, depth), np.float32), np.zeros(0, np.float32)
    if share and isinstance(words, np.ndarray):
        same = shared_positions(np.stack(rows), share_tolerance)
        if same.any() and not same.all():
            shared, shared_weight = rows[0][same], weights[0][same].astype(np.float32)
            rows = [r[~same] for r in rows]
            weights = [w[~same] for w in weights]
    merged = [merge_rows(r, w, cosine, max_rows) for r, w in zip(rows, weights)]
    count = max(len(m[0]) for m in merged)
    word = np.zeros((len(rows), count, depth), np.float32)
    word_weight = np.zeros((len(rows), count), np.float32)
    cosines, of_weight = [], []
    for k, (unit, weight, member) in enumerate(merged):
        word[k] = unit[0]
        word[k, : len(unit)] = unit
        word_weight[k, : len(unit)] = weight
        cosines.append((rows[k] * unit[member]).sum(-1))
        of_weight.append(weights[k])
    cosines, of_weight = np.concatenate(cosines), np.concatenate(of_weight)
    return WordTable(unit_rows(word), word_weight, shared, shared_weight,
                     float(cosines.min()), float((cosines * of_weight).sum() / of_weight.sum()))
