"""The composer: its graph is its arithmetic, and it knows each phrase of its lexicon."""

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from bike_export.composer import network
from bike_export.composer.train import train
from bike_export.reader import open_session
from bike_export.tables import round_trip, unit_rows

N, K, D = 160, 3, 64


@pytest.fixture(scope="module")
def phrases() -> np.ndarray:
    """Embeddings as a tower gives them: alike, as all share a prompt; as they are read back from int8."""
    rng = np.random.default_rng(0)
    return round_trip(unit_rows(rng.normal(size=D) * 2 + rng.normal(size=(N, D))), "i8")


@pytest.fixture(scope="module")
def lesson(phrases: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Tuples and their sentences, in which a phrase counts for something that its embedding does not tell."""
    rng = np.random.default_rng(1)
    tuples = np.stack([rng.choice(N, K, replace=False) for _ in range(4000)])
    hidden = rng.normal(size=(N, D)) / D**0.5
    return tuples, unit_rows(phrases[tuples].mean(1) + hidden[tuples].mean(1))


def miss(state: network.State, phrases: np.ndarray, tuples: np.ndarray, truth: np.ndarray) -> float:
    """1 - cosine, mean."""
    with torch.no_grad():
        found = network.compose(state, torch.from_numpy(phrases[tuples])).numpy()
    return float(1 - (unit_rows(found) * truth).sum(1).mean())


def test_every_phrase_is_found_by_its_embedding(phrases: np.ndarray):
    state = network.finder(phrases)
    assert network.find(state, torch.from_numpy(phrases)).tolist() == list(range(N))
    moved = unit_rows(phrases + 1e-4 * np.random.default_rng(2).normal(size=phrases.shape))
    assert network.find(state, torch.from_numpy(moved)).tolist() == list(range(N))


def test_phrases_of_one_embedding_have_one_number(phrases: np.ndarray):
    twice = np.concatenate([phrases, phrases[:2]])
    found = network.find(network.finder(twice), torch.from_numpy(twice))
    assert torch.equal(found[:2], found[N:]) and found[2:N].tolist() == list(range(2, N))
    tuples = np.array([[0, 1, 2], [N, N + 1, 3]])
    rows = train(twice, tuples, unit_rows(twice[tuples].mean(1)), epochs=1)[network.LEARNED]
    assert torch.equal(rows[:2], rows[N:]) and not torch.equal(rows[0], rows[1])


def test_what_embeddings_do_not_tell_is_learned_for_tuples_that_were_not_seen(phrases, lesson, monkeypatch):
    (tuples, truth), seen = lesson, 3600
    monkeypatch.setattr("bike_export.composer.train.BATCH", 64)
    knowing = train(phrases, tuples[:seen], truth[:seen], epochs=6)
    monkeypatch.setattr(network, "MOST_BYTES", network.size(K, D, N) - 1)
    without = train(phrases, tuples[:seen], truth[:seen], epochs=6)
    assert network.LEARNED in knowing and network.LEARNED not in without
    misses = [miss(network.rounded(s), phrases, tuples[seen:], truth[seen:]) for s in (knowing, without)]
    print(misses)
    assert misses[0] < 0.7 * misses[1]


@pytest.mark.parametrize("rows", [True, False])
def test_the_graph_computes_what_was_trained(phrases, lesson, tmp_path: Path, monkeypatch, rows: bool):
    monkeypatch.setattr(network, "MOST_BYTES", network.size(K, D, N) - (0 if rows else 1))
    tuples, truth = lesson
    state = network.rounded(train(phrases, tuples[:500], truth[:500], epochs=2))
    network.write(tmp_path / "composer.onnx", state, {}, {})
    session = open_session(tmp_path / "composer.onnx")
    for some in tuples[:20]:
        found = session.run(None, {"phrases": phrases[some][None]})[0]
        expected = network.compose(state, torch.from_numpy(phrases[some][None])).numpy()
        np.testing.assert_allclose(found, expected, atol=1e-5)
    kinds = {n.op_type for n in onnx.load(str(tmp_path / "composer.onnx")).graph.node}
    assert ("ArgMax" in kinds) == rows
    said = network.size(K, D, N if rows else 0)
    assert 0.75 * said < (tmp_path / "composer.onnx").stat().st_size < said


def test_sizes_stay_within_the_limit():
    # B/32 with 12,000 phrases, L/14 with as many, and what nothing can be left out of.
    assert network.size(5, 512, 12_000) <= network.MOST_BYTES < network.size(5, 768, 12_000)
    assert network.size(5, 768, 0) <= network.MOST_BYTES < network.size(16, 768, 0)
