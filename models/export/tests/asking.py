"""Asking the program for all it computed, and small clips to ask it about."""

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image


@dataclass
class Answer:
    """`classify --json --raw`: frame numbers [views, T], embeddings [views, T, D], S_V [K], S_A [K] or none, and the
    mean scores [K] by category."""

    frames: list[list[int]]
    embeddings: np.ndarray
    s_v: np.ndarray
    s_a: np.ndarray
    score: np.ndarray
    count: int


def ask(program: Path, bundle: Path, clip: Path, *flags: str, kernel: str | None = None) -> Answer:
    """Classifies a clip; `kernel` forces the kernels of one processor."""
    command = [program, "classify", clip, "--bundle", bundle, "--json", "--raw", "--top", "65536", *flags]
    around = os.environ | ({"BIKE_EDGE_KERNEL": kernel} if kernel else {})
    done = subprocess.run(command, capture_output=True, text=True, timeout=900, check=False, env=around)
    assert done.returncode == 0, done.stderr
    raw = json.loads(done.stdout.splitlines()[0])
    score = {r["label"]: r["score"] for r in raw["results"]}
    return Answer(
        raw["frame_indices"],
        np.array(raw["frame_embeddings"], np.float32),
        np.array(raw["s_v"]),
        np.array(raw.get("s_a") or []),
        np.array([score[label] for label in raw["labels"]]),
        raw["frames"],
    )


def save_pictures(pictures: torch.Tensor, folder: Path) -> Path:
    """Pictures [n, 3, S, S] u8 as a folder of stills without loss."""
    folder.mkdir()
    for i, picture in enumerate(pictures):
        Image.fromarray(picture.permute(1, 2, 0).numpy()).save(folder / f"img_{i + 1:05d}.png")
    return folder


def drifting(size: tuple[int, int], count: int, seed: int) -> list[Image.Image]:
    """A clip of smooth colours that change as it goes on: `count` pictures of `size` (width, height)."""
    rng = np.random.default_rng(seed)
    ends = rng.integers(0, 256, (4, 6, 5, 3)).astype(float)  # four scenes
    out = []
    for i in range(count):
        at = i / max(count - 1, 1) * (len(ends) - 1.001)
        near, share = int(at), at - int(at)
        cells = (1 - share) * ends[near] + share * ends[near + 1]
        out.append(Image.fromarray(cells.astype(np.uint8)).resize(size, Image.Resampling.BICUBIC))
    return out


def save_stills(images: list[Image.Image], folder: Path) -> Path:
    folder.mkdir()
    for i, image in enumerate(images):
        image.save(folder / f"img_{i + 1:05d}.png")
    return folder


def save_gif(images: list[Image.Image], path: Path) -> Path:
    images[0].save(path, save_all=True, append_images=images[1:], duration=40)
    return path


def cosine_distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """1 - cosine of rows of a and b [..., D]: [...]."""
    a, b = a.astype(np.float64), b.astype(np.float64)
    return 1 - (a * b).sum(-1) / np.linalg.norm(a, axis=-1) / np.linalg.norm(b, axis=-1)
