"""bike-edge agrees with the published code (whwu95/BIKE at e8f6a8b) on frames whose embeddings differ."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import random_checkpoints as rc
from bike_export.checkpoint import load
from bike_export.model import towers
from bike_export.text.tokenizer import tokenize
from published_case import SENTENCES, wrong_methods
from running_binary import classify
from small_clips import save_tensors
from test_bundles import EXACT
from test_published import DATA

TOLERANCE = 1e-4  # of S_V, in fp32 with exact words


@pytest.fixture(scope="module")
def golden() -> dict[str, torch.Tensor]:
    return load_file(DATA)


@pytest.mark.parametrize("header", ["none", "transf"])
@pytest.mark.parametrize("interaction", ["vcs", "dp"])
def test_the_program_gives_the_published_scores(
    program: Path, export, golden, tmp_path: Path, header: str, interaction: str
):
    path = rc.save(tmp_path / "c.pt", "bike", "tiny", header=header == "transf")
    bundle = export(str(path), *EXACT, "--window", "8", "--interaction", interaction)
    found = classify(program, bundle, save_tensors(golden["pictures"], tmp_path / "stills"))
    assert found.frames == [list(range(8))]
    assert np.abs(found.embeddings[0] - golden["embeddings"].numpy()).max() < 1e-4
    expected = golden[f"s_v.{interaction}.{header}"].numpy()
    print(f"{interaction} {header}: S_V {np.abs(found.s_v - expected).max():.1e}")
    assert np.abs(found.s_v - expected).max() < TOLERANCE
    assert list(np.argsort(-found.s_v)[:5]) == list(np.argsort(-expected)[:5])


def test_wrong_methods_differ_from_the_program_by_ten_times_the_tolerance(
    program: Path, export, golden, tmp_path: Path
):
    path = rc.save(tmp_path / "c.pt", "bike", "tiny", header=True)
    c, bundle = load(path), export(str(path), *EXACT, "--window", "8")
    found = classify(program, bundle, save_tensors(golden["pictures"], tmp_path / "stills")).s_v
    category, words = towers.encode_words(c, tokenize(SENTENCES))
    wrong = wrong_methods(
        golden["aggregated.transf"], golden["embeddings"], torch.from_numpy(words), torch.from_numpy(category)
    )
    for name, scores in wrong.items():
        assert np.abs(found - scores.numpy()).max() > 10 * TOLERANCE, name
