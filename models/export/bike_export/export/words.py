"""Word tables: the text tower's rows, compacted, with the change of S_V that this makes.

The start mark and the prompt come before the name in a causal tower, so their rows are the same in every category
and stored once. Of the rest, near-equal rows (mostly padding, which the reference does not mask) are merged.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from ..checkpoint import Checkpoint
from ..compact import merge_levels, merge_rows
from ..model.recognise import TAU, unit
from ..model.towers import encode_words, shared_prefix
from ..tables import add_table, round_trip, unit_rows

TEXTS = 16  # texts whose scores are made at once
CHUNK = 128  # texts whose words are in memory at once
# Likeness at which rows are merged, closest first. How much of it S_V bears is measured.
COSINES = (0.9999, 0.9995, 0.999, 0.995, 0.99, 0.98, 0.97, 0.95, 0.9)
PHRASE_COSINE = 0.999  # the same for phrases


@dataclass
class Words:
    """Rows of n texts: own [n, Wc, D] with weights [n, Wc], shared [P, D] with weights [P]."""

    own: np.ndarray
    weight: np.ndarray
    shared: np.ndarray
    shared_weight: np.ndarray

    def stored(self, dtype: str) -> "Words":
        """The rows as they are read back from a table of this type."""
        return Words(round_trip(self.own, dtype), self.weight, round_trip(self.shared, dtype), self.shared_weight)

    def whole(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Own and shared rows together [n, Wc + P, D] and their weights [n, Wc + P]."""
        n = len(self.own)
        rows = np.concatenate([self.own, np.broadcast_to(self.shared, (n, *self.shared.shape))], 1)
        weight = np.concatenate([self.weight, np.broadcast_to(self.shared_weight, (n, len(self.shared_weight)))], 1)
        return torch.from_numpy(rows), torch.from_numpy(weight)

    def add_to(self, tensors: dict[str, np.ndarray], dtype: str) -> None:
        """Puts the table into `tensors`, under the names of docs/bundle.md."""
        add_table(tensors, "word", self.own, dtype)
        tensors["word_weight"] = self.weight
        if len(self.shared):
            add_table(tensors, "shared_word", self.shared, dtype)
            tensors["shared_weight"] = self.shared_weight


def merged(words: np.ndarray, prefix: int) -> list[Words]:
    """Words [n, W, D] with the first `prefix` positions shared and the rest merged, a table for each of COSINES."""
    rows = unit_rows(words)
    own = np.ones(words.shape[1] - prefix)
    found = [
        [(unit.astype(np.float32), weight) for unit, weight, _ in merge_levels(r[prefix:], own, COSINES, len(own))]
        for r in rows
    ]
    return [pack([f[0] for f in level], [f[1] for f in level], rows[0, :prefix]) for level in zip(*found)]


def pack(rows: list[np.ndarray], weights: list[np.ndarray], shared: np.ndarray) -> Words:
    """A table from rows of different counts; unused rows repeat the first with weight 0."""
    count = max(map(len, rows))
    own = np.stack([np.concatenate([r, np.repeat(r[:1], count - len(r), 0)]) for r in rows]).astype(np.float32)
    weight = np.zeros((len(rows), count), np.float32)
    for at, w in zip(weight, weights):
        at[: len(w)] = w
    return Words(
        unit_rows(own),
        weight,
        unit_rows(shared) if len(shared) else shared.astype(np.float32),
        np.ones(len(shared), np.float32),
    )


def exact(words: np.ndarray) -> Words:
    """All positions of all texts, nothing shared or merged."""
    none = np.zeros((0, words.shape[-1]), np.float32)
    return Words(unit_rows(words), np.ones(words.shape[:2], np.float32), none, np.zeros(0, np.float32))


def spotted(rows: torch.Tensor, weight: torch.Tensor, category: torch.Tensor, windows: torch.Tensor) -> torch.Tensor:
    """S_V [n, K] of windows [n, T, D], as `concept_spotting` has it: all windows in one product, some texts at a time.

    rows [K, W, D], weight [K, W], category [K, D].
    """
    n, length, depth = windows.shape
    v = unit(windows).reshape(-1, depth)
    out = []
    for own, w, centre in zip(rows.split(TEXTS), weight.split(TEXTS), unit(category).split(TEXTS)):
        a = ((unit(own) @ v.T).reshape(*own.shape[:2], n, length) / TAU).softmax(-1)
        seen = torch.einsum("kwnt,kw->knt", a, w / w.sum(-1, keepdim=True))
        out.append((seen * (centre @ v.T).reshape(-1, n, length)).sum(-1))
    return torch.cat(out).T


def exact_scores(words: np.ndarray, category: np.ndarray, windows: torch.Tensor) -> torch.Tensor:
    """S_V [n, K] of windows [n, T, D], by all positions of words [K, 77, D]."""
    return spotted(torch.from_numpy(words), torch.ones(words.shape[:2]), torch.from_numpy(category), windows)


def difference(true: torch.Tensor, category: np.ndarray, table: Words, windows: torch.Tensor) -> float:
    """Largest change of S_V [n, K] over windows [n, T, D] by this table."""
    rows, weight = table.whole()
    return float((spotted(rows, weight, torch.from_numpy(category), windows) - true).abs().max())


def concept_change(words: np.ndarray, category: np.ndarray, table: Words, windows: torch.Tensor) -> float:
    """`difference` for the first texts of a larger table: words [m, 77, D] beside the table's first m rows."""
    m = len(words)
    part = Words(table.own[:m], table.weight[:m], table.shared, table.shared_weight)
    return difference(exact_scores(words, category, windows), category, part, windows)


def compacted(
    words: np.ndarray, category: np.ndarray, prefix: int, windows: torch.Tensor, bound: float, dtypes: tuple[str, ...]
) -> tuple[Words, str, float]:
    """The smallest table whose S_V is within the bound: (table, type, largest change). Else the exact one, in f16."""
    tried: list[tuple[Words, str]] = []
    for table in merged(words, prefix):
        tried += [(table, dtype) for dtype in dtypes]
    whole = exact(words)
    tried += [(whole, dtype) for dtype in dict.fromkeys((*dtypes, "f16"))]
    sizes = {"i8": 1, "f16": 2, "f32": 4}
    tried.sort(key=lambda t: t[0].own.size * sizes[t[1]])
    true = exact_scores(words, category, windows)
    for table, dtype in tried:
        worst = difference(true, category, table.stored(dtype), windows)
        if worst <= bound:
            return table, dtype, worst
    return whole, "f16", difference(true, category, whole.stored("f16"), windows)


def phrase_words(
    c: Checkpoint, tokens: np.ndarray, max_rows: int, progress: Callable[[int, int], None]
) -> tuple[Words, np.ndarray, np.ndarray]:
    """Compacted words of many phrases, their sentences [n, D], and the exact words of the first chunk [m, 77, D].

    A phrase gets at most max_rows of its own: phrases are many, and as a category one is spotted by the few.
    """
    prefix = shared_prefix(tokens)
    rows, weights, sentences = [], [], []
    first: np.ndarray | None = None
    for at in range(0, len(tokens), CHUNK):
        sentence, words = encode_words(c, tokens[at : at + CHUNK])
        sentences.append(sentence)
        first = words if first is None else first
        for own in unit_rows(words)[:, prefix:]:
            unit, weight, _ = merge_rows(own, np.ones(len(own)), PHRASE_COSINE, max_rows)
            rows.append(unit)
            weights.append(weight)
        progress(min(at + CHUNK, len(tokens)), len(tokens))
    assert first is not None
    return pack(rows, weights, first[0, :prefix]), np.concatenate(sentences), first
