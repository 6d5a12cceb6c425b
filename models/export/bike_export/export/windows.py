"""Makes the windows of frame embeddings on which word tables and composers are measured: random ones and real ones.

Real frames come from `--frames`. Without it, they come from photographs of the exporter, over which the crop moves.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from ..checkpoint import Checkpoint
from ..model.frames import prepare, sample, uniform_indices
from ..model.towers import encode_frames, temporal
from ..problem import Problem
from ..progress import log, progress_of
from .options import Settings

RANDOM, MIXED = 16, 16
CHOOSING = 48  # random and as many real windows on which the rows of word tables are chosen
CROPS = 5  # crops of a photograph
CROP_SIDE = 0.8  # of the photograph's shorter side
SAMPLE_FRAMES = 16  # frames whose pixels stay in memory
PHOTOGRAPHS = Path(__file__).resolve().parent.parent / "photographs"
VIDEOS = (".mp4", ".mov", ".mkv", ".webm", ".avi", ".gif", ".m4v")


@dataclass
class SampleWindows:
    """Some windows with pixels [m, 3, S, S], on which graphs can run, and embeddings by PyTorch [m, D].

    `windows` [n, T] has the frame numbers of each window.
    """

    pixels: torch.Tensor
    embeddings: torch.Tensor
    windows: list[list[int]]


@dataclass
class Windows:
    """Windows after the header, random [r, T, D], of real frames [n, T, D], and others to choose tables on [c, T, D].

    `frames` [m, D] are the frames before the header.
    """

    random: torch.Tensor
    real: torch.Tensor
    choosing: torch.Tensor
    frames: torch.Tensor
    sample: SampleWindows
    source: str
    from_clips: bool

    @property
    def all(self) -> torch.Tensor:
        """Returns the random and the real windows."""
        return torch.cat([self.random, self.real])


def find_clips(paths: list[Path]) -> list[Path]:
    """Returns the clips among files and folders. A folder without clips is itself a clip, of pictures."""
    clips: list[Path] = []
    for path in paths:
        if path.is_dir():
            inside = (p for p in path.iterdir() if p.is_dir() or p.suffix.lower() in VIDEOS)
            clips += sorted(p for p in inside if not p.name.startswith(".")) or [path]
        elif path.is_file():
            clips.append(path)
        else:
            raise Problem(f"--frames {path}: no such file or folder; check the path")
    return clips


def prepared(s: Settings, images: list[Image.Image]) -> torch.Tensor:
    """Returns images as normalised crops [n, 3, S, S]."""
    return torch.from_numpy(np.stack([prepare(i, s.resize, s.crop, s.mean, s.std) for i in images]))


def clip_frames(s: Settings, clips: list[Path]) -> list[torch.Tensor]:
    """Returns T frames [T, 3, S, S] of each clip. Unreadable clips are skipped and logged."""
    progress = progress_of("clips")
    frames = []
    for at, clip in enumerate(clips):
        try:
            frames.append(prepared(s, sample(clip, s.window)[1]))
        except ValueError as problem:
            log(f"skipping a clip: {problem}")
            continue
        progress(at + 1, len(clips))
    if not frames:
        raise Problem("--frames: none of the clips is readable; use MP4, GIF or folders of pictures")
    return frames


def photograph_frames(s: Settings) -> list[torch.Tensor]:
    """Returns crops [CROPS, 3, S, S] of each photograph, from its top left to its bottom right."""
    frames = []
    for file in sorted(PHOTOGRAPHS.glob("*.jpg")):
        with Image.open(file) as photograph:
            side = int(min(photograph.size) * CROP_SIDE)
            room = (photograph.width - side, photograph.height - side)
            corners = [tuple(r * i // (CROPS - 1) for r in room) for i in range(CROPS)]
            frames.append(prepared(s, [photograph.crop((x, y, x + side, y + side)) for x, y in corners]))
    return frames


def make_windows(c: Checkpoint, s: Settings, clips: list[Path]) -> Windows:
    """Makes random windows, each clip's own window, and windows with frames of several clips, which differ most."""
    generator = torch.Generator().manual_seed(0)
    random = torch.randn(RANDOM, s.window, c.shape.embed, generator=generator)
    pixels = clip_frames(s, clips) if clips else photograph_frames(s)
    progress = progress_of("frames")
    embedded = []
    for at, clip in enumerate(pixels):
        embedded.append(encode_frames(c, clip))
        progress(at + 1, len(pixels))
    order = torch.tensor(uniform_indices(len(pixels[0]), s.window))
    frames = torch.cat(embedded)
    drawn = frames[torch.randint(len(frames), (MIXED + CHOOSING, s.window), generator=generator)]
    real = temporal(c, torch.cat([torch.stack([e[order] for e in embedded]), drawn]))
    random_choosing = torch.randn(CHOOSING, s.window, c.shape.embed, generator=generator)
    choosing, real = torch.cat([random_choosing, real[-CHOOSING:]]), real[:-CHOOSING]
    clips_in_sample = max(SAMPLE_FRAMES // len(pixels[0]), 1)
    windows = [(order + n * len(pixels[0])).tolist() for n in range(min(clips_in_sample, len(pixels)))]
    in_sample = SampleWindows(torch.cat(pixels[:clips_in_sample]), torch.cat(embedded[:clips_in_sample]), windows)
    source = f"{len(pixels)} clips" if clips else f"{len(pixels)} photographs that come with the exporter"
    return Windows(random, real, choosing, frames, in_sample, source, bool(clips))
