"""Windows of frame embeddings to measure word tables and composers on: random ones, and real frames' where given."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from ..checkpoint import Checkpoint
from ..model.frames import prepare, sample
from ..model.towers import encode_frames, temporal
from ..progress import counter, say
from .options import MEAN, STD, Settings

RANDOM, MIXED = 16, 16
NOISE_FRAMES = 16
VIDEOS = (".mp4", ".mov", ".mkv", ".webm", ".avi", ".gif", ".m4v")


@dataclass
class Windows:
    """Windows [n, T, D] after the header, and single frames [m, D] before it with where they came from."""

    all: torch.Tensor
    frames: torch.Tensor
    source: str


def find_clips(given: list[Path]) -> list[Path]:
    """Clips named one by one, and those in folders; a folder of stills is one clip."""
    found: list[Path] = []
    for path in given:
        if path.is_dir():
            inside = sorted(p for p in path.iterdir() if p.suffix.lower() in VIDEOS)
            found += inside or [path]
        elif path.is_file():
            found.append(path)
        else:
            raise FileNotFoundError(f"--frames {path}: no such file or folder")
    return found


def read_frames(c: Checkpoint, s: Settings, clips: list[Path]) -> torch.Tensor:
    """T frames of each clip, encoded: [n, T, D]. A clip that cannot be read is left out, and named."""
    report = counter("frames")
    out = []
    for at, clip in enumerate(clips):
        try:
            _, images = sample(clip, s.window)
        except (OSError, ValueError) as e:
            say(f"left out: {e}")
            continue
        pixels = np.stack([prepare(i, s.resize, s.crop, MEAN, STD) for i in images])
        out.append(encode_frames(c, torch.from_numpy(pixels)))
        report(at + 1, len(clips))
    if not out:
        raise ValueError("--frames: none of the clips could be read")
    return torch.stack(out)


def noise_frames(c: Checkpoint, generator: torch.Generator) -> torch.Tensor:
    """Embeddings [n, D] of made-up pictures: smooth random colours at several scales, so not all alike."""
    size = c.shape.size
    pictures = []
    for i in range(NOISE_FRAMES):
        cells = 2 ** (1 + i % 5)
        coarse = torch.randn(1, 3, cells, cells, generator=generator)
        pictures.append(torch.nn.functional.interpolate(coarse, size=(size, size), mode="bilinear")[0])
    return torch.cat([encode_frames(c, p[None]) for p in pictures])


def make(c: Checkpoint, s: Settings, clips: list[Path]) -> Windows:
    """Random directions, and frames: each clip's own window, and windows drawn across clips, which differ most."""
    generator = torch.Generator().manual_seed(0)
    random = torch.randn(RANDOM, s.window, c.shape.embed, generator=generator)
    if clips:
        own = read_frames(c, s, clips)
        frames, source = own.flatten(0, 1), f"{len(own)} clips"
    else:
        frames, source = noise_frames(c, generator), "made-up pictures"
        own = frames.new_zeros(0, s.window, c.shape.embed)
    drawn = frames[torch.randint(len(frames), (MIXED, s.window), generator=generator)]
    seen = temporal(c, torch.cat([own, drawn]))
    return Windows(torch.cat([random, seen]), frames, source)
