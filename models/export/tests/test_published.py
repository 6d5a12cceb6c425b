"""The arithmetic in PyTorch and exported bundles agree with the published code (whwu95/BIKE at e8f6a8b).

checks/published.py wrote the expected numbers, from a checkout of that code and random weights.
"""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import random_checkpoints as rc
from bike_export.bundle_runner import BundleRunner
from bike_export.checkpoint import load
from bike_export.model import scoring, towers
from bike_export.text.tokenizer import tokenize
from published_case import ATTRIBUTE_SENTENCE, SENTENCES, wrong_methods
from test_bundles import EXACT, manifest

DATA = Path(__file__).parent / "data" / "published.safetensors"


@pytest.fixture(scope="module")
def golden() -> dict[str, torch.Tensor]:
    return load_file(DATA)


def test_golden_frames_differ_from_each_other(golden):
    for name in ("embeddings", "aggregated.transf"):
        v = scoring.unit(golden[name])
        assert (v @ v.T - 2 * torch.eye(len(v))).max() < 0.5


@pytest.mark.parametrize("header", ["none", "transf"])
@pytest.mark.parametrize("interaction", ["vcs", "dp"])
def test_exact_bundles_give_the_published_scores(export, golden, tmp_path: Path, header: str, interaction: str):
    path = rc.save(tmp_path / "c.pt", "bike", "tiny", header=header == "transf")
    folder = export(str(path), *EXACT, "--window", "8", "--interaction", interaction)
    b = BundleRunner(folder, manifest(folder))
    v = b.embed("visual.onnx", rc.normalised(golden["pictures"]).numpy())
    assert np.abs(v - golden["embeddings"].numpy()).max() < 1e-4
    expected = golden[f"s_v.{interaction}.{header}"].numpy()
    found = b.video_scores(v)
    assert np.abs(found - expected).max() < 1e-5
    assert list(np.argsort(-found)[:5]) == list(np.argsort(-expected)[:5])


def test_trained_attributes_give_the_published_scores(golden, tmp_path: Path):
    c = load(rc.save(tmp_path / "a.pt", "bike-attributes", "tiny"))
    sentence = torch.from_numpy(towers.encode_sentences(c, tokenize([ATTRIBUTE_SENTENCE])))[0]
    category = torch.from_numpy(towers.encode_sentences(c, tokenize(SENTENCES)))
    assert torch.allclose(sentence, golden["sentence"], atol=1e-4)
    assert torch.allclose(scoring.attribute_scores(sentence, category, c.heads), golden["s_a.trained"], atol=1e-5)


def test_wrong_methods_differ_by_ten_times_the_tolerance(golden, tmp_path: Path):
    c = load(rc.save(tmp_path / "c.pt", "bike", "tiny", header=True))
    category, words = towers.encode_words(c, tokenize(SENTENCES))
    for name, found in wrong_methods(
        golden["aggregated.transf"], golden["embeddings"], torch.from_numpy(words), torch.from_numpy(category)
    ).items():
        assert (found - golden["s_v.vcs.transf"]).abs().max() > 10 * 1e-4, name
