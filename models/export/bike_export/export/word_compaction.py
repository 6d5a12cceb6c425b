"""Compacts word tables: mixes a text's words from few rows, within a bound on the change of S_V.

The text tower is causal, so the rows of the start mark and of the prompt are the same in every text. Most positions
after them are padding, which the reference does not mask. A row there is mostly the sum of a part that depends on the
position and a part that depends on the text; the rest lies in few directions. So the mean over texts is stored once,
and for each text its mean over positions and as many principal directions as it needs.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from ..checkpoint import Checkpoint
from ..model.towers import encode_words, shared_prefix
from ..tables import round_trip, round_trip_numbers, unit_rows
from .word_tables import ExactWords, MixedWords, WordTable, change_from, common_type, exact_scores, size, video_scores

CHUNK = 128  # texts whose words are in memory at once
MAX_ROWS = 64  # of a text; with more, storing all positions takes no more space
# The root mean square of a category's change may be this share of the bound. The largest change over many windows and
# categories is about ten times as much; if it is more, the next share is tried.
SHARES = (0.1, 0.07, 0.05, 0.03)


@dataclass
class Directions:
    """The rows [R, D] of length 1 that a text's words [P, D] are mixed from, best first, and products to solve with."""

    rows: np.ndarray
    gram: np.ndarray  # [R, R], products of the stored rows
    products: np.ndarray  # [R, P], of the stored rows with the words minus the common rows

    def mix(self, count: int) -> np.ndarray:
        """Returns the share of each of the first `count` rows in the words, [count, P], by least squares."""
        gram = self.gram[:count, :count]
        floor = 1e-9 * np.trace(gram) / count
        return np.linalg.solve(gram + floor * np.eye(count), self.products[:count]).astype(np.float32)


def common_rows(words: np.ndarray, dtype: str) -> np.ndarray:
    """Returns what words [n, P, D] have in common at each position, [P, D], after storing it."""
    return round_trip_numbers(words.mean(0), common_type(dtype))


def principal_rows(words: np.ndarray, common: np.ndarray, dtype: str, limit: int) -> Directions:
    """Returns at most `limit` rows for one text's words [P, D] of length 1: their mean, and principal directions.

    All positions share the mean, so its rounding moves all of them the same way. In int8 the rounding error of the mean
    is therefore a row of its own.
    """
    rest = (words - common).astype(np.float64)
    mean = rest.mean(0)
    # The added term keeps the mean from being zero, which has no direction.
    rows = [unit_rows(mean + 1e-6 * words[0])]
    if dtype == "i8" and limit > 1:
        rows.append(unit_rows(rows[0] - round_trip(rows[0], dtype) + 1e-9 * words[0]))
    if limit > len(rows):
        _, _, axes = np.linalg.svd(rest - mean, full_matrices=False)
        rows += list(axes[: limit - len(rows)].astype(np.float32))
    stored = round_trip(np.stack(rows), dtype).astype(np.float64)
    return Directions(np.stack(rows), stored @ stored.T, stored @ rest.T)


def mixed_table(texts: list[Directions], counts: np.ndarray, common: np.ndarray, shared: np.ndarray) -> MixedWords:
    """Returns the table with `counts` rows of each text."""
    rows = np.concatenate([d.rows[:count] for d, count in zip(texts, counts, strict=True)])
    mix = np.concatenate([d.mix(count) for d, count in zip(texts, counts, strict=True)])
    return MixedWords(rows, counts, mix, common, shared)


def rows_needed(
    directions: Directions,
    common: np.ndarray,
    words: np.ndarray,
    category: np.ndarray,
    windows: torch.Tensor,
    dtype: str,
    limit: float,
) -> int:
    """Returns how many rows a text needs so that the root mean square change of its S_V over windows is in the limit.

    words [P, D], category [D], windows [m, T, D]. The number is found by bisection.
    """
    centre = torch.from_numpy(category[None])
    expected = video_scores(torch.from_numpy(words[None]), centre, windows)
    low, high = 1, len(directions.rows)
    while low < high:
        middle = (low + high) // 2
        table = mixed_table([directions], np.array([middle]), common, common[:0])
        error = video_scores(torch.from_numpy(table.rows(slice(1), dtype)), centre, windows) - expected
        if float(error.square().mean().sqrt()) <= limit:
            high = middle
        else:
            low = middle + 1
    return high


def smallest_table(
    words: np.ndarray,
    category: np.ndarray,
    prefix: int,
    windows: torch.Tensor,
    choosing: torch.Tensor,
    bound: float,
    dtypes: tuple[str, ...],
) -> tuple[WordTable, str, float]:
    """Returns the smallest table whose S_V is within the bound, its type and its largest change.

    If no table is within the bound, the exact words in f16 are returned. words [K, 77, D], of which the first `prefix`
    positions are shared. The number of rows is chosen on other windows, `choosing`, than the change is measured on.
    """
    rows = unit_rows(words)
    own, shared, exact = rows[:, prefix:], rows[0, :prefix], ExactWords(rows)
    expected = exact_scores(words, category, windows)
    candidates: list[tuple[WordTable, str, float | None]] = []
    for dtype in dtypes:
        common = common_rows(own, dtype)
        texts = [principal_rows(w, common, dtype, MAX_ROWS) for w in own]
        for share in SHARES:
            limit = share * bound
            counts = [
                rows_needed(d, common, w, k, choosing, dtype, limit)
                for d, w, k in zip(texts, own, category, strict=True)
            ]
            table = mixed_table(texts, np.array(counts), common, shared)
            change = change_from(expected, category, table, dtype, windows)
            if change <= bound:
                candidates.append((table, dtype, change))
                break
    candidates += [(exact, dtype, None) for dtype in dict.fromkeys((*dtypes, "f16"))]
    for candidate, dtype, measured in sorted(candidates, key=lambda t: size(t[0], t[1])):
        change = change_from(expected, category, candidate, dtype, windows) if measured is None else measured
        if change <= bound:
            return candidate, dtype, change
    return exact, "f16", change_from(expected, category, exact, "f16", windows)


def phrase_words(
    c: Checkpoint, tokens: np.ndarray, rows: int, dtype: str, progress: Callable[[int, int], None]
) -> tuple[MixedWords, np.ndarray, np.ndarray]:
    """Returns the words of many phrases, their sentences [n, D], and the exact words of the first ones [m, 77, D].

    There are many phrases, and few of them become categories, so each gets the same small number of rows. What they
    have in common is computed from the first ones.
    """
    prefix = shared_prefix(tokens)
    texts: list[Directions] = []
    sentences: list[np.ndarray] = []
    first: np.ndarray | None = None
    for at in range(0, len(tokens), CHUNK):
        sentence, words = encode_words(c, tokens[at : at + CHUNK])
        sentences.append(sentence)
        own = unit_rows(words)
        if first is None:
            first, common, shared = words, common_rows(own[:, prefix:], dtype), own[0, :prefix]
        texts += [principal_rows(w, common, dtype, rows) for w in own[:, prefix:]]
        progress(min(at + CHUNK, len(tokens)), len(tokens))
    assert first is not None
    return mixed_table(texts, np.full(len(texts), rows), common, shared), np.concatenate(sentences), first
