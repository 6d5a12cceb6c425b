"""Tables keep their values when stored, and word compaction changes no more than its bound."""

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from bike_export.demo.word_compaction import compact_words
from bike_export.tables import add_table, dequantise_rows, quantise_rows, unit_rows, write_safetensors


def rows(*shape: int, seed: int = 0) -> np.ndarray:
    return unit_rows(np.random.default_rng(seed).normal(size=shape))


def test_int8_rows_have_the_same_length_and_direction():
    x = rows(50, 384)
    back = dequantise_rows(*quantise_rows(x))
    assert np.abs(np.linalg.norm(back, axis=1) - 1).max() < 1e-5
    assert (unit_rows(back) * x).sum(1).min() > 0.9998


def test_tensors_start_at_multiples_of_eight_bytes(tmp_path):
    tensors: dict[str, np.ndarray] = {"word_weight": np.ones((7, 3), np.float32)}
    add_table(tensors, "word", rows(7, 3, 16), "i8")
    add_table(tensors, "category", rows(7, 16), "f16")
    write_safetensors(tmp_path / "t.safetensors", tensors)
    back = load_file(str(tmp_path / "t.safetensors"))
    assert all((back[k] == tensors[k]).all() and back[k].dtype == tensors[k].dtype for k in tensors)
    header = int.from_bytes((tmp_path / "t.safetensors").read_bytes()[:8], "little")
    assert (8 + header) % 8 == 0


def test_a_zero_row_is_refused():
    with pytest.raises(ValueError):
        unit_rows(np.zeros((2, 4)))


def saliency(v: np.ndarray, word: np.ndarray, weight: np.ndarray, tau: float) -> np.ndarray:
    """Computes the saliency [T] of frames [T, D] for words [W, D]."""
    s = word @ v.T / tau
    a = np.exp(s - s.max(1, keepdims=True))
    a /= a.sum(1, keepdims=True)
    return weight @ a / weight.sum()


def test_merged_rows_give_the_saliency_of_the_original_rows():
    """The words are a few different rows and many similar ones."""
    rng = np.random.default_rng(1)
    words = []
    for _ in range(5):
        near = rng.normal(size=64) + 0.01 * rng.normal(size=(67, 64))
        words.append(unit_rows(np.concatenate([rng.normal(size=(4, 64)), near])))
    table = compact_words(words, [np.ones(71)] * 5, cosine=0.999, max_rows=77)
    assert table.word.shape[1] == 5 and table.cosine_min >= 0.998
    assert np.allclose(table.word_weight.sum(1), 71)
    v = rows(8, 64, seed=3)
    for k in range(5):
        exact = saliency(v, words[k], np.ones(71), 0.01)
        assert np.abs(exact - saliency(v, table.word[k], table.word_weight[k], 0.01)).max() < 0.02


def test_different_rows_are_merged_only_beyond_the_maximum():
    words = list(rows(3, 6, 32))
    table = compact_words(words, [np.ones(6)] * 3, cosine=1.1, max_rows=77)
    assert np.allclose(table.word, words, atol=1e-6) and (table.word_weight == 1).all()
    assert compact_words(words, [np.ones(6)] * 3, cosine=1.1, max_rows=4).word.shape == (3, 4, 32)


def test_unequal_sums_of_weights_are_refused():
    with pytest.raises(ValueError):
        compact_words(list(rows(2, 3, 8)), [np.ones(3), np.ones(3) / 2], cosine=0.9, max_rows=3)


def test_batched_windows_have_the_scores_of_single_windows():
    from bike_export.export.word_tables import video_scores
    from bike_export.model.scoring import concept_spotting, unit

    draw = torch.Generator().manual_seed(0)
    words, category, windows = (torch.randn(*s, generator=draw) for s in ((37, 9, 32), (37, 32), (5, 8, 32)))
    expected = torch.stack([concept_spotting(v, words, category) for v in windows])
    assert torch.allclose(video_scores(unit(words), category, windows), expected, atol=1e-6)


def causal_words(count: int, positions: int, depth: int) -> np.ndarray:
    """Returns words [n, P, D] like those of a causal tower.

    They are the sum of a common part, one per position, one per text, and a small part of both in few directions. The
    first two positions are the prompt, and three are names.
    """
    rng = np.random.default_rng(5)
    common, position, text = (rng.normal(size=s) for s in ((1, 1, depth), (1, positions, depth), (count, 1, depth)))
    both = 0.05 * rng.normal(size=(count, positions, 4)) @ rng.normal(size=(count, 4, depth))
    both[:, 2:5] = rng.normal(size=(count, 3, depth))
    words = common + 0.3 * position + 0.3 * text + both
    words[:, :2] = position[:, :2]
    return unit_rows(words)


def test_a_mixed_table_is_within_its_bound_on_other_windows():
    from bike_export.export import word_compaction, word_tables

    words, category = causal_words(12, 40, 128), rows(12, 128, seed=6)
    draw = torch.Generator().manual_seed(1)
    choosing, measured, others = (torch.randn(n, 8, 128, generator=draw) for n in (48, 16, 64))
    table, dtype, change = word_compaction.smallest_table(words, category, 2, measured, choosing, 3e-3, ("i8", "f16"))
    assert isinstance(table, word_tables.MixedWords) and dtype == "i8" and 0 < change <= 3e-3
    assert word_tables.size(table, dtype) < 0.9 * word_tables.size(word_tables.ExactWords(words), dtype)
    assert word_tables.largest_change(words, category, table, dtype, others) < 3e-3
    # With the opposite mix the same rows give other scores.
    negated = word_tables.MixedWords(table.row, table.count, -table.mix, table.common, table.shared)
    assert word_tables.largest_change(words, category, negated, dtype, measured) > 3e-2


def test_a_single_text_can_be_compacted():
    from bike_export.export import word_compaction

    words = causal_words(1, 20, 64)
    table, dtype, change = word_compaction.smallest_table(
        words,
        rows(1, 64, seed=7),
        2,
        *torch.randn(2, 5, 8, 64, generator=torch.Generator().manual_seed(2)),
        1e-3,
        ("i8", "f16"),
    )
    assert len(table) == 1 and change <= 1e-3
