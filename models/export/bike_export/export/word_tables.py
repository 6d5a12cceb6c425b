"""Word tables: the text tower's output at every position of a text, how it is stored, and how storing changes S_V."""

from dataclasses import dataclass

import numpy as np
import torch

from ..model.scoring import TAU, unit
from ..tables import add_numbers, add_table, round_trip, round_trip_numbers, unit_rows

BATCH = 16  # texts whose scores are computed at once


@dataclass
class ExactWords:
    """All positions of n texts, nothing shared: rows [n, W, D] of length 1."""

    own: np.ndarray

    def __len__(self) -> int:
        return len(self.own)

    def rows(self, texts: slice, dtype: str) -> np.ndarray:
        """Returns the words [m, W, D] of some texts after storing them in a table of this type."""
        return round_trip(self.own[texts], dtype)

    def add_to(self, tensors: dict[str, np.ndarray], dtype: str) -> None:
        """Adds the table to `tensors`, under the names of docs/bundle.md."""
        add_table(tensors, "word", self.own, dtype)
        tensors["word_weight"] = np.ones(self.own.shape[:2], np.float32)


@dataclass
class MixedWords:
    """Words of n texts, mixed from fewer rows: the word at position i is common[i] plus mix[j, i] times each row j.

    `row` [M, D] has rows of length 1, text after text, `count` [n] of them for each text. `mix` is [M, P] and `common`
    [P, D]. Positions that are equal in every text are in `shared` [S, D].
    """

    row: np.ndarray
    count: np.ndarray
    mix: np.ndarray
    common: np.ndarray
    shared: np.ndarray

    def __post_init__(self) -> None:
        self.first = np.cumsum(self.count) - self.count

    def __len__(self) -> int:
        return len(self.count)

    def rows(self, texts: slice, dtype: str) -> np.ndarray:
        """Returns the words [m, S + P, D] of some texts after storing them in a table of this type."""
        common, shared = (round_trip_numbers(x, common_type(dtype)) for x in (self.common, self.shared))
        words = []
        for first, count in zip(self.first[texts], self.count[texts], strict=True):
            own = slice(first, first + count)
            row, mix = round_trip(self.row[own], dtype), round_trip_numbers(self.mix[own], dtype)
            words.append(np.concatenate([shared, common + mix.T @ row]))
        return np.stack(words)

    def add_to(self, tensors: dict[str, np.ndarray], dtype: str) -> None:
        """Adds the table to `tensors`, under the names of docs/bundle.md."""
        add_table(tensors, "word", self.row, dtype)
        tensors["word_rows"] = self.count.astype(np.uint32)
        add_numbers(tensors, "word_mix", self.mix, dtype)
        add_numbers(tensors, "position_word", self.common, common_type(dtype))
        if len(self.shared):
            add_table(tensors, "shared_word", self.shared, common_type(dtype))
            tensors["shared_weight"] = np.ones(len(self.shared), np.float32)


WordTable = ExactWords | MixedWords


def common_type(dtype: str) -> str:
    """Returns the type of what all texts have in common. It is not int8, whose rounding would shift all words alike."""
    return "f16" if dtype == "i8" else dtype


def size(table: WordTable, dtype: str) -> int:
    """Returns the bytes of a table."""
    tensors: dict[str, np.ndarray] = {}
    table.add_to(tensors, dtype)
    return sum(t.nbytes for t in tensors.values())


def video_scores(rows: torch.Tensor, category: torch.Tensor, windows: torch.Tensor) -> torch.Tensor:
    """Returns S_V [n, K] of windows [n, T, D] as `concept_spotting` does, but for all windows in one product.

    rows [K, W, D] are used without scaling; category is [K, D].
    """
    n, length, depth = windows.shape
    v = unit(windows).reshape(-1, depth)
    a = ((rows @ v.T).reshape(*rows.shape[:2], n, length) / TAU).softmax(-1).mean(1)
    return (a * (unit(category) @ v.T).reshape(-1, n, length)).sum(-1).T


def table_scores(table: WordTable, dtype: str, category: np.ndarray, windows: torch.Tensor) -> torch.Tensor:
    """Returns S_V [n, K] of windows [n, T, D] by a stored table, for its first K texts; category [K, D]."""
    parts = []
    for at in range(0, len(category), BATCH):
        texts = slice(at, min(at + BATCH, len(category)))
        rows = torch.from_numpy(table.rows(texts, dtype))
        parts.append(video_scores(rows, torch.from_numpy(category[texts]), windows))
    return torch.cat(parts, 1)


def exact_scores(words: np.ndarray, category: np.ndarray, windows: torch.Tensor) -> torch.Tensor:
    """Returns S_V [n, K] of windows [n, T, D] by all positions of words [K, 77, D]."""
    return table_scores(ExactWords(unit_rows(words)), "f32", category, windows)


def change_from(
    expected: torch.Tensor, category: np.ndarray, table: WordTable, dtype: str, windows: torch.Tensor
) -> float:
    """Returns the largest change of S_V [n, K] over windows [n, T, D] by this table, for its first K texts."""
    return float((table_scores(table, dtype, category, windows) - expected).abs().max())


def largest_change(
    words: np.ndarray, category: np.ndarray, table: WordTable, dtype: str, windows: torch.Tensor
) -> float:
    """Returns the largest change from the exact S_V, that by all positions of words [K, 77, D]."""
    return change_from(exact_scores(words, category, windows), category, table, dtype, windows)
