"""Tables read back as they were written, and word compaction loses no more than it says."""

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from bike_export.compact import compact_words, merge_levels, merge_rows
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


def test_compaction_shares_the_prompt_and_merges_the_padding_of_a_causal_tower():
    """77 positions as CLIP has them: 6 shared, a few words, and a long padding of near-equal rows."""
    rng = np.random.default_rng(1)
    words = np.zeros((5, 77, 64))
    prompt = rng.normal(size=(6, 64))
    for k in range(5):
        padding = rng.normal(size=64)
        words[k, :6] = prompt
        words[k, 6:10] = rng.normal(size=(4, 64))
        words[k, 10:] = padding + 0.01 * rng.normal(size=(67, 64))
    words = unit_rows(words)
    table = compact_words(words, cosine=0.999)
    assert len(table.shared_word) == 6 and table.word.shape[1] == 5
    assert np.allclose(table.word_weight.sum(1) + table.shared_weight.sum(), 77)
    assert table.cosine_min >= 0.998
    v = rows(8, 64, seed=3)
    for k in range(5):
        exact = saliency(v, words[k], np.ones(77), 0.01)
        compact = saliency(v, np.concatenate([table.word[k], table.shared_word]),
                           np.concatenate([table.word_weight[k], table.shared_weight]), 0.01)
        assert np.abs(exact - compact).max() < 0.02


def test_all_windows_at_once_score_as_one_by_one():
    from bike_export.export.words import spotted
    from bike_export.model.recognise import concept_spotting

    draw = torch.Generator().manual_seed(0)
    words, category, windows = (torch.randn(*s, generator=draw) for s in ((37, 9, 32), (37, 32), (5, 8, 32)))
    weight = torch.rand(37, 9, generator=draw)
    expected = torch.stack([concept_spotting(v, words, category, weight) for v in windows])
    assert torch.allclose(spotted(words, weight, category, windows), expected, atol=1e-6)


def test_exact_compaction_changes_nothing():
    words = rows(3, 6, 32)
    table = compact_words(words, cosine=1.1)
    assert table.word.shape == (3, 6, 32) and len(table.shared_word) == 0
    assert np.allclose(table.word, words, atol=1e-6) and (table.word_weight == 1).all()


def test_unequal_sums_of_weights_are_refused():
    with pytest.raises(ValueError):
        compact_words([rows(2, 8), rows(3, 8)])


def test_merging_at_falling_cosines_is_merging_at_each():
    near = unit_rows(np.repeat(rows(6, 32), 5, 0) + 0.05 * np.random.default_rng(2).normal(size=(30, 32)))
    weight = np.arange(1.0, 31.0)
    levels = (0.99, 0.97, 0.9, -1.0)
    for at, found in zip(levels, merge_levels(near, weight, levels, 30)):
        for ours, alone in zip(found, merge_rows(near, weight, at, 30)):
            assert (ours == alone).all()
    assert [len(f[1]) for f in merge_levels(near, weight, (2.0, 0.9, -1.0), 30)] == [30, 6, 1]
