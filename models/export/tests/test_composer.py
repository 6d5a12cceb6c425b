"""The composer's graph computes its arithmetic, and it has learned rows for the phrases of its lexicon."""

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from bike_export.bundle_runner import open_session
from bike_export.composer import network
from bike_export.composer.train import train
from bike_export.tables import round_trip, unit_rows

N, K, D = 160, 3, 64


@pytest.fixture(scope="module")
def phrases() -> np.ndarray:
    """Returns embeddings like those of a text tower, similar because of the shared prompt, stored in int8."""
    rng = np.random.default_rng(0)
    return round_trip(unit_rows(rng.normal(size=D) * 2 + rng.normal(size=(N, D))), "i8")


@pytest.fixture(scope="module")
def training_data(phrases: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns tuples and their sentences, which depend on something that the embeddings do not show."""
    rng = np.random.default_rng(1)
    tuples = np.stack([rng.choice(N, K, replace=False) for _ in range(4000)])
    hidden = rng.normal(size=(N, D)) / D**0.5
    return tuples, unit_rows(phrases[tuples].mean(1) + hidden[tuples].mean(1))


def mean_distance(state: network.State, phrases: np.ndarray, tuples: np.ndarray, expected: np.ndarray) -> float:
    """Returns the mean of 1 - cosine."""
    with torch.no_grad():
        found = network.compose(state, torch.from_numpy(phrases[tuples])).numpy()
    return float(1 - (unit_rows(found) * expected).sum(1).mean())


def test_every_phrase_is_found_by_its_embedding(phrases: np.ndarray):
    state = network.lookup_keys(phrases)
    assert network.find(state, torch.from_numpy(phrases)).tolist() == list(range(N))
    moved = unit_rows(phrases + 1e-4 * np.random.default_rng(2).normal(size=phrases.shape))
    assert network.find(state, torch.from_numpy(moved)).tolist() == list(range(N))


def test_phrases_with_equal_embeddings_have_the_same_index(phrases: np.ndarray):
    twice = np.concatenate([phrases, phrases[:2]])
    found = network.find(network.lookup_keys(twice), torch.from_numpy(twice))
    assert torch.equal(found[:2], found[N:]) and found[2:N].tolist() == list(range(2, N))
    tuples = np.array([[0, 1, 2], [N, N + 1, 3]])
    rows = train(twice, tuples, unit_rows(twice[tuples].mean(1)), epochs=1)[network.LEARNED]
    assert torch.equal(rows[:2], rows[N:]) and not torch.equal(rows[0], rows[1])


def test_learned_rows_help_on_tuples_outside_the_training(phrases, training_data, monkeypatch):
    (tuples, truth), training = training_data, 3600
    monkeypatch.setattr("bike_export.composer.train.BATCH", 64)
    with_rows = train(phrases, tuples[:training], truth[:training], epochs=6)
    monkeypatch.setattr(network, "MAX_BYTES", network.size(K, D, N) - 1)
    without_rows = train(phrases, tuples[:training], truth[:training], epochs=6)
    assert network.LEARNED in with_rows and network.LEARNED not in without_rows
    distances = [
        mean_distance(network.rounded(s), phrases, tuples[training:], truth[training:])
        for s in (with_rows, without_rows)
    ]
    print(distances)
    assert distances[0] < 0.7 * distances[1]


@pytest.mark.parametrize("rows", [True, False])
def test_the_graph_computes_what_was_trained(phrases, training_data, tmp_path: Path, monkeypatch, rows: bool):
    monkeypatch.setattr(network, "MAX_BYTES", network.size(K, D, N) - (0 if rows else 1))
    tuples, truth = training_data
    state = network.rounded(train(phrases, tuples[:500], truth[:500], epochs=2))
    network.write(tmp_path / "composer.onnx", state, {}, {})
    session = open_session(tmp_path / "composer.onnx")
    for numbers in tuples[:20]:
        found = session.run(None, {"phrases": phrases[numbers][None]})[0]
        expected = network.compose(state, torch.from_numpy(phrases[numbers][None])).numpy()
        np.testing.assert_allclose(found, expected, atol=1e-5)
    kinds = {n.op_type for n in onnx.load(str(tmp_path / "composer.onnx")).graph.node}
    assert ("ArgMax" in kinds) == rows
    estimate = network.size(K, D, N if rows else 0)
    assert 0.75 * estimate < (tmp_path / "composer.onnx").stat().st_size < estimate


def test_sizes_stay_within_the_limit():
    # B/32 and L/14 with 12,000 phrases; L/14 without learned rows, with 5 and with 16 phrases per sentence.
    assert network.size(5, 512, 12_000) <= network.MAX_BYTES < network.size(5, 768, 12_000)
    assert network.size(5, 768, 0) <= network.MAX_BYTES < network.size(16, 768, 0)
