"""bike-edge accepts exported bundles and computes the same as PyTorch.

Skipped if bike-edge is not built (see the fixture `program`).
"""

import json
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

import random_checkpoints as rc
from bike_export.__main__ import main
from bike_export.bundle_runner import BundleRunner
from bike_export.checkpoint import load
from bike_export.export.attributes import AttributeBranch
from bike_export.model.frames import prepare, sample
from bike_export.model.towers import encode_frames
from bike_export.text.tokenizer import TooLong, tokenize
from bike_export.verify import run_binary, run_pytorch, save_resized, top_five
from running_binary import classify
from small_clips import drifting_pictures, save_gif
from test_bundles import EXACT, manifest

DATA = Path(__file__).resolve().parents[3] / "tests" / "data"
SMALL = ("--window", "8", "--resize", "64")


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Returns the clip of the repository; without ffmpeg a GIF, because Pillow cannot read the clip."""
    if shutil.which("ffmpeg"):
        return DATA / "clip.mp4"
    return save_gif(drifting_pictures((320, 240), 41, 4), tmp_path_factory.mktemp("clip") / "clip.gif")


def agrees(program: Path, clip: Path, bundle: Path, *checkpoints: str) -> bool:
    """Returns whether the program accepts the bundle and is within tolerance of PyTorch and onnxruntime on a clip."""
    checked = subprocess.run([program, "bundle", "verify", bundle], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    return main(["verify", str(bundle), *checkpoints, "--clip", str(clip), "--binary", str(program)]) == 0


@pytest.mark.parametrize("interaction", ["vcs", "dp"])
@pytest.mark.parametrize("checkpoint", ["bike", "bike-header", "archive"])
def test_exact_bundles_agree(samples, export, program: Path, clip: Path, checkpoint: str, interaction: str):
    bundle = export(checkpoint, *EXACT, *SMALL, "--interaction", interaction, "--lexicon", str(samples["lexicon"]))
    assert agrees(program, clip, bundle, str(samples[checkpoint]))


@pytest.mark.parametrize("precision", ["int8", "fp16"])
def test_int8_and_fp16_bundles_with_a_composer_agree(samples, export, program: Path, clip: Path, precision: str):
    lexicon = ("--lexicon", str(samples["lexicon"]), "--tuples", "400")
    bundle = export("bike-header", *SMALL, "--precision", precision, *lexicon)
    assert "composer.onnx" in manifest(bundle)["files"]
    assert agrees(program, clip, bundle, str(samples["bike-header"]))


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_bundles_with_mixed_words_agree(export, samples, program: Path, clip: Path, tmp_path: Path, precision: str):
    """From the same table, bike-edge mixes similarities, and BundleRunner mixes the words themselves."""
    labels = tmp_path / "labels.csv"
    labels.write_text("id,name\n" + "".join(f"{i},doing thing number {i} twice\n" for i in range(60)))
    words = ("--labels", str(labels), "--word-bound", "0.02")
    bundle = export("bike", *SMALL, "--precision", precision, *words, "--interaction", "vcs")
    tensors = load_file(str(bundle / "categories.safetensors"))
    assert tensors["word_mix"].dtype == {"fp32": np.float32, "int8": np.int8}[precision]
    assert len(set(tensors["word_rows"])) > 1
    if precision == "fp32":
        assert agrees(program, clip, bundle, str(samples["bike"]))
    b, found = BundleRunner(bundle, manifest(bundle)), classify(program, bundle, clip)
    change = np.abs(b.video_scores(found.embeddings[0]) - found.s_v).max()
    print(f"\n{change:.1e}")
    assert change < 1e-5


@pytest.mark.parametrize("precision", [EXACT, ("--precision", "int8")])
def test_bundles_with_gelu_agree(
    samples, export, program: Path, clip: Path, tmp_path: Path, precision: tuple[str, ...]
):
    """With GELU the same weights give other embeddings, by more than any tolerance."""
    folder = rc.save_hugging_face(tmp_path / "gelu", rc.clip_state("tiny"), "tiny", activation="gelu")
    torch.manual_seed(0)
    frames = torch.randn(4, 3, 48, 48)
    gelu, quick = (encode_frames(load(c), frames) for c in (folder, samples["hugging-face"]))
    assert (gelu - quick).abs().amax(1).min() > 1e-3 * gelu.abs().max()
    bundle = export(
        str(folder), *precision, *SMALL, "--lexicon", str(samples["lexicon"]), "--tuples", "40", "--keep-text"
    )
    assert agrees(program, clip, bundle, str(folder))


def test_bundles_with_trained_heads_and_a_text_tower_agree(samples, export, program: Path, clip: Path):
    attributes = ("--attribute-checkpoint", str(samples["bike-attributes"]))
    lexicon = ("--lexicon", str(samples["lexicon"]), "--tuples", "40", "--keep-text")
    bundle = export("bike", *EXACT[:3], *SMALL, *lexicon, *attributes)
    assert agrees(program, clip, bundle, str(samples["bike"]), *attributes)


def test_bundles_with_an_own_attribute_encoder_agree(samples, export, program: Path, clip: Path):
    other = ("--attribute-clip", str(samples["other-clip"]))
    bundle = export("bike", *EXACT, *SMALL, "--lexicon", str(samples["lexicon"]), *other)
    assert agrees(program, clip, bundle, str(samples["bike"]), *other)


def is_read_unchanged(text: str) -> bool:
    """Returns whether the program encodes a category as it is written, unlike `ApplyEyeMakeup` or `"brush_hair"`."""
    quoted = len(text) > 1 and text[0] in "\"'`\u201c\xab" and text[-1] in "\"'`\u201d\xbb"
    return (
        text.isprintable()
        and bool(re.sub(r"[\s-]", "", text))
        and "_" not in text
        and not quoted
        and (" " in text or text == text.lower())
    )


def texts(prompts: list[str]) -> list[str]:
    """Returns texts of all kinds that fit into these prompts and into a line of a list."""
    written = [g["text"].strip() for g in json.loads((DATA / "text" / "tokens.json").read_text())]
    # A list needs printable, short lines that differ in more than their spelling.
    unlike = {re.sub(r"[\s-]", "", t.lower()): t for t in written if is_read_unchanged(t) and len(t.encode()) <= 512}
    fitting = []
    for text in unlike.values():
        try:
            tokenize([p.replace("{}", text) for p in prompts])
            fitting.append(text)
        except TooLong:
            continue
    return fitting


ENSEMBLE = ["a film of {}, close", "This is a video about {}"]


@pytest.mark.parametrize(
    ("checkpoint", "heads", "prompts"),
    [("bike-header", False, None), ("archive", False, ENSEMBLE), ("bike", True, None)],
)
def test_any_text_can_be_a_category(
    samples, export, program: Path, clip: Path, tmp_path: Path, checkpoint: str, heads: bool, prompts: list[str] | None
):
    """Categories outside every table, and S_A through tower and heads, agree with PyTorch for all of CLIP's merges."""
    options = [f"--prompt={p}" for p in prompts or []] + ["--lexicon", str(samples["lexicon"]), "--keep-text"]
    options += ["--attribute-checkpoint", str(samples["bike-attributes"])] if heads else []
    folder = export(checkpoint, *EXACT, *SMALL, *options)
    checked = subprocess.run([program, "bundle", "verify", folder], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout
    b = BundleRunner(folder, manifest(folder))
    b.categories = texts(b.model["prompts"])
    assert len(b.categories) > 180
    (tmp_path / "names.txt").write_text("\n".join(b.categories) + "\n", encoding="utf-8")
    frames, images = sample(clip, 8)
    size, p = 64, b.manifest["preprocess"]
    pixels = np.stack([prepare(i, size, p["crop"], p["mean"], p["std"]) for i in images])
    stills = save_resized(images, size, tmp_path / "stills")
    found = run_binary(program, folder, stills, text_tower=True, options=("--categories", str(tmp_path / "names.txt")))
    video = load(samples[checkpoint])
    branch = AttributeBranch(load(samples["bike-attributes"]) if heads else video, video, False)
    truth = run_pytorch(b, video, branch, b.model["prompts"], frames, pixels, found.phrases)
    assert np.abs(found.s_v - truth.s_v).max() < 1e-4
    assert np.abs(found.s_a - truth.s_a).max() < 1e-3
    assert np.ptp(truth.s_v) > 0.01 and np.ptp(truth.s_a) > 0.01
    for scores, expected in ((found.s_v, truth.s_v), (found.s_a, truth.s_a), (found.scores, truth.scores)):
        assert top_five(scores) == top_five(expected)


def test_a_manifest_can_select_the_text_tower(samples, export, program: Path, clip: Path):
    folder = export("bike", *EXACT, *SMALL, "--lexicon", str(samples["lexicon"]), "--keep-text")
    by_flag = run_binary(program, folder, clip, text_tower=True)
    text = (folder / "bundle.toml").read_text()
    (folder / "bundle.toml").write_text(text.replace('attribute_scores = "mean"', 'attribute_scores = "tower"'))
    assert (run_binary(program, folder, clip, text_tower=False).s_a == by_flag.s_a).all()
