"""The demo bundle in the repository is valid and useful, and its recipe makes the same tables again."""

import tomllib
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from bike_export.check import check_bundle

ROOT = Path(__file__).resolve().parents[3]
BUNDLE = ROOT / "models" / "demo"


@pytest.fixture(scope="module")
def rebuilt(tmp_path_factory) -> Path:
    """Builds the bundle with few tuples for the composer, because only the tables are compared."""
    import torch

    from bike_export.demo.build import build

    torch.set_num_threads(2)
    out = tmp_path_factory.mktemp("demo") / "bundle"
    build(out, ROOT / "models" / "lexicon", count=30)
    return out


def manifest(folder: Path) -> dict:
    return tomllib.loads((folder / "bundle.toml").read_text(encoding="utf-8"))


def rows(tensors: dict[str, np.ndarray], name: str) -> np.ndarray:
    return tensors[name].astype(np.float32) * tensors[f"{name}_scale"][..., None]


def test_the_bundle_is_valid_and_small():
    assert check_bundle(BUNDLE) == []
    assert sum(f.stat().st_size for f in BUNDLE.iterdir()) <= 40_000_000


def test_a_changed_byte_is_found(tmp_path):
    for file in BUNDLE.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    data = bytearray((tmp_path / "categories.safetensors").read_bytes())
    data[-1] ^= 1
    (tmp_path / "categories.safetensors").write_bytes(data)
    assert any("sha256" in p for p in check_bundle(tmp_path))


def test_the_lexicon_is_large_and_has_common_things():
    phrases = set((BUNDLE / "lexicon.txt").read_text(encoding="utf-8").splitlines())
    assert len(phrases) >= 2000
    assert {"a desk", "a cup", "a mobile phone", "a keyboard", "a kitchen", "a street", "a dog", "a cat"} <= phrases


def test_the_composer_is_better_than_the_mean_of_phrases():
    quality = manifest(BUNDLE)["quality"]
    for figure in ("cosine", "centred_cosine", "top1_agreement", "spearman"):
        assert quality[f"composer_{figure}"] > quality[f"phrase_mean_{figure}"]


def test_the_composer_is_near_the_text_tower_on_the_goldens():
    golden = load_file(str(ROOT / "tests" / "data" / "golden_demo.safetensors"))
    composed = golden["composed"] / np.linalg.norm(golden["composed"], axis=1, keepdims=True)
    mean = golden["phrases"].mean(1)
    mean /= np.linalg.norm(mean, axis=1, keepdims=True)
    cosine, of_mean = (composed * golden["sentence"]).sum(1), (mean * golden["sentence"]).sum(1)
    assert cosine.min() > 0.8 and cosine.mean() > of_mean.mean()


def test_the_text_tower_is_minilm(tmp_path: Path):
    from bike_export.demo import text_tower
    from bike_export.demo.minilm import MiniLM

    tower = MiniLM()
    lists = (ROOT / "models" / "lexicon" / "actions.txt").read_text(encoding="utf-8").splitlines()
    texts = [line for line in lists if line and not line.startswith("#")][:50]
    exact = tower.tokens(texts)
    text_tower.write_text(tmp_path / "exact.onnx", tower, "fp32", {})
    found = text_tower.run(text_tower.session(tmp_path / "exact.onnx"), tower, texts)
    assert max(np.abs(a - b).max() for a, b in zip(exact, found, strict=True)) < 1e-5
    stored = text_tower.run(text_tower.session(BUNDLE / "text.onnx"), tower, texts)
    a, b = (np.stack([t.mean(0) for t in rows]) for rows in (exact, stored))
    cosine = (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)
    assert cosine.mean() >= 0.999 and cosine.min() >= 0.99
    # Several texts in one run have the rows of each by itself.
    ids = [tower.tokenizer.encode(t).ids for t in texts[:4]]
    together = text_tower.session(tmp_path / "exact.onnx").run(None, {"texts": text_tower.pack(ids)})[0][0]
    assert np.abs(together[: sum(map(len, ids))] - np.concatenate(exact[:4])).max() < 1e-5


@pytest.mark.slow  # builds the whole demo, which takes minutes
def test_rebuilding_gives_the_same_tables_within_rounding(rebuilt):
    assert check_bundle(rebuilt) == []
    for name in ("categories.txt", "lexicon.txt"):
        assert (rebuilt / name).read_bytes() == (BUNDLE / name).read_bytes()
    for file, names in (("categories", ("category", "word")), ("lexicon", ("retrieval", "word"))):
        old, new = (load_file(str(f / f"{file}.safetensors")) for f in (BUNDLE, rebuilt))
        assert np.allclose(old["word_weight"], new["word_weight"], atol=1e-6)
        for name in names:
            assert np.abs(rows(old, name) - rows(new, name)).max() < 0.01


@pytest.mark.slow  # builds the whole demo, which takes minutes
def test_rebuilding_gives_the_same_frame_encoder(rebuilt):
    import onnxruntime

    x = np.random.default_rng(0).normal(size=(1, 3, 224, 224)).astype(np.float32)
    a, b = (
        onnxruntime.InferenceSession(str(f / "visual.onnx")).run(None, {"frame": x})[0][0] for f in (BUNDLE, rebuilt)
    )
    assert (a * b).sum() / np.linalg.norm(a) / np.linalg.norm(b) > 0.9999
