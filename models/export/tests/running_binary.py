"""Runs bike-edge on a clip and returns everything that it computed."""

import json
import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

import numpy as np


@dataclass
class Classification:
    """The output of `classify --json --raw`.

    Frame numbers [views, T], embeddings [views, T, D], S_V [K], S_A [K] or nothing, the mean scores [K] by category,
    and the number of frames.
    """

    frames: list[list[int]]
    embeddings: np.ndarray
    s_v: np.ndarray
    s_a: np.ndarray
    score: np.ndarray
    count: int


def classify(program: Path, bundle: Path, clip: Path, *flags: str, kernel: str | None = None) -> Classification:
    """Classifies a clip. `kernel` forces the kernels of one instruction set."""
    command = [program, "classify", clip, "--bundle", bundle, "--json", "--raw", "--top", "65536", *flags]
    environment = os.environ | ({"BIKE_EDGE_KERNEL": kernel} if kernel else {})
    done = subprocess.run(command, capture_output=True, text=True, timeout=900, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    raw = json.loads(done.stdout.splitlines()[0])
    score = {r["label"]: r["score"] for r in raw["results"]}
    return Classification(
        raw["frame_indices"],
        np.array(raw["frame_embeddings"], np.float32),
        np.array(raw["s_v"]),
        np.array(raw.get("s_a") or []),
        np.array([score[label] for label in raw["labels"]]),
        raw["frames"],
    )


def cosine_distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Returns 1 - cosine of matching rows of a and b [..., D]: [...]."""
    a, b = a.astype(np.float64), b.astype(np.float64)
    return 1 - (a * b).sum(-1) / np.linalg.norm(a, axis=-1) / np.linalg.norm(b, axis=-1)
