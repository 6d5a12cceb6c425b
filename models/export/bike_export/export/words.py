"""Word tables: what the text tower says at every position of a text, as it is stored, and what that changes in S_V."""

from dataclasses import dataclass

import numpy as np
import torch

from ..model.recognise import TAU, unit
from ..tables import add_numbers, add_table, round_trip, round_trip_numbers, unit_rows

TEXTS = 16  # texts whose scores are made at once


@dataclass
class ExactWords:
    """All positions of n texts, nothing shared: rows [n, W, D] of length 1."""

    own: np.ndarray

    def __len__(self) -> int:
        return len(self.own)

    def rows(self, texts: slice, dtype: str) -> np.ndarray:
        """The words [m, W, D] of some texts as they are read back from a table of this type."""
        return round_trip(self.own[texts], dtype)

    def add_to(self, tensors: dict[str, np.ndarray], dtype: str) -> None:
        """Puts the table into `tensors`, under the names of docs/bundle.md."""
        add_table(tensors, "word", self.own, dtype)
        tensors["word_weight"] = np.ones(self.own.shape[:2], np.float32)


@dataclass
class MixedWords:
    """Words of n texts, mixed from fewer rows: at position i, `common[i]` and mix[j, i] of each of the text's rows j.

    `row` [M, D] of length 1, text after text, `count` [n] of them each; `mix` [M, P]; `common` [P, D]. Positions that
    are the same in every text are `shared` [S, D].
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
        """The words [m, S + P, D] of some texts as they are read back from a table of this type."""
        common, shared = (round_trip_numbers(x, float_of(dtype)) for x in (self.common, self.shared))
        out = []
        for first, count in zip(self.first[texts], self.count[texts]):
            own = slice(first, first + count)
            row, mix = round_trip(self.row[own], dtype), round_trip_numbers(self.mix[own], dtype)
            out.append(np.concatenate([shared, common + mix.T @ row]))
        return np.stack(out)

    def add_to(self, tensors: dict[str, np.ndarray], dtype: str) -> None:
        """Puts the table into `tensors`, under the names of docs/bundle.md."""
        add_table(tensors, "word", self.row, dtype)
        tensors["word_rows"] = self.count.astype(np.uint32)
        add_numbers(tensors, "word_mix", self.mix, dtype)
        add_numbers(tensors, "position_word", self.common, float_of(dtype))
        if len(self.shared):
            add_table(tensors, "shared_word", self.shared, float_of(dtype))
            tensors["shared_weight"] = np.ones(len(self.shared), np.float32)


Words = ExactWords | MixedWords


def float_of(dtype: str) -> str:
    """The type of what all texts have in common: rounding it would move all words one way."""
    return "f16" if dtype == "i8" else dtype


def size(table: Words, dtype: str) -> int:
    """Bytes that the table takes."""
    tensors: dict[str, np.ndarray] = {}
    table.add_to(tensors, dtype)
    return sum(t.nbytes for t in tensors.values())


def spotted(rows: torch.Tensor, category: torch.Tensor, windows: torch.Tensor) -> torch.Tensor:
    """S_V [n, K] of windows [n, T, D], as `concept_spotting` has it, all windows in one product.

    rows [K, W, D] as they are, category [K, D].
    """
    n, length, depth = windows.shape
    v = unit(windows).reshape(-1, depth)
    a = ((rows @ v.T).reshape(*rows.shape[:2], n, length) / TAU).softmax(-1).mean(1)
    return (a * (unit(category) @ v.T).reshape(-1, n, length)).sum(-1).T


def scores(table: Words, dtype: str, category: np.ndarray, windows: torch.Tensor) -> torch.Tensor:
    """S_V [n, K] of windows [n, T, D] by a table as it is read back, for the first K texts of it: category [K, D]."""
    out = []
    for at in range(0, len(category), TEXTS):
        some = slice(at, min(at + TEXTS, len(category)))
        out.append(spotted(torch.from_numpy(table.rows(some, dtype)), torch.from_numpy(category[some]), windows))
    return torch.cat(out, 1)


def exact_scores(words: np.ndarray, category: np.ndarray, windows: torch.Tensor) -> torch.Tensor:
    """S_V [n, K] of windows [n, T, D], by all positions of words [K, 77, D]."""
    return scores(ExactWords(unit_rows(words)), "f32", category, windows)


def change(true: torch.Tensor, category: np.ndarray, table: Words, dtype: str, windows: torch.Tensor) -> float:
    """Largest change of S_V [n, K] over windows [n, T, D] by this table, of the first K texts."""
    return float((scores(table, dtype, category, windows) - true).abs().max())


def difference(words: np.ndarray, category: np.ndarray, table: Words, dtype: str, windows: torch.Tensor) -> float:
    """`change` of the S_V by all positions of words [K, 77, D]."""
    return change(exact_scores(words, category, windows), category, table, dtype, windows)
