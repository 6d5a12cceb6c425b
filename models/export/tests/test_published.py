"""Our arithmetic and our bundles against numbers of the published code (whwu95/BIKE at e8f6a8b).

checks/published.py wrote them, from a checkout of that code and random weights; it is not needed to run this.
"""

from pathlib import Path

import numpy as np
import pytest
import random_checkpoints as rc
import torch
from bike_export.checkpoint import load
from bike_export.model import recognise, towers
from bike_export.reader import Bundle
from bike_export.text.tokenizer import tokenize
from safetensors.torch import load_file
from test_bundles import EXACT, manifest

DATA = Path(__file__).parent / "data" / "published.safetensors"
NAMES = [
    "archery",
    "jumping, running",
    "playing the piano",
    "cooking an egg",
    "abseiling",
    "washing hair",
    "ice skating",
]  # as conftest.LABELS
ATTRIBUTES = "a bow,a rope,a piano,a pan,an egg"


@pytest.fixture(scope="module")
def golden() -> dict[str, torch.Tensor]:
    return load_file(DATA)


def test_frames_of_the_goldens_differ(golden):
    for name in ("embeddings", "aggregated.transf"):
        v = recognise.unit(golden[name])
        assert (v @ v.T - 2 * torch.eye(len(v))).max() < 0.5


@pytest.mark.parametrize("header", ["none", "transf"])
@pytest.mark.parametrize("interaction", ["vcs", "dp"])
def test_exact_bundles_give_the_published_scores(export, golden, tmp_path: Path, header: str, interaction: str):
    path = rc.save(tmp_path / "c.pt", "bike", "tiny", header=header == "transf")
    folder = export(str(path), *EXACT, "--window", "8", "--interaction", interaction)
    b = Bundle(folder, manifest(folder))
    v = b.embed("visual.onnx", rc.normalised(golden["pictures"]).numpy())
    assert np.abs(v - golden["embeddings"].numpy()).max() < 1e-4
    expected = golden[f"s_v.{interaction}.{header}"].numpy()
    found = b.video_scores(v)
    assert np.abs(found - expected).max() < 1e-5
    assert list(np.argsort(-found)[:5]) == list(np.argsort(-expected)[:5])


def test_trained_attributes_give_the_published_scores(golden, tmp_path: Path):
    c = load(rc.save(tmp_path / "a.pt", "bike-attributes", "tiny"))
    sentence = torch.from_numpy(towers.encode_sentences(c, tokenize([f"This is a video about {ATTRIBUTES}"])))[0]
    category = torch.from_numpy(towers.encode_sentences(c, tokenize([f"This is a video about {n}" for n in NAMES])))
    assert torch.allclose(sentence, golden["sentence"], atol=1e-4)
    assert torch.allclose(recognise.attribute_scores(sentence, category, c.heads), golden["s_a.trained"], atol=1e-5)


def wrong_ways(
    h: torch.Tensor, plain: torch.Tensor, words: torch.Tensor, category: torch.Tensor
) -> dict[str, torch.Tensor]:
    """S_V by methods that are not BIKE's."""
    ends = torch.from_numpy(tokenize([f"This is a video about {n}" for n in NAMES])).argmax(-1)
    unmasked = (torch.arange(words.shape[1])[None] <= ends[:, None]).float()
    video = recognise.unit(recognise.saliency(h, words) @ recognise.unit(h))
    return {
        "mean pooling": recognise.dot_product(h, category),
        "doubled temperature": recognise.concept_spotting(h, words, category, tau=0.02),
        "padding masked": recognise.concept_spotting(h, words, category, unmasked),
        "video vector normalised again": (video * recognise.unit(category)).sum(-1),
        "header without its residual": recognise.concept_spotting(h - plain, words, category),
    }


def test_wrong_methods_miss_by_ten_times_the_tolerance(golden, tmp_path: Path):
    c = load(rc.save(tmp_path / "c.pt", "bike", "tiny", header=True))
    category, words = towers.encode_words(c, tokenize([f"This is a video about {n}" for n in NAMES]))
    for name, found in wrong_ways(
        golden["aggregated.transf"], golden["embeddings"], torch.from_numpy(words), torch.from_numpy(category)
    ).items():
        assert (found - golden["s_v.vcs.transf"]).abs().max() > 10 * 1e-4, name
