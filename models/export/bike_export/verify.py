"""Compares a bundle with its checkpoint on one clip: PyTorch, onnxruntime, and the binary where there is one.

PyTorch's numbers are made from the checkpoint alone: its own text tower makes the categories, all 77 positions of
them, and its own frames go in. onnxruntime's are made from the bundle's graphs and tables. The binary is asked for
all it computed (`classify --json --raw`), twice: on the sampled frames as Pillow resized them, where the pixels are the
same and only arithmetic can differ, and on the clip itself, where it also decodes, samples and resizes.
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

from .checkpoint import load
from .checkpoint.load import Checkpoint
from .export.attributes import Branch, prompted, read_branch
from .export.options import Options
from .export.relabel import precision_of, read_manifest, same_source
from .model.frames import prepare, resized, sample
from .model.recognise import TAU, attribute_scores, concept_spotting, dot_product, fuse
from .model.towers import encode_frames, encode_words, temporal
from .reader import Bundle
from .text.lists import read_prompts
from .text.tokenizer import TooLong, tokenize

# Largest differences that are allowed. Half precision and int8 round, so vectors are compared by cosine distance
# there; exactness is proven with fp32. Fused scores have no limit of their own there: they are softmaxes at a scale of
# about 100, which magnifies what S_V may differ by, and `fused_from_its_own` sees that each runtime fuses rightly.
TOLERANCE = {
    "fp32": {"embedding": 1e-4, "s_v": 1e-4, "s_a": 1e-3, "scores": 1e-3},
    "fp16": {"embedding": 1e-3, "s_v": 2e-2, "s_a": 2e-2, "scores": None},
    "int8": {"embedding": 2e-2, "s_v": 5e-2, "s_a": 5e-2, "scores": None},
}
# The binary against onnxruntime, same graph and same pixels. Rounding to int8 and f16 magnifies differences of the
# last bit, so those get more.
RUNTIME = {
    "fp32": {"embedding": 1e-5, "s_v": 1e-4, "s_a": 1e-4, "scores": 1e-3},
    "fp16": {"embedding": 1e-3, "s_v": 1e-2, "s_a": 1e-2, "scores": None},
    "int8": {"embedding": 1e-3, "s_v": 1e-2, "s_a": 1e-2, "scores": None},
}
WORD_BOUND = 1e-3  # compacted tables may change S_V by as much as the manifest says, and by this where it does not
FUSION = 1e-4  # of scores fused from given S_V and S_A
PICTURES = 12
PIXELS = 2e-3  # what another decoder's and resize's rounding may do to a cosine


@dataclass
class Result:
    """What one runtime made of the clip. Scores [K]; embeddings [T, D], not normalised, before the header."""

    frames: list[int]
    embeddings: np.ndarray
    s_v: np.ndarray
    s_a: np.ndarray | None = None
    scores: np.ndarray | None = None
    phrases: list[str] = field(default_factory=list)


def made_up_clip(folder: Path, size: int) -> Path:
    """A folder of stills that differ from each other: smooth random colours."""
    folder.mkdir(exist_ok=True)
    rng = np.random.default_rng(7)
    for i in range(PICTURES):
        cells = 2 + i % 4
        small = Image.fromarray(rng.integers(0, 256, (cells, cells, 3), np.uint8))
        small.resize((size * 3 // 2, size * 5 // 4), Image.Resampling.BICUBIC).save(folder / f"img_{i + 1:05d}.png")
    return folder


def save_resized(images: list[Image.Image], shorter: int, folder: Path) -> Path:
    """The frames as stills whose shorter side needs no more resizing, so that whoever reads them has these pixels."""
    folder.mkdir()
    for i, image in enumerate(images):
        resized(image.convert("RGB"), shorter).save(folder / f"img_{i + 1:05d}.png")
    return folder


def by_pytorch(
    b: Bundle,
    video: Checkpoint,
    branch: Branch,
    prompts: list[str],
    frames: list[int],
    pixels: np.ndarray,
    phrases: list[str],
) -> Result:
    """The reference: everything from the checkpoint. `phrases` are the attributes that the bundle's tables retrieve."""
    v = encode_frames(video, torch.from_numpy(pixels))
    h = temporal(video, v[None])[0]
    tokens = tokenize([prompts[0].replace("{}", n) for n in b.categories], video.shape.context)
    sentence, words = encode_words(video, tokens)
    category = sentence if len(prompts) == 1 else prompted(video, b.categories, prompts, "categories")
    centre = torch.from_numpy(category)
    s_v = (
        concept_spotting(h, torch.from_numpy(words), centre, tau=TAU)
        if b.model["interaction"] == "vcs"
        else dot_product(h, centre)
    )
    result = Result(frames, v.numpy(), s_v.numpy(), phrases=phrases)
    if phrases:
        text = prompts[0].replace("{}", ",".join(phrases))
        try:
            sentence_a, _ = encode_words(branch.sentence, tokenize([text], video.shape.context))
        except TooLong:
            return result
        seen = (
            centre
            if branch.sentence is video
            else torch.from_numpy(prompted(branch.sentence, b.categories, prompts, "categories"))
        )
        s_a = attribute_scores(torch.from_numpy(sentence_a[0]), seen, branch.sentence.heads)
        result.s_a = s_a.numpy()
        result.scores = fuse(s_v, s_a, b.model["lambda"], b.model["logit_scale"]).numpy()
    return result


def by_bundle(b: Bundle, frames: list[int], pixels: np.ndarray, *, tower: bool) -> Result:
    """onnxruntime over the bundle's graphs, numpy over its tables; `tower`: S_A through the text tower it carries."""
    v = b.embed("visual.onnx", pixels)
    s_v = b.video_scores(v)
    result = Result(frames, v, s_v)
    if b.phrases:
        space = b.embed("attribute_visual.onnx", pixels) if b.model["attribute_encoder"] == "own" else v
        top = b.retrieve(space)
        result.phrases = [b.phrases[i] for i in top]
        result.s_a = b.attribute_scores(top, tower=tower)
        result.scores = fuse(
            torch.from_numpy(s_v), torch.from_numpy(result.s_a), b.model["lambda"], b.model["logit_scale"]
        ).numpy()
    return result


def knows_towers(binary: Path) -> bool:
    """Whether this build of the program can run a text tower."""
    shown = subprocess.run([str(binary), "classify", "--help"], capture_output=True, text=True, timeout=60, check=False)
    return "--attributes" in shown.stdout


def by_binary(binary: Path, bundle: Path, clip: Path, *, tower: bool, more: tuple[str, ...] = ()) -> Result:
    """The program's own numbers for one view of the clip. `--top` is larger than any bundle, to get all scores.

    Without `tower` S_A is made by what the bundle names; `more` are further options.
    """
    command = [str(binary), "classify", str(clip), "--bundle", str(bundle), "--json", "--raw", "--top", "65536", *more]
    command += ["--attributes", "tower"] if tower else []
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: exit {done.returncode}: {done.stderr.strip()}")
    raw = json.loads(done.stdout.splitlines()[0])
    confidence = {r["label"]: r["confidence"] for r in raw["results"]}
    return Result(
        raw["frame_indices"][0],
        np.array(raw["frame_embeddings"][0], np.float32),
        np.array(raw["s_v"]),
        np.array(raw["s_a"]) if raw.get("s_a") else None,
        np.array([confidence[label] for label in raw["labels"]]),
        [a["phrase"] for a in raw.get("attributes", [])],
    )


def find_binary(given: Path | None) -> Path | None:
    """The program that was named, or one in PATH, or one built in this repository."""
    if given:
        if not given.is_file():
            raise FileNotFoundError(f"--binary {given}: no such file")
        return given
    if found := shutil.which("bike-edge"):
        return Path(found)
    built = Path(__file__).resolve().parents[3] / "target" / "release" / "bike-edge"
    return built if built.is_file() else None


def unit(x: np.ndarray) -> np.ndarray:
    return x / np.maximum(np.linalg.norm(x, axis=-1, keepdims=True), 1e-12)


def farthest(found: np.ndarray, truth: np.ndarray) -> float:
    """Largest cosine distance of embeddings [n, D], row by row."""
    return float((1 - (unit(found) * unit(truth)).sum(-1)).max())


def within(what: str, value: float, limit: float | None) -> bool:
    """Prints a difference and whether it is within its limit; says so too."""
    good = limit is None or value <= limit
    verdict = "" if limit is None else (f"   (limit {limit:g})" if good else f"   OVER {limit:g}")
    print(f"  {what:<46}{value:>12.3e}{verdict}")
    return good


def best(scores: np.ndarray) -> list[int]:
    """Places of the five largest, largest first, equal ones by place."""
    return [int(i) for i in np.argsort(-scores, kind="stable")[:5]]


def report(
    name: str,
    truth: Result,
    found: Result,
    limits: dict[str, float | None],
    *,
    exact_sentence: bool,
    same_order: bool = False,
) -> bool:
    """Prints one runtime's differences from another; whether all are within the limits.

    `exact_sentence`: both made the attribute sentence in the same way, so that S_A can be compared. `same_order`: another
    order, or another attribute, is a failure and not only said.
    """
    ok = True

    def line(what: str, value: float, limit: float | None) -> None:
        nonlocal ok
        ok &= within(what, value, limit)

    print(f"{name}:")
    if found.frames != truth.frames:
        print(f"  frames differ: {found.frames}, not {truth.frames}")
        return False
    line("frame embeddings, largest cosine distance", farthest(found.embeddings, truth.embeddings), limits["embedding"])
    line(
        "frame embeddings, largest difference of unit rows",
        float(np.abs(unit(found.embeddings) - unit(truth.embeddings)).max()),
        None,
    )
    line("S_V, largest difference", float(np.abs(found.s_v - truth.s_v).max()), limits["s_v"])
    same_phrases = found.phrases == truth.phrases
    both = found.s_a is not None and truth.s_a is not None
    comparable = exact_sentence and same_phrases
    if both:
        line(
            "S_A, largest difference" + ("" if exact_sentence else " (stand-in for the tower)"),
            float(np.abs(found.s_a - truth.s_a).max()),
            limits["s_a"] if comparable else None,
        )
    orders = [("S_V", found.s_v, truth.s_v)]
    if both and found.scores is not None and truth.scores is not None and comparable:
        line("fused scores, largest difference", float(np.abs(found.scores - truth.scores).max()), limits["scores"])
        orders.append(("fused scores", found.scores, truth.scores))
    for what, ours, theirs in orders:
        a, b = best(ours), best(theirs)
        print(f"  top {len(b)} by {what}: {'the same order' if a == b else f'{a}, not {b}'}")
        ok &= a == b or not same_order
    if not same_phrases:
        print(f"  attributes differ: {found.phrases}, not {truth.phrases}")
        ok &= not same_order
    return ok


def fused_from_its_own(b: Bundle, found: Result) -> bool:
    """Whether fused scores are what the runtime's own S_V and S_A make."""
    if found.s_a is None or found.scores is None:
        return True
    own = fuse(torch.from_numpy(found.s_v), torch.from_numpy(found.s_a), b.model["lambda"], b.model["logit_scale"])
    return within("fused scores, from its own S_V and S_A", float(np.abs(own.numpy() - found.scores).max()), FUSION)


def same_attribute_space(b: Bundle, retrieval: Checkpoint, pixels: np.ndarray, limit: float) -> bool:
    """Whether the attribute encoder's frames are the checkpoint's."""
    truth = encode_frames(retrieval, torch.from_numpy(pixels)).numpy()
    distance = farthest(b.embed("attribute_visual.onnx", pixels), truth)
    return within("attribute encoder, largest cosine distance", distance, limit)


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
) -> int:
    """Prints all differences; 1 if one is past its tolerance."""
    manifest = read_manifest(bundle)
    b = Bundle(bundle, manifest)
    video = load(checkpoint, activation)
    same_source(bundle, video)
    encoder = b.model.get("attribute_encoder", "same")
    o = Options(
        checkpoint,
        bundle,
        bundle,
        attribute_checkpoint=attribute_checkpoint,
        attribute_clip=attribute_clip,
        attribute_encoder=encoder if attribute_clip else None,
        activation=activation,
    )
    branch = read_branch(o, video)
    if encoder == "own" and not attribute_clip:
        raise ValueError(f"{bundle}: has an attribute encoder of its own: add --attribute-clip FILE")
    if b.trained != branch.trained:
        wanted = "add --attribute-checkpoint FILE" if b.trained else "leave --attribute-checkpoint out"
        raise ValueError(f"{bundle}: was made {'with' if b.trained else 'without'} trained attribute heads: {wanted}")
    prompts = read_prompts(prompts or b.model.get("prompts"))
    precision = precision_of(bundle / "visual.onnx")
    limits = dict(TOLERANCE[precision])
    if not b.exact_words:
        limits["s_v"] += manifest.get("quality", {}).get("word_s_v_change_bound", WORD_BOUND)
    p = manifest["preprocess"]
    with tempfile.TemporaryDirectory() as made:
        clip = clip or made_up_clip(Path(made) / "made-up", p["crop"])
        frames, images = sample(clip, b.model["window"])
        pixels = np.stack([prepare(i, p["resize"], p["crop"], p["mean"], p["std"]) for i in images])
        print(f"{bundle}, {precision}, {'exact' if b.exact_words else 'compacted'} words; {clip.name}, frames {frames}")
        ours = by_bundle(b, frames, pixels, tower=b.has_tower)
        truth = by_pytorch(b, video, branch, prompts, frames, pixels, ours.phrases)
        ok = report("onnxruntime against PyTorch", truth, ours, limits, exact_sentence=b.has_tower)
        if encoder == "own" and b.phrases:
            ok &= same_attribute_space(b, branch.retrieval, pixels, limits["embedding"])
        program = find_binary(binary)
        if program:
            tower = b.has_tower and knows_towers(program)
            if tower != b.has_tower:
                ours = by_bundle(b, frames, pixels, tower=False)
            whole = by_binary(program, bundle, clip, tower=tower)
            same_pixels = by_binary(program, bundle, save_resized(images, p["resize"], Path(made) / "same"), tower=tower)
            ok &= same_pixels.frames == list(range(len(frames)))
            same_pixels.frames = frames
            ok &= report(
                f"{program.name} against onnxruntime, same pixels",
                ours,
                same_pixels,
                RUNTIME[precision],
                exact_sentence=True,
                same_order=precision == "fp32",
            )
            ok &= fused_from_its_own(b, same_pixels)
            ok &= report(
                f"{program.name} against PyTorch, same pixels",
                truth,
                same_pixels,
                limits,
                exact_sentence=tower,
                same_order=precision == "fp32" and b.exact_words,
            )
            around = {k: v and v + (50 if k == "scores" else 1) * PIXELS for k, v in limits.items()}
            ok &= report(f"{program.name} on the clip itself, against PyTorch", truth, whole, around, exact_sentence=tower)
        else:
            print("bike-edge: not compared (no program found; --binary PATH)")
    print("within tolerance" if ok else "NOT within tolerance")
    return 0 if ok else 1
