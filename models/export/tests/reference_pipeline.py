"""Runs the reference's test protocol with PyTorch and torchvision, from decoded frames to scores.

Of bike_export it uses only the checkpoint's arithmetic. It follows BIKE's datasets/video.py, datasets/transforms.py and
test.py at e8f6a8b: frame numbers, shorter side to 256, one crop or three, views, the mean over views between two
softmaxes. There, dense sampling with one view divides by zero; here, it starts at frame 0.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torchvision import transforms
from torchvision.transforms import functional

from bike_export.checkpoint import Checkpoint
from bike_export.model import scoring
from bike_export.model.towers import encode_frames, encode_words, temporal
from bike_export.text.tokenizer import tokenize

MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
DENSE_RANGE = 128


@dataclass(frozen=True)
class Protocol:
    """The settings of a test protocol."""

    views: int = 1
    crops: int = 1
    dense: bool = False
    resize: int = 256
    size: int = 224

    @property
    def flags(self) -> list[str]:
        """Returns the same settings as flags of bike-edge."""
        return ["--views", str(self.views), "--crops", str(self.crops)] + (["--dense"] if self.dense else [])


@dataclass
class ClipScores:
    """Frame numbers [views, T], S_V [K] (mean over views), and scores [K].

    `mean` is the mean over views of their softmaxes, `final` is after the second softmax.
    """

    frames: list[list[int]]
    s_v: np.ndarray
    mean: np.ndarray
    final: np.ndarray


def sampled_indices(n: int, segments: int, p: Protocol) -> list[list[int]]:
    """Returns frame numbers as `_get_test_indices` does, one row per temporal view."""
    if p.dense:
        sample_pos = max(0, n - DENSE_RANGE)
        interval = DENSE_RANGE // segments
        starts = [v * math.floor(sample_pos / (p.views - 1)) for v in range(p.views)] if p.views > 1 else [0]
        base_offsets = np.arange(segments) * interval
        return [((base_offsets + s) % n).tolist() for s in starts]
    tick = n / float(segments)
    start_list = np.linspace(0, tick - 1, num=p.views, dtype=int)
    return [[int(s + tick * x) % n for x in range(segments)] for s in start_list.tolist()]


def crops(image: Image.Image, p: Protocol) -> list[torch.Tensor]:
    """Applies GroupScale and GroupCenterCrop, or GroupFullResSample without flips, and normalises."""
    image = transforms.Resize(p.resize, transforms.InterpolationMode.BICUBIC)(image)
    if p.crops == 1:
        cut = [transforms.CenterCrop(p.size)(image)]
    else:
        w_step, h_step = (image.width - p.size) // 4, (image.height - p.size) // 4
        offsets = [(0, 2 * h_step), (4 * w_step, 2 * h_step), (2 * w_step, 2 * h_step)]
        cut = [functional.crop(image, y, x, p.size, p.size) for x, y in offsets]
    finish = transforms.Compose([transforms.ToTensor(), transforms.Normalize(MEAN, STD)])
    return [finish(c) for c in cut]


@dataclass
class Views:
    """A clip's views: frame numbers [views, T] and embeddings [views, T, D], in the reference's order (crops first)."""

    frames: list[list[int]]
    embeddings: torch.Tensor


def encode(c: Checkpoint, images: Sequence[Image.Image], segments: int, p: Protocol) -> Views:
    """Encodes all views of a clip from its decoded frames."""
    rows = sampled_indices(len(images), segments, p)
    embedded = {i: encode_frames(c, torch.stack(crops(images[i], p))) for i in sorted({i for row in rows for i in row})}
    views = torch.stack([torch.stack([embedded[i][crop] for i in row]) for crop in range(p.crops) for row in rows])
    return Views(rows * p.crops, views)


def score(c: Checkpoint, names: list[str], views: Views, interaction: str) -> ClipScores:
    """Returns the clip's scores."""
    sentence, words = encode_words(c, tokenize([f"This is a video about {n}" for n in names]))
    category = torch.from_numpy(sentence)
    spot = interaction == "vcs"
    s_v = torch.stack(
        [
            scoring.concept_spotting(h, torch.from_numpy(words), category) if spot else scoring.dot_product(h, category)
            for h in temporal(c, views.embeddings)
        ]
    ).double()
    mean = s_v.softmax(-1).mean(0)
    return ClipScores(views.frames, s_v.mean(0).numpy(), mean.numpy(), mean.softmax(-1).numpy())
