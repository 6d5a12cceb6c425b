"""The program itself on exported bundles: it accepts them and computes what PyTorch computes.

Skipped where there is no program; BIKE_EDGE names one, and one in PATH or in target/release is found.
"""

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import random_checkpoints as rc
import torch
from asking import ask, drifting, save_gif
from bike_export.__main__ import main
from bike_export.checkpoint import load
from bike_export.export.attributes import Branch
from bike_export.model.frames import prepare, sample
from bike_export.model.towers import encode_frames
from bike_export.reader import Bundle
from bike_export.text.tokenizer import TooLong, tokenize
from bike_export.verify import best, by_binary, by_pytorch, save_resized
from safetensors.numpy import load_file
from test_bundles import EXACT, manifest

DATA = Path(__file__).resolve().parents[3] / "tests" / "data"
SMALL = ("--window", "8", "--resize", "64")


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The clip of the repository, or a drawn one where nothing but the program could read that."""
    if shutil.which("ffmpeg"):
        return DATA / "clip.mp4"
    return save_gif(drifting((320, 240), 41, 4), tmp_path_factory.mktemp("clip") / "drawn.gif")


def agrees(program: Path, clip: Path, bundle: Path, *checkpoints: str) -> bool:
    """Whether the program takes the bundle and is within tolerance of PyTorch and of onnxruntime on a clip."""
    checked = subprocess.run([program, "bundle", "verify", bundle], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout + checked.stderr
    return main(["verify", str(bundle), *checkpoints, "--clip", str(clip), "--binary", str(program)]) == 0


@pytest.mark.parametrize("interaction", ["vcs", "dp"])
@pytest.mark.parametrize("checkpoint", ["bike", "bike-header", "archive"])
def test_exact_bundles(made, export, program: Path, clip: Path, checkpoint: str, interaction: str):
    bundle = export(checkpoint, *EXACT, *SMALL, "--interaction", interaction, "--lexicon", str(made["lexicon"]))
    assert agrees(program, clip, bundle, str(made[checkpoint]))


@pytest.mark.parametrize("precision", ["int8", "fp16"])
def test_other_precisions_and_the_composer(made, export, program: Path, clip: Path, precision: str):
    lexicon = ("--lexicon", str(made["lexicon"]), "--tuples", "400")
    bundle = export("bike-header", *SMALL, "--precision", precision, *lexicon)
    assert "composer.onnx" in manifest(bundle)["files"]
    assert agrees(program, clip, bundle, str(made["bike-header"]))


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_words_that_are_mixed(export, made, program: Path, clip: Path, tmp_path: Path, precision: str):
    """The program mixes similarities where onnxruntime's reader makes the words, from the same table."""
    labels = tmp_path / "labels.csv"
    labels.write_text("id,name\n" + "".join(f"{i},doing thing number {i} twice\n" for i in range(60)))
    words = ("--labels", str(labels), "--word-bound", "0.02")
    bundle = export("bike", *SMALL, "--precision", precision, *words, "--interaction", "vcs")
    tensors = load_file(str(bundle / "categories.safetensors"))
    assert tensors["word_mix"].dtype == {"fp32": np.float32, "int8": np.int8}[precision]
    assert len(set(tensors["word_rows"])) > 1
    if precision == "fp32":
        assert agrees(program, clip, bundle, str(made["bike"]))
    b, seen = Bundle(bundle, manifest(bundle)), ask(program, bundle, clip)
    change = np.abs(b.video_scores(seen.embeddings[0]) - seen.s_v).max()
    print(f"\n{change:.1e}")
    assert change < 1e-5


@pytest.mark.parametrize("precision", [EXACT, ("--precision", "int8")])
def test_openclips_gelu(made, export, program: Path, clip: Path, tmp_path: Path, precision: tuple[str, ...]):
    """The same weights are another model with GELU by the error function; no tolerance hides which."""
    folder = rc.save_hugging_face(tmp_path / "gelu", rc.clip_state("tiny"), "tiny", activation="gelu")
    torch.manual_seed(0)
    frames = torch.randn(4, 3, 48, 48)
    gelu, quick = (encode_frames(load(c), frames) for c in (folder, made["hugging-face"]))
    assert (gelu - quick).abs().amax(1).min() > 1e-3 * gelu.abs().max()
    bundle = export(str(folder), *precision, *SMALL, "--lexicon", str(made["lexicon"]), "--tuples", "40", "--keep-text")
    assert agrees(program, clip, bundle, str(folder))


def test_trained_heads_and_a_text_tower(made, export, program: Path, clip: Path):
    attributes = ("--attribute-checkpoint", str(made["bike-attributes"]))
    lexicon = ("--lexicon", str(made["lexicon"]), "--tuples", "40", "--keep-text")
    bundle = export("bike", *EXACT[:3], *SMALL, *lexicon, *attributes)
    assert agrees(program, clip, bundle, str(made["bike"]), *attributes)


def test_attribute_encoder_of_its_own(made, export, program: Path, clip: Path):
    other = ("--attribute-clip", str(made["other-clip"]))
    bundle = export("bike", *EXACT, *SMALL, "--lexicon", str(made["lexicon"]), *other)
    assert agrees(program, clip, bundle, str(made["bike"]), *other)


def texts(prompts: list[str]) -> list[str]:
    """Texts of all kinds that fit these prompts and can stand on a line of a list."""
    written = [g["text"].strip() for g in json.loads((DATA / "text" / "tokens.json").read_text())]
    # A line of a list is in one case, printable, and short.
    unlike = {t.lower(): t for t in written if t and t.isprintable() and len(t.encode()) <= 512}
    found = []
    for text in unlike.values():
        try:
            tokenize([p.replace("{}", text) for p in prompts])
            found.append(text)
        except TooLong:
            continue
    return found


ENSEMBLE = ["a film of {}, close", "This is a video about {}"]


@pytest.mark.parametrize(
    ("checkpoint", "heads", "prompts"),
    [("bike-header", False, None), ("archive", False, ENSEMBLE), ("bike", True, None)],
)
def test_any_text_is_a_category(
    made, export, program: Path, clip: Path, tmp_path: Path, checkpoint: str, heads: bool, prompts: list[str] | None
):
    """Categories that no table knows, S_A through tower and heads: PyTorch's numbers, with all of CLIP's merges."""
    options = [f"--prompt={p}" for p in prompts or []] + ["--lexicon", str(made["lexicon"]), "--keep-text"]
    options += ["--attribute-checkpoint", str(made["bike-attributes"])] if heads else []
    folder = export(checkpoint, *EXACT, *SMALL, *options)
    checked = subprocess.run([program, "bundle", "verify", folder], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout
    b = Bundle(folder, manifest(folder))
    b.categories = texts(b.model["prompts"])
    assert len(b.categories) > 200
    (tmp_path / "names.txt").write_text("\n".join(b.categories) + "\n", encoding="utf-8")
    frames, images = sample(clip, 8)
    size, p = 64, b.manifest["preprocess"]
    pixels = np.stack([prepare(i, size, p["crop"], p["mean"], p["std"]) for i in images])
    stills = save_resized(images, size, tmp_path / "stills")
    found = by_binary(program, folder, stills, tower=True, more=("--categories", str(tmp_path / "names.txt")))
    video = load(made[checkpoint])
    branch = Branch(load(made["bike-attributes"]) if heads else video, video, False)
    truth = by_pytorch(b, video, branch, b.model["prompts"], frames, pixels, found.phrases)
    assert np.abs(found.s_v - truth.s_v).max() < 1e-4
    assert np.abs(found.s_a - truth.s_a).max() < 1e-3
    assert np.ptp(truth.s_v) > 0.01 and np.ptp(truth.s_a) > 0.01
    for ours, theirs in ((found.s_v, truth.s_v), (found.s_a, truth.s_a), (found.scores, truth.scores)):
        assert best(ours) == best(theirs)


def test_a_bundle_that_names_its_tower_uses_it(made, export, program: Path, clip: Path):
    folder = export("bike", *EXACT, *SMALL, "--lexicon", str(made["lexicon"]), "--keep-text")
    told = by_binary(program, folder, clip, tower=True)
    text = (folder / "bundle.toml").read_text()
    (folder / "bundle.toml").write_text(text.replace('attribute_scores = "mean"', 'attribute_scores = "tower"'))
    assert (by_binary(program, folder, clip, tower=False).s_a == told.s_a).all()
