"""Full-size checkpoints agree with PyTorch in onnxruntime and in bike-edge: B/32 by default, others with -m slow.

A checkpoint is exported exactly and in int8. The interaction and the use of the header are settings of the manifest, so
the same graphs serve all cases.
"""

import functools
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

import random_checkpoints as rc
from bike_export.__main__ import main
from bike_export.bundle_runner import BundleRunner
from bike_export.checkpoint import Checkpoint, load
from bike_export.model.scoring import concept_spotting, dot_product
from bike_export.model.towers import encode_frames, encode_words, temporal
from bike_export.text.tokenizer import tokenize
from running_binary import classify, cosine_distances
from small_clips import save_tensors
from test_bundles import manifest

ARCHES = [
    pytest.param("B/32", marks=pytest.mark.b32),
    pytest.param("B/16", marks=pytest.mark.slow),
    pytest.param("L/14", marks=pytest.mark.slow),
    pytest.param("L/14@336", marks=pytest.mark.slow),
]


class Case:
    """The checkpoint of one architecture, eight pictures, their embeddings by PyTorch, and the bundles."""

    def __init__(self, arch: str, folder: Path, labels: Path):
        self.arch, self.folder, self.labels = arch, folder, labels
        self.path = rc.save(folder / "full.pt", "bike", arch, header=True, half_precision=True)
        self.c: Checkpoint = load(self.path)
        assert self.c.shape.name == f"ViT-{arch}".replace("@336", "@336px")
        size = self.c.shape.size
        pictures = torch.randint(
            0, 256, (8, 3, size, size), dtype=torch.uint8, generator=torch.Generator().manual_seed(3)
        )
        self.frames = rc.normalised(pictures)
        self.clip = save_tensors(pictures, folder / "stills")
        self.expected = encode_frames(self.c, self.frames).numpy()
        self.bundles: dict[str, Path] = {}

    def bundle(self, precision: str) -> Path:
        """Returns the bundle with the header. Frames are not resized, so that every reader has the same pixels."""
        if precision not in self.bundles:
            out = self.folder / precision
            words = ["--exact-words"] if precision == "fp32" else []
            command = [str(self.path), "--labels", str(self.labels), "--out", str(out), "--window", "8", *words]
            assert main([*command, "--precision", precision, "--resize", str(self.c.shape.size)]) == 0
            self.bundles[precision] = out
        return self.bundles[precision]

    def variant(self, precision: str, interaction: str, header: bool) -> Path:
        """Returns the same graphs and tables with another manifest."""
        source = self.bundle(precision)
        out = self.folder / f"{precision}-{interaction}-{header}"
        if out.exists():
            return out
        out.mkdir()
        text = (source / "bundle.toml").read_text().replace('interaction = "vcs"', f'interaction = "{interaction}"')
        if not header:
            text = text.replace('header = "transf"', 'header = "none"')
            before, _, after = text.partition('[files."temporal.onnx"]')
            text = before + after.partition("\n\n")[2]
        (out / "bundle.toml").write_text(text)
        for file in manifest(out)["files"]:
            (out / file).hardlink_to(source / file)
        return out

    @functools.cached_property
    def text(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Returns categories [K, D] and all their words [K, 77, D]."""
        names = (self.bundle("fp32") / "categories.txt").read_text().splitlines()
        category, words = encode_words(self.c, tokenize([f"This is a video about {n}" for n in names]))
        return torch.from_numpy(category), torch.from_numpy(words)

    def score(self, interaction: str, header: bool) -> np.ndarray:
        """Returns S_V [K] by PyTorch."""
        v, (category, words) = torch.from_numpy(self.expected), self.text
        h = temporal(self.c, v[None])[0] if header else v
        spot = interaction == "vcs"
        return (concept_spotting(h, words, category) if spot else dot_product(h, category)).numpy()


@pytest.fixture(scope="module", params=ARCHES)
def case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, samples):
    folder = tmp_path_factory.mktemp("full")
    yield Case(request.param, folder, samples["labels"])
    shutil.rmtree(folder)


@pytest.mark.parametrize(("precision", "limit"), [("fp32", 1e-4), ("int8", 0.02)])
def test_onnxruntime_agrees_with_pytorch(case: Case, precision: str, limit: float):
    folder = case.bundle(precision)
    b = BundleRunner(folder, manifest(folder))
    v = b.embed("visual.onnx", case.frames.numpy())
    change = np.abs(b.video_scores(v) - case.score("vcs", True)).max()
    size = (folder / "visual.onnx").stat().st_size / 1e6
    distance = cosine_distances(v, case.expected).max()
    print(f"\n{case.arch} {precision}: visual {size:.1f} MB, 1 - cosine {distance:.2e}, S_V {change:.2e}")
    assert change < limit


@pytest.mark.parametrize("header", [True, False])
@pytest.mark.parametrize("interaction", ["vcs", "dp"])
def test_exact_bundles_agree_in_the_program(program: Path, case: Case, interaction: str, header: bool):
    """fp32 with exact words has the embeddings, S_V and order of PyTorch."""
    folder = case.variant("fp32", interaction, header)
    found = classify(program, folder, case.clip)
    expected = case.score(interaction, header)
    distance, change = cosine_distances(found.embeddings[0], case.expected).max(), np.abs(found.s_v - expected).max()
    print(f"\n{case.arch} {interaction}, header {header}: 1 - cosine {distance:.1e}, S_V {change:.1e}")
    assert distance < 1e-5 and change < 1e-4
    assert list(np.argsort(-found.s_v)[:5]) == list(np.argsort(-expected)[:5])


def test_int8_in_the_program_agrees_with_onnxruntime(program: Path, case: Case):
    """Embeddings agree with onnxruntime within 1e-3. The distance of both to f32 is printed."""
    folder = case.bundle("int8")
    found = classify(program, folder, case.clip)
    by_runtime = BundleRunner(folder, manifest(folder)).embed("visual.onnx", case.frames.numpy())
    distance = cosine_distances(found.embeddings[0], by_runtime).max()
    print(f"\n{case.arch} int8: 1 - cosine to onnxruntime {distance:.1e}, to f32", end=" ")
    print(f"{cosine_distances(found.embeddings[0], case.expected).max():.1e}")
    assert distance < 1e-3
