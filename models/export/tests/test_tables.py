"""Tables read back as they were written, and word compaction loses no more than it says."""

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from bike_export.demo.compact import compact_words
from bike_export.tables import add_table, dequantise_rows, quantise_rows, unit_rows, write_safetensors


def rows(*shape: int, seed: int = 0) -> np.ndarray:
    return unit_rows(np.random.default_rng(seed).normal(size=shape))


def test_int8_rows_keep_their_length_and_direction():
    x = rows(50, 384)
    back = dequantise_rows(*quantise_rows(x))
    assert np.abs(np.linalg.norm(back, axis=1) - 1).max() < 1e-5
    assert (unit_rows(back) * x).sum(1).min() > 0.9998


def test_tensors_lie_on_multiples_of_eight_bytes(tmp_path):
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
    """Concept spotting: frames [T, D], words [W, D] -> [T]."""
    s = word @ v.T / tau
    a = np.exp(s - s.max(1, keepdims=True))
    a /= a.sum(1, keepdims=True)
    return weight @ a / weight.sum()


def test_merged_rows_spot_as_the_rows_that_they_stand_for():
    """A few words, and many near-equal rows."""
    rng = np.random.default_rng(1)
    words = []
    for k in range(5):
        near = rng.normal(size=64) + 0.01 * rng.normal(size=(67, 64))
        words.append(unit_rows(np.concatenate([rng.normal(size=(4, 64)), near])))
    table = compact_words(words, [np.ones(71)] * 5, cosine=0.999, max_rows=77)
    assert table.word.shape[1] == 5 and table.cosine_min >= 0.998
    assert np.allclose(table.word_weight.sum(1), 71)
    v = rows(8, 64, seed=3)
    for k in range(5):
        exact = saliency(v, words[k], np.ones(71), 0.01)
        assert np.abs(exact - saliency(v, table.word[k], table.word_weight[k], 0.01)).max() < 0.02


def test_what_is_not_alike_is_not_merged_and_no_more_rows_are_kept_than_wanted():
    words = list(rows(3, 6, 32))
    table = compact_words(words, [np.ones(6)] * 3, cosine=1.1, max_rows=77)
    assert np.allclose(table.word, words, atol=1e-6) and (table.word_weight == 1).all()
    assert compact_words(words, [np.ones(6)] * 3, cosine=1.1, max_rows=4).word.shape == (3, 4, 32)


def test_unequal_sums_of_weights_are_refused():
    with pytest.raises(ValueError):
        compact_words(list(rows(2, 3, 8)), [np.ones(3), np.ones(3) / 2], cosine=0.9, max_rows=3)


def test_all_windows_at_once_score_as_one_by_one():
    from bike_export.export.words import spotted
    from bike_export.model.recognise import concept_spotting, unit

    draw = torch.Generator().manual_seed(0)
    words, category, windows = (torch.randn(*s, generator=draw) for s in ((37, 9, 32), (37, 32), (5, 8, 32)))
    expected = torch.stack([concept_spotting(v, words, category) for v in windows])
    assert torch.allclose(spotted(unit(words), category, windows), expected, atol=1e-6)


def causal_words(count: int, positions: int, depth: int) -> np.ndarray:
    """Words [n, P, D] as a causal tower has them: a common part, one of the position, one of the text, and a little of
    both in few directions. The first two are the prompt, and three are names."""
    rng = np.random.default_rng(5)
    common, position, text = (rng.normal(size=s) for s in ((1, 1, depth), (1, positions, depth), (count, 1, depth)))
    both = 0.05 * rng.normal(size=(count, positions, 4)) @ rng.normal(size=(count, 4, depth))
    both[:, 2:5] = rng.normal(size=(count, 3, depth))
    words = common + 0.3 * position + 0.3 * text + both
    words[:, :2] = position[:, :2]
    return unit_rows(words)


def test_a_mixed_table_stays_within_its_bound_on_windows_it_was_not_chosen_by():
    from bike_export.export import mixture, words as tables

    words, category = causal_words(12, 40, 128), rows(12, 128, seed=6)
    draw = torch.Generator().manual_seed(1)
    choosing, measured, others = (torch.randn(n, 8, 128, generator=draw) for n in (48, 16, 64))
    table, dtype, change = mixture.compacted(words, category, 2, measured, choosing, 3e-3, ("i8", "f16"))
    assert isinstance(table, tables.MixedWords) and dtype == "i8" and 0 < change <= 3e-3
    assert tables.size(table, dtype) < 0.9 * tables.size(tables.ExactWords(words), dtype)
    assert tables.difference(words, category, table, dtype, others) < 3e-3
    # The mix is what does it: mixed up, the same rows say something else.
    turned = tables.MixedWords(table.row, table.count, -table.mix, table.common, table.shared)
    assert tables.difference(words, category, turned, dtype, measured) > 3e-2


def test_one_text_alone_is_kept_as_it_is():
    from bike_export.export import mixture, words as tables

    words = causal_words(1, 20, 64)
    table, dtype, change = mixture.compacted(
        words, rows(1, 64, seed=7), 2, *torch.randn(2, 5, 8, 64, generator=torch.Generator().manual_seed(2)), 1e-3, ("i8", "f16")
    )
    assert len(table) == 1 and change <= 1e-3
