"""Compares a bundle with its checkpoint on one clip: PyTorch, onnxruntime, and bike-edge if it is found.

PyTorch computes everything from the checkpoint: its own text tower encodes the categories at all 77 positions, and its
own frame encoder the frames. onnxruntime uses the bundle's graphs and tables. bike-edge runs twice (`classify --json
--raw`): on the sampled frames as Pillow resized them, where the pixels are equal and only arithmetic can differ, and on
the clip itself, where it also decodes, samples and resizes.
"""

import json
import shutil
import subprocess
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from .bundle_runner import BundleRunner
from .checkpoint import Checkpoint
from .export.attributes import AttributeBranch, prompt_ensemble, read_branch
from .export.inputs import load_checkpoint
from .export.source_bundle import precision_of, read_manifest, refuse_other_checkpoint, refuse_other_heads
from .model.frames import prepare, resized, sample
from .model.scoring import TAU, attribute_scores, concept_spotting, dot_product, fuse
from .model.towers import encode_frames, encode_words, temporal
from .problem import Problem
from .text.lists import read_prompts
from .text.tokenizer import TooLong, tokenize

# The largest differences that are allowed. Half precision and int8 round, so embeddings are compared by cosine distance
# there; fp32 is for exact comparisons. Fused scores have no limit of their own in fp16 and int8: they are softmaxes at
# a scale of about 100, which magnifies differences of S_V. `check_fusion` checks that each runtime fuses correctly.
TOLERANCE = {
    "fp32": {"embedding": 1e-4, "s_v": 1e-4, "s_a": 1e-3, "scores": 1e-3},
    "fp16": {"embedding": 1e-3, "s_v": 2e-2, "s_a": 2e-2, "scores": None},
    "int8": {"embedding": 2e-2, "s_v": 5e-2, "s_a": 5e-2, "scores": None},
}
# For bike-edge against onnxruntime, on the same graph and the same pixels. Rounding to int8 and f16 magnifies
# differences of the last bit, so the limits are larger there.
RUNTIME = {
    "fp32": {"embedding": 1e-5, "s_v": 1e-4, "s_a": 1e-4, "scores": 1e-3},
    "fp16": {"embedding": 1e-3, "s_v": 1e-2, "s_a": 1e-2, "scores": None},
    "int8": {"embedding": 1e-3, "s_v": 1e-2, "s_a": 1e-2, "scores": None},
}
WORD_BOUND = 1e-3  # change of S_V by compacted tables, if the manifest has no bound
FUSION = 1e-4  # of scores fused from given S_V and S_A
PICTURES = 12
PIXELS = 2e-3  # change of a cosine by the rounding of another decoder and resize
TIMEOUT_S = 600


@dataclass
class Result:
    """The results of one runtime for the clip: scores [K], and embeddings [T, D] before the header, not normalised."""

    frames: list[int]
    embeddings: np.ndarray
    s_v: np.ndarray
    s_a: np.ndarray | None = None
    scores: np.ndarray | None = None
    phrases: list[str] = field(default_factory=list)


def generate_clip(folder: Path, size: int) -> Path:
    """Writes a folder of pictures that differ from each other: smooth random colours."""
    folder.mkdir(exist_ok=True)
    rng = np.random.default_rng(7)
    for i in range(PICTURES):
        cells = 2 + i % 4
        small = Image.fromarray(rng.integers(0, 256, (cells, cells, 3), np.uint8))
        small.resize((size * 3 // 2, size * 5 // 4), Image.Resampling.BICUBIC).save(folder / f"img_{i + 1:05d}.png")
    return folder


def save_resized(images: list[Image.Image], shorter: int, folder: Path) -> Path:
    """Writes frames whose shorter side needs no more resizing, so that every reader gets the same pixels."""
    folder.mkdir()
    for i, image in enumerate(images):
        resized(image.convert("RGB"), shorter).save(folder / f"img_{i + 1:05d}.png")
    return folder


def run_pytorch(
    runner: BundleRunner,
    video: Checkpoint,
    branch: AttributeBranch,
    prompts: list[str],
    frames: list[int],
    pixels: np.ndarray,
    phrases: list[str],
) -> Result:
    """Computes the reference from the checkpoint. `phrases` are the attributes that the bundle's tables retrieve."""
    v = encode_frames(video, torch.from_numpy(pixels))
    h = temporal(video, v[None])[0]
    tokens = tokenize([prompts[0].replace("{}", n) for n in runner.categories], video.shape.context)
    sentence, words = encode_words(video, tokens)
    category = sentence if len(prompts) == 1 else prompt_ensemble(video, runner.categories, prompts, "categories")
    centre = torch.from_numpy(category)
    s_v = (
        concept_spotting(h, torch.from_numpy(words), centre, tau=TAU)
        if runner.model["interaction"] == "vcs"
        else dot_product(h, centre)
    )
    result = Result(frames, v.numpy(), s_v.numpy(), phrases=phrases)
    if phrases:
        text = prompts[0].replace("{}", ",".join(phrases))
        try:
            attribute_sentence, _ = encode_words(branch.sentence, tokenize([text], video.shape.context))
        except TooLong:
            return result
        attribute_category = (
            centre
            if branch.sentence is video
            else torch.from_numpy(prompt_ensemble(branch.sentence, runner.categories, prompts, "categories"))
        )
        s_a = attribute_scores(torch.from_numpy(attribute_sentence[0]), attribute_category, branch.sentence.heads)
        result.s_a = s_a.numpy()
        result.scores = fuse(s_v, s_a, runner.model["lambda"], runner.model["logit_scale"]).numpy()
    return result


def run_onnxruntime(runner: BundleRunner, frames: list[int], pixels: np.ndarray, *, text_tower: bool) -> Result:
    """Runs the bundle with onnxruntime and numpy. `text_tower`: S_A comes from the text tower in the bundle."""
    v = runner.embed("visual.onnx", pixels)
    s_v = runner.video_scores(v)
    result = Result(frames, v, s_v)
    if runner.phrases:
        own = runner.model["attribute_encoder"] == "own"
        top = runner.retrieve(runner.embed("attribute_visual.onnx", pixels) if own else v)
        result.phrases = [runner.phrases[i] for i in top]
        result.s_a = runner.attribute_scores(top, text_tower=text_tower)
        result.scores = fused(runner, s_v, result.s_a)
    return result


def fused(runner: BundleRunner, s_v: np.ndarray, s_a: np.ndarray) -> np.ndarray:
    """Returns the fused scores of S_V and S_A."""
    scores = fuse(torch.from_numpy(s_v), torch.from_numpy(s_a), runner.model["lambda"], runner.model["logit_scale"])
    return scores.numpy()


def supports_text_towers(binary: Path) -> bool:
    """Returns whether this build of bike-edge can run a text tower."""
    return "--attributes" in run_program([str(binary), "classify", "--help"], check=False)


def run_program(command: list[str], *, check: bool = True) -> str:
    """Runs bike-edge and returns its standard output."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired as e:
        raise Problem(f"{' '.join(command)}: no result within {TIMEOUT_S} s; use a shorter --clip") from e
    if check and done.returncode:
        reason = done.stderr.strip() or "it printed no reason, so run it alone to see more"
        raise Problem(f"{' '.join(command)}: exit code {done.returncode}; {reason}")
    return done.stdout


def run_binary(binary: Path, bundle: Path, clip: Path, *, text_tower: bool, options: tuple[str, ...] = ()) -> Result:
    """Runs bike-edge on one view of the clip. `--top` is larger than any bundle, to get all scores.

    Without `text_tower`, S_A is computed as the bundle's manifest says.
    """
    command = [str(binary), "classify", str(clip), "--bundle", str(bundle), "--json", "--raw", "--top", "65536"]
    command += [*options, *(["--attributes", "tower"] if text_tower else [])]
    try:
        raw = json.loads(run_program(command).splitlines()[0])
        confidence = {r["label"]: r["confidence"] for r in raw["results"]}
        return Result(
            raw["frame_indices"][0],
            np.array(raw["frame_embeddings"][0], np.float32),
            np.array(raw["s_v"]),
            np.array(raw["s_a"]) if raw.get("s_a") else None,
            np.array([confidence[label] for label in raw["labels"]]),
            [a["phrase"] for a in raw.get("attributes", [])],
        )
    except (LookupError, json.JSONDecodeError) as e:
        raise Problem(f"{binary}: its output is not that of this version of bike-edge; build it again") from e


def find_binary(path: Path | None) -> Path | None:
    """Returns the program at `path`, else the one in PATH, else the one built in this repository, else None."""
    if path:
        if not path.is_file():
            raise Problem(f"--binary {path}: no such file; build it with `make build`, or leave the option out")
        return path
    if in_path := shutil.which("bike-edge"):
        return Path(in_path)
    built = Path(__file__).resolve().parents[3] / "target" / "release" / "bike-edge"
    return built if built.is_file() else None


def unit(x: np.ndarray) -> np.ndarray:
    """Scales rows to length 1."""
    return x / np.maximum(np.linalg.norm(x, axis=-1, keepdims=True), 1e-12)


def largest_distance(a: np.ndarray, b: np.ndarray) -> float:
    """Returns the largest cosine distance of matching rows of a and b [n, D]."""
    return float((1 - (unit(a) * unit(b)).sum(-1)).max())


def print_difference(name: str, value: float, limit: float | None) -> bool:
    """Prints a difference, and returns whether it is within its limit."""
    within = limit is None or value <= limit
    verdict = "" if limit is None else (f"   (limit {limit:g})" if within else f"   OVER {limit:g}")
    print(f"  {name:<46}{value:>12.3e}{verdict}")
    return within


def top_five(scores: np.ndarray) -> list[int]:
    """Returns the indices of the five largest scores, largest first, equal ones by index."""
    return [int(i) for i in np.argsort(-scores, kind="stable")[:5]]


def print_comparison(
    title: str,
    expected: Result,
    result: Result,
    limits: dict[str, float | None],
    *,
    same_sentence: bool,
    same_order: bool = False,
) -> bool:
    """Prints the differences of two runtimes, and returns whether all are within their limits.

    `same_sentence`: both computed the attribute sentence in the same way, so that S_A can be compared. `same_order`:
    another order or another attribute is a failure; otherwise it is only printed.
    """
    ok = True

    def line(name: str, value: float, limit: float | None) -> None:
        nonlocal ok
        ok &= print_difference(name, value, limit)

    print(f"{title}:")
    if result.frames != expected.frames:
        print(f"  frames differ: {result.frames}, not {expected.frames}")
        return False
    distance = largest_distance(result.embeddings, expected.embeddings)
    line("frame embeddings, largest cosine distance", distance, limits["embedding"])
    rows = np.abs(unit(result.embeddings) - unit(expected.embeddings))
    line("frame embeddings, largest difference of unit rows", float(rows.max()), None)
    line("S_V, largest difference", float(np.abs(result.s_v - expected.s_v).max()), limits["s_v"])
    same_phrases = result.phrases == expected.phrases
    comparable = same_sentence and same_phrases
    orders = [("S_V", result.s_v, expected.s_v)]
    if result.s_a is not None and expected.s_a is not None:
        name = "S_A, largest difference" + ("" if same_sentence else " (no text tower)")
        line(name, float(np.abs(result.s_a - expected.s_a).max()), limits["s_a"] if comparable else None)
        if result.scores is not None and expected.scores is not None and comparable:
            change = float(np.abs(result.scores - expected.scores).max())
            line("fused scores, largest difference", change, limits["scores"])
            orders.append(("fused scores", result.scores, expected.scores))
    for name, scores, expected_scores in orders:
        a, b = top_five(scores), top_five(expected_scores)
        print(f"  top {len(b)} by {name}: {'the same order' if a == b else f'{a}, not {b}'}")
        ok &= a == b or not same_order
    if not same_phrases:
        print(f"  attributes differ: {result.phrases}, not {expected.phrases}")
        ok &= not same_order
    return ok


def check_fusion(runner: BundleRunner, result: Result) -> bool:
    """Prints how far fused scores are from the fusion of the runtime's own S_V and S_A."""
    if result.s_a is None or result.scores is None:
        return True
    change = float(np.abs(fused(runner, result.s_v, result.s_a) - result.scores).max())
    return print_difference("fused scores, from its own S_V and S_A", change, FUSION)


def check_attribute_encoder(runner: BundleRunner, retrieval: Checkpoint, pixels: np.ndarray, limit: float) -> bool:
    """Prints how far the attribute encoder's embeddings are from the checkpoint's."""
    expected = encode_frames(retrieval, torch.from_numpy(pixels)).numpy()
    distance = largest_distance(runner.embed("attribute_visual.onnx", pixels), expected)
    return print_difference("attribute encoder, largest cosine distance", distance, limit)


def compare(
    bundle: Path,
    checkpoint: Path,
    *,
    clip: Path | None,
    binary: Path | None,
    activation: str | None,
    attribute_checkpoint: Path | None,
    attribute_clip: Path | None,
    prompts: list[str] | None,
) -> bool:
    """Prints all differences, and returns whether they are within the tolerance."""
    manifest = read_manifest(bundle)
    runner = BundleRunner(bundle, manifest)
    video = load_checkpoint(checkpoint, activation)
    refuse_other_checkpoint(bundle, video)
    own_encoder = runner.model.get("attribute_encoder", "same") == "own"
    branch = read_branch(
        video,
        attribute_checkpoint=attribute_checkpoint,
        attribute_clip=attribute_clip,
        attribute_encoder=("own" if own_encoder else "same") if attribute_clip else None,
        activation=activation,
    )
    if own_encoder and not attribute_clip:
        raise Problem(f"{bundle}: was made with an attribute encoder of its own; add --attribute-clip FILE")
    refuse_other_heads(bundle, runner.has_heads, branch.trained)
    prompts = read_prompts(prompts or runner.model.get("prompts"))
    precision = precision_of(bundle / "visual.onnx")
    limits = dict(TOLERANCE[precision])
    if not runner.exact_words:
        limits["s_v"] += manifest.get("quality", {}).get("word_s_v_change_bound", WORD_BOUND)
    p = manifest["preprocess"]
    program = find_binary(binary)
    with tempfile.TemporaryDirectory() as temporary:
        clip = clip or generate_clip(Path(temporary) / "generated", p["crop"])
        frames, images = sample(clip, runner.model["window"])
        pixels = np.stack([prepare(i, p["resize"], p["crop"], p["mean"], p["std"]) for i in images])
        words = "exact" if runner.exact_words else "compacted"
        print(f"{bundle}, {precision}, {words} words; {clip.name}, frames {frames}")
        result = run_onnxruntime(runner, frames, pixels, text_tower=runner.has_text_tower)
        expected = run_pytorch(runner, video, branch, prompts, frames, pixels, result.phrases)
        ok = print_comparison(
            "onnxruntime against PyTorch", expected, result, limits, same_sentence=runner.has_text_tower
        )
        if own_encoder and runner.phrases:
            ok &= check_attribute_encoder(runner, branch.retrieval, pixels, limits["embedding"])
        if program:
            text_tower = runner.has_text_tower and supports_text_towers(program)
            if text_tower != runner.has_text_tower:
                result = run_onnxruntime(runner, frames, pixels, text_tower=False)
            whole = run_binary(program, bundle, clip, text_tower=text_tower)
            stills = save_resized(images, p["resize"], Path(temporary) / "same-pixels")
            same_pixels = run_binary(program, bundle, stills, text_tower=text_tower)
            ok &= same_pixels.frames == list(range(len(frames)))
            same_pixels.frames = frames
            ok &= print_comparison(
                f"{program.name} against onnxruntime, same pixels",
                result,
                same_pixels,
                RUNTIME[precision],
                same_sentence=True,
                same_order=precision == "fp32",
            )
            ok &= check_fusion(runner, same_pixels)
            ok &= print_comparison(
                f"{program.name} against PyTorch, same pixels",
                expected,
                same_pixels,
                limits,
                same_sentence=text_tower,
                same_order=precision == "fp32" and runner.exact_words,
            )
            with_pixels = {k: v and v + (50 if k == "scores" else 1) * PIXELS for k, v in limits.items()}
            ok &= print_comparison(
                f"{program.name} on the clip itself, against PyTorch",
                expected,
                whole,
                with_pixels,
                same_sentence=text_tower,
            )
        else:
            print("bike-edge: not compared, because no program was found; add --binary PATH")
    print("within tolerance" if ok else "NOT within tolerance")
    return ok
