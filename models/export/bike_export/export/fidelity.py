"""Measures on real frames what a bundle's precision and tables change: onnxruntime on the bundle against PyTorch."""

from pathlib import Path

import numpy as np
import torch

from ..bundle_runner import BundleRunner
from ..checkpoint import Checkpoint
from ..model.scoring import concept_spotting, dot_product
from ..model.towers import temporal
from .windows import Windows


def expected_scores(
    c: Checkpoint, windows: Windows, interaction: str, words: np.ndarray, category: np.ndarray
) -> list[np.ndarray]:
    """Returns S_V [K] of each sample window by the checkpoint itself; words [K, 77, D], category [K, D]."""
    sample, centre = windows.sample, torch.from_numpy(category)
    embeddings = temporal(c, torch.stack([sample.embeddings[w] for w in sample.windows]))
    if interaction == "dp":
        return [dot_product(v, centre).numpy() for v in embeddings]
    return [concept_spotting(v, torch.from_numpy(words), centre).numpy() for v in embeddings]


def measure(
    folder: Path, model: dict, files: list[str], windows: Windows, expected: list[np.ndarray]
) -> dict[str, float]:
    """Returns cosines of frame embeddings, and the largest change of S_V by graphs and tables together."""
    runner = BundleRunner(folder, {"model": model, "files": files})
    sample = windows.sample
    v, expected_v = runner.embed("visual.onnx", sample.pixels.numpy()), sample.embeddings.numpy()
    cosine = (v * expected_v).sum(1) / np.linalg.norm(v, axis=1) / np.linalg.norm(expected_v, axis=1)
    changes = (np.abs(runner.video_scores(v[w]) - s).max() for w, s in zip(sample.windows, expected, strict=True))
    return {
        "frame_cosine_mean": round(float(cosine.mean()), 6),
        "frame_cosine_min": round(float(cosine.min()), 6),
        "s_v_change_max": float(f"{max(float(change) for change in changes):.2e}"),
    }
