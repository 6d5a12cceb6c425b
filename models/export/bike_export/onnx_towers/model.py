"""A CLIP whose towers are ONNX graphs. It takes the place of a checkpoint in an export."""

import hashlib
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import helper

from ..bundle import sha256
from ..checkpoint import Checkpoint
from ..checkpoint.shape import CONTEXT
from ..model.towers import encode_frames, encode_sentences, encode_words
from ..problem import Problem
from ..progress import log
from ..text.tokenizer import tokenize
from .adapt import USE_CHECKPOINT, Tower
from .config import Pixels, read_pixels
from .original import Original, cosine_distance, open_graph
from .read import read
from .text import adapt_text
from .visual import adapt_visual

LOGIT_SCALE = 100.0  # of all published CLIPs, because training limits it to 100; graphs of towers do not contain it
# The largest cosine distances between an adapted graph and the given one. In int8 the adapted one rounds less.
TOLERANCE = {"fp32": 1e-4, "fp16": 2e-3, "int8": 3e-2}
PICTURES, BATCH = 4, 32
TEXTS = ["a video of archery", "someone is cooking an egg in a small kitchen", "a dog", "two people play the piano"]


@dataclass(frozen=True)
class TowersShape:
    """What the graphs show of the sizes of a CLIP: the side of a crop, D, and the positions of a text."""

    size: int
    embed: int
    context: int = CONTEXT

    @property
    def name(self) -> str:
        """Returns the size of the crop, for people."""
        return f"{self.size} px"


@dataclass
class OnnxTowers(Checkpoint):
    """Two towers, adapted and as given. It has no tensors, no temporal header and no trained heads."""

    visual: Tower = field(kw_only=True)
    text: Tower = field(kw_only=True)
    given_visual: Original = field(kw_only=True)
    given_text: Original = field(kw_only=True)
    words: onnxruntime.InferenceSession = field(kw_only=True)  # the adapted text tower
    pixels: Pixels = field(kw_only=True)
    figures: dict[str, float] = field(kw_only=True, default_factory=dict)
    in_batches: bool = field(kw_only=True, default=False)  # the given text tower takes several shorter texts

    def same_text_tower(self, other: Checkpoint) -> bool:
        """Returns whether the text towers are the same; nothing is known about those of another model."""
        return other is self

    def write(self, path: Path, tower: Tower, properties: dict[str, str]) -> None:
        """Writes an adapted graph."""
        helper.set_model_props(tower.model, dict(sorted(properties.items())))
        tower.model.producer_name, tower.model.producer_version = "bike_export", ""
        onnx.save(tower.model, str(path))


def load_towers(visual: Path, text: Path, crop: int | None) -> OnnxTowers:
    """Reads, adapts and compares two graphs. Refuses what cannot be taken over."""
    for path in (visual, text):
        if not path.is_file():
            problem = (
                "is a folder, not a file; name the graph in it" if path.is_dir() else "no such file; check the path"
            )
            raise Problem(f"{path}: {problem}")
    pixels = read_pixels(visual)
    image, side, image_output = adapt_visual(visual, read(visual), pixels.side, crop)
    words, text_output = adapt_text(text, read(text))
    if image.width != words.width:
        raise Problem(
            f"{text}: its embeddings have {words.width} numbers and those of {visual} {image.width}; "
            "use the two towers of one model"
        )
    digest = hashlib.sha256(f"{sha256(visual)} {sha256(text)}\n".encode()).hexdigest()
    towers = OnnxTowers(
        kind=f"ONNX towers ({image.precision} and {words.precision})",
        path=visual,
        sha256=digest,
        shape=TowersShape(side, image.width),
        activation="activation as in the graphs",
        clip={"logit_scale": torch.tensor(math.log(LOGIT_SCALE))},
        header={},
        heads={},
        fine_tuned=False,
        source=f"{visual.name} and {text.name}",
        visual=image,
        text=words,
        given_visual=Original(visual, image_output),
        given_text=Original(text, text_output),
        words=open_graph(text, words.model.SerializeToString()),
        pixels=pixels,
    )
    compare(towers, visual, text)
    log(f"{visual}, {text}: {towers.kind}, {side} px, D = {image.width}; pixels: {pixels.source}")
    return towers


def compare(towers: OnnxTowers, visual: Path, text: Path) -> None:
    """Compares the adapted graphs with the given ones, on noise and on texts, and refuses those that differ."""
    side = towers.shape.size
    noise = np.random.default_rng(0).standard_normal((PICTURES, 3, side, side)).astype(np.float32)
    session = open_graph(visual, towers.visual.model.SerializeToString())
    found = np.concatenate([session.run(None, {"frame": noise[i : i + 1]})[0] for i in range(PICTURES)])
    tokens = tokenize(TEXTS)
    sentences, _ = words_of(towers, tokens)
    expected = np.concatenate([towers.given_text.texts(tokens[i : i + 1], side) for i in range(len(tokens))])
    pairs = (
        ("frame", visual, towers.visual, found, towers.given_visual.pictures(noise)),
        ("text", text, towers.text, sentences, expected),
    )
    for name, path, tower, ours, theirs in pairs:
        distance, change = cosine_distance(ours, theirs), float(np.abs(ours - theirs).max())
        if not distance <= TOLERANCE[tower.precision]:
            raise Problem(
                f"{path}: the graph for the bundle gives other embeddings than this one (cosine {1 - distance:.5f}), "
                f"because the model is not a CLIP or the graph is damaged; {USE_CHECKPOINT}"
            )
        log(f"{path.name}: taken over in {tower.precision}, cosine {1 - distance:.6f}, largest change {change:.1e}")
        towers.figures[f"given_{name}_cosine_min"] = round(1 - distance, 6)
        towers.figures[f"given_{name}_change_max"] = float(f"{change:.2e}")
    towers.in_batches = towers.text.precision != "int8" and takes_batches(towers, tokens, expected)


def takes_batches(towers: OnnxTowers, tokens: np.ndarray, expected: np.ndarray) -> bool:
    """Returns whether the given text tower encodes several texts without padding as it encodes one with padding."""
    longest = int(tokens.argmax(1).max()) + 1
    try:
        found = towers.given_text.texts(tokens[:, :longest], towers.shape.size)
    except Problem:
        return False
    return found.shape == expected.shape and cosine_distance(found, expected) <= TOLERANCE[towers.text.precision] / 10


def words_of(
    towers: OnnxTowers, tokens: np.ndarray, progress: Callable[[int, int], None] = lambda done, total: None
) -> tuple[np.ndarray, np.ndarray]:
    """Encodes tokens [n, 77] by the adapted text tower to sentences [n, D] and words [n, 77, D]."""
    words = np.empty((*tokens.shape, towers.shape.embed), np.float32)
    for at in range(len(tokens)):
        words[at] = towers.words.run(None, {"tokens": tokens[at : at + 1]})[0][0]
        progress(at + 1, len(tokens))
    return words[np.arange(len(tokens)), tokens.argmax(1)], words


@encode_frames.register
def _(c: OnnxTowers, frames: torch.Tensor) -> torch.Tensor:
    return torch.from_numpy(c.given_visual.pictures(frames.numpy()))


@encode_words.register
def _(
    c: OnnxTowers, tokens: np.ndarray, batch: int = 16, progress: Callable[[int, int], None] = lambda done, total: None
) -> tuple[np.ndarray, np.ndarray]:
    return words_of(c, tokens, progress)


@encode_sentences.register
def _(
    c: OnnxTowers,
    tokens: np.ndarray,
    batch: int = BATCH,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> np.ndarray:
    out = np.zeros((len(tokens), c.shape.embed), np.float32)
    ends = tokens.argmax(1)
    order, step = np.argsort(ends, kind="stable"), batch if c.in_batches else 1
    for at in range(0, len(tokens), step):
        part = order[at : at + step]
        if c.in_batches:
            out[part] = c.given_text.texts(tokens[part, : int(ends[part].max()) + 1], c.shape.size)
        else:
            out[part] = c.words.run(None, {"tokens": tokens[part]})[0][:, ends[part[0]]]
        progress(at + len(part), len(tokens))
    return out
