"""Windows of frame embeddings to measure word tables and composers on: random ones, and real frames'.

Real frames are those of `--frames`; where none is given, of photographs that come with the exporter, with the camera
moving over them.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from ..checkpoint import Checkpoint
from ..checkpoint.stated import MEAN, STD
from ..model.frames import prepare, sample, uniform_indices
from ..model.towers import encode_frames, temporal
from ..progress import counter, say
from .options import Settings

RANDOM, MIXED = 16, 16
CHOOSING = 48  # windows of either kind that word tables are chosen by
SHOTS = 5  # frames of a photograph
SHOT_SIDE = 0.8  # of its shorter side
KEPT = 16  # frames whose pixels are kept
PHOTOGRAPHS = Path(__file__).resolve().parent.parent / "photographs"
VIDEOS = (".mp4", ".mov", ".mkv", ".webm", ".avi", ".gif", ".m4v")


@dataclass
class Shown:
    """Some windows with their pixels, to run the graphs on: pixels [m, 3, S, S], their embeddings by PyTorch [m, D],
    and the windows as numbers of frames [n, T]."""

    pixels: torch.Tensor
    embeddings: torch.Tensor
    windows: list[list[int]]


@dataclass
class Windows:
    """Windows after the header, random [r, T, D] and of real frames [n, T, D], and others of both [c, T, D] to choose
    word tables by; and the frames before the header [m, D]."""

    random: torch.Tensor
    real: torch.Tensor
    choosing: torch.Tensor
    frames: torch.Tensor
    shown: Shown
    source: str
    from_clips: bool

    @property
    def all(self) -> torch.Tensor:
        return torch.cat([self.random, self.real])


def find_clips(given: list[Path]) -> list[Path]:
    """Clips named one by one, and those in folders; a folder of stills is one clip, and so is each folder in a folder."""
    found: list[Path] = []
    for path in given:
        if path.is_dir():
            inside = (p for p in path.iterdir() if p.is_dir() or p.suffix.lower() in VIDEOS)
            found += sorted(p for p in inside if not p.name.startswith(".")) or [path]
        elif path.is_file():
            found.append(path)
        else:
            raise FileNotFoundError(f"--frames {path}: no such file or folder")
    return found


def prepared(s: Settings, images: list[Image.Image]) -> torch.Tensor:
    return torch.from_numpy(np.stack([prepare(i, s.resize, s.crop, MEAN, STD) for i in images]))


def clip_frames(s: Settings, clips: list[Path]) -> list[torch.Tensor]:
    """T frames [T, 3, S, S] of each clip. One that cannot be read is left out, and named."""
    report = counter("clips")
    out = []
    for at, clip in enumerate(clips):
        try:
            out.append(prepared(s, sample(clip, s.window)[1]))
        except (OSError, ValueError) as e:
            say(f"left out: {e}")
            continue
        report(at + 1, len(clips))
    if not out:
        raise ValueError("--frames: none of the clips could be read")
    return out


def photograph_frames(s: Settings) -> list[torch.Tensor]:
    """SHOTS frames [SHOTS, 3, S, S] of each photograph, from one end of it to the other."""
    out = []
    for file in sorted(PHOTOGRAPHS.glob("*.jpg")):
        with Image.open(file) as photograph:
            side = int(min(photograph.size) * SHOT_SIDE)
            room = (photograph.width - side, photograph.height - side)
            corners = [tuple(r * i // (SHOTS - 1) for r in room) for i in range(SHOTS)]
            out.append(prepared(s, [photograph.crop((x, y, x + side, y + side)) for x, y in corners]))
    return out


def make(c: Checkpoint, s: Settings, clips: list[Path]) -> Windows:
    """Random directions, and frames: each clip's own window, and windows drawn across clips, which differ most."""
    generator = torch.Generator().manual_seed(0)
    random = torch.randn(RANDOM, s.window, c.shape.embed, generator=generator)
    pixels = clip_frames(s, clips) if clips else photograph_frames(s)
    report = counter("frames")
    embedded = []
    for at, clip in enumerate(pixels):
        embedded.append(encode_frames(c, clip))
        report(at + 1, len(pixels))
    order = torch.tensor(uniform_indices(len(pixels[0]), s.window))
    frames = torch.cat(embedded)
    drawn = frames[torch.randint(len(frames), (MIXED + CHOOSING, s.window), generator=generator)]
    real = temporal(c, torch.cat([torch.stack([e[order] for e in embedded]), drawn]))
    others = torch.randn(CHOOSING, s.window, c.shape.embed, generator=generator)
    choosing, real = torch.cat([others, real[-CHOOSING:]]), real[:-CHOOSING]
    kept = max(KEPT // len(pixels[0]), 1)
    windows = [(order + n * len(pixels[0])).tolist() for n in range(min(kept, len(pixels)))]
    shown = Shown(torch.cat(pixels[:kept]), torch.cat(embedded[:kept]), windows)
    source = f"{len(pixels)} clips" if clips else f"{len(pixels)} photographs that come with the exporter"
    return Windows(random, real, choosing, frames, shown, source, bool(clips))
