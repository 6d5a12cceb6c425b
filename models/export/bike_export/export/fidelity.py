"""What the bundle's precision and tables change, measured on real frames: onnxruntime on the bundle against PyTorch."""

from pathlib import Path

import numpy as np
import torch

from ..checkpoint import Checkpoint
from ..model.recognise import concept_spotting, dot_product
from ..model.towers import temporal
from ..reader import Bundle
from .windows import Windows


def true_scores(
    c: Checkpoint, windows: Windows, interaction: str, words: np.ndarray, category: np.ndarray
) -> list[np.ndarray]:
    """S_V [K] of each window that is shown, by the checkpoint itself; words [K, 77, D], category [K, D]."""
    shown, centre = windows.shown, torch.from_numpy(category)
    seen = temporal(c, torch.stack([shown.embeddings[w] for w in shown.windows]))
    if interaction == "dp":
        return [dot_product(v, centre).numpy() for v in seen]
    return [concept_spotting(v, torch.from_numpy(words), centre).numpy() for v in seen]


def measure(folder: Path, model: dict, files: list[str], windows: Windows, truth: list[np.ndarray]) -> dict[str, float]:
    """Cosines of frame embeddings, and the largest change of S_V by graphs and tables together."""
    b = Bundle(folder, {"model": model, "files": files})
    shown = windows.shown
    found, expected = b.embed("visual.onnx", shown.pixels.numpy()), shown.embeddings.numpy()
    cosine = (found * expected).sum(1) / np.linalg.norm(found, axis=1) / np.linalg.norm(expected, axis=1)
    change = max(float(np.abs(b.video_scores(found[w]) - s).max()) for w, s in zip(shown.windows, truth))
    return {
        "frame_cosine_mean": round(float(cosine.mean()), 6),
        "frame_cosine_min": round(float(cosine.min()), 6),
        "s_v_change_max": float(f"{change:.2e}"),
    }
