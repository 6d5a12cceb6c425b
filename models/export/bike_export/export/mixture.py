"""Fewer rows that a text's words are mixed from, within a bound on what that changes in S_V.

The start mark and the prompt come before the name in a causal tower, so their rows are the same in every text. After
them most positions are padding (which the reference does not mask), and a row there is mostly what its position says in
any text and what its text says at any position; the rest lies in few directions. So the mean over texts is stored once,
and of each text the mean over positions and as many principal directions as it takes.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from ..checkpoint import Checkpoint
from ..model.towers import encode_words, shared_prefix
from ..tables import round_trip, round_trip_numbers, unit_rows
from .words import ExactWords, MixedWords, Words, change, exact_scores, float_of, size, spotted

CHUNK = 128  # texts whose words are in memory at once
MOST_ROWS = 64  # of a text; with more of them, all positions take as little
# Of the bound, what the root of the mean square of a category's change may be. The largest change over many
# windows and categories is about ten times as much; where it is more, less is tried.
SHARES = (0.1, 0.07, 0.05, 0.03)


@dataclass
class Directions:
    """What one text's words [P, D] are mixed from, best first: rows [R, D] of length 1, and products to solve with."""

    rows: np.ndarray
    gram: np.ndarray  # [R, R], of the rows as they are stored
    seen: np.ndarray  # [R, P], of the rows with the words less what is common

    def mix(self, count: int) -> np.ndarray:
        """How much of each of the first `count` rows is in the words, [count, P]: least squares."""
        gram = self.gram[:count, :count]
        floor = 1e-9 * np.trace(gram) / count
        return np.linalg.solve(gram + floor * np.eye(count), self.seen[:count]).astype(np.float32)


def common_rows(words: np.ndarray, dtype: str) -> np.ndarray:
    """What words [n, P, D] have in common at each position [P, D], as it is stored."""
    return round_trip_numbers(words.mean(0), float_of(dtype))


def directions(words: np.ndarray, common: np.ndarray, dtype: str, most: int) -> Directions:
    """Of one text's words [P, D] of length 1: their mean, and principal directions of the rest.

    All positions share the mean, so that its rounding moves all of them one way: in int8 what was rounded off is a row too.
    """
    rest = (words - common).astype(np.float64)
    mean = rest.mean(0)
    # Never zero, so that it has a direction.
    rows = [unit_rows(mean + 1e-6 * words[0])]
    if dtype == "i8" and most > 1:
        rows.append(unit_rows(rows[0] - round_trip(rows[0], dtype) + 1e-9 * words[0]))
    if most > len(rows):
        _, _, axes = np.linalg.svd(rest - mean, full_matrices=False)
        rows += list(axes[: most - len(rows)].astype(np.float32))
    stored = round_trip(np.stack(rows), dtype).astype(np.float64)
    return Directions(np.stack(rows), stored @ stored.T, stored @ rest.T)


def mixed(found: list[Directions], counts: np.ndarray, common: np.ndarray, shared: np.ndarray) -> MixedWords:
    """The table with so many rows of each text."""
    rows = np.concatenate([d.rows[:count] for d, count in zip(found, counts)])
    mix = np.concatenate([d.mix(count) for d, count in zip(found, counts)])
    return MixedWords(rows, counts, mix, common, shared)


def fewest(
    found: Directions,
    common: np.ndarray,
    words: np.ndarray,
    category: np.ndarray,
    windows: torch.Tensor,
    dtype: str,
    limit: float,
) -> int:
    """Rows that a text takes for this change of its S_V, as the root of the mean square over windows [m, T, D].

    words [P, D] and category [D]. Halved from both ends.
    """
    centre = torch.from_numpy(category[None])
    true = spotted(torch.from_numpy(words[None]), centre, windows)
    low, high = 1, len(found.rows)
    while low < high:
        middle = (low + high) // 2
        table = mixed([found], np.array([middle]), common, common[:0])
        error = spotted(torch.from_numpy(table.rows(slice(1), dtype)), centre, windows) - true
        if float(error.square().mean().sqrt()) <= limit:
            high = middle
        else:
            low = middle + 1
    return high


def compacted(
    words: np.ndarray,
    category: np.ndarray,
    prefix: int,
    windows: torch.Tensor,
    choosing: torch.Tensor,
    bound: float,
    dtypes: tuple[str, ...],
) -> tuple[Words, str, float]:
    """The smallest table whose S_V is within the bound: (table, type, largest change). Else the exact one, in f16.

    words [K, 77, D], of which the first `prefix` positions are shared. How many rows a text takes is told by other
    windows, `choosing`, than those that the table is measured on.
    """
    rows = unit_rows(words)
    own, shared, exact = rows[:, prefix:], rows[0, :prefix], ExactWords(rows)
    true = exact_scores(words, category, windows)
    tried: list[tuple[Words, str, float | None]] = []
    for dtype in dtypes:
        common = common_rows(own, dtype)
        found = [directions(w, common, dtype, MOST_ROWS) for w in own]
        for share in SHARES:
            limit = share * bound
            counts = [fewest(d, common, w, k, choosing, dtype, limit) for d, w, k in zip(found, own, category)]
            table = mixed(found, np.array(counts), common, shared)
            worst = change(true, category, table, dtype, windows)
            if worst <= bound:
                tried.append((table, dtype, worst))
                break
    tried += [(exact, dtype, None) for dtype in dict.fromkeys((*dtypes, "f16"))]
    for some, dtype, known in sorted(tried, key=lambda t: size(t[0], t[1])):
        worst = change(true, category, some, dtype, windows) if known is None else known
        if worst <= bound:
            return some, dtype, worst
    return exact, "f16", change(true, category, exact, "f16", windows)


def phrase_words(
    c: Checkpoint, tokens: np.ndarray, rows: int, dtype: str, progress: Callable[[int, int], None]
) -> tuple[MixedWords, np.ndarray, np.ndarray]:
    """Words of many phrases, their sentences [n, D], and the exact words of the first ones [m, 77, D].

    Phrases are many, and as a category one is spotted by the few: all get so many rows. What they have in common is
    taken from the first ones.
    """
    prefix = shared_prefix(tokens)
    found: list[Directions] = []
    sentences: list[np.ndarray] = []
    first: np.ndarray | None = None
    for at in range(0, len(tokens), CHUNK):
        sentence, words = encode_words(c, tokens[at : at + CHUNK])
        sentences.append(sentence)
        own = unit_rows(words)
        if first is None:
            first, common, shared = words, common_rows(own[:, prefix:], dtype), own[0, :prefix]
        found += [directions(w, common, dtype, rows) for w in own[:, prefix:]]
        progress(min(at + CHUNK, len(tokens)), len(tokens))
    assert first is not None
    return mixed(found, np.full(len(found), rows), common, shared), np.concatenate(sentences), first
