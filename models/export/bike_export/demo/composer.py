"""The demo's composer: five phrase vectors to the vector of the sentence that lists them, without a text tower.

y = x R + b + relu(x A + a) B, where x [5 D] is the five vectors flattened. R and b are the ridge solution. The small
MLP starts with zero output, so that training starts from the ridge solution. 1.18 M parameters at D = 384.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from .graph import GraphBuilder

HIDDEN = 192


@dataclass
class Composer:
    """The weights, all f32: ridge [5D, D], bias [D], hidden [5D, H], hidden_bias [H], out [H, D]."""

    ridge: np.ndarray
    bias: np.ndarray
    hidden: np.ndarray
    hidden_bias: np.ndarray
    out: np.ndarray

    def __call__(self, phrases: np.ndarray) -> np.ndarray:
        """Composes phrases [n, 5, D] to sentence vectors [n, D], not normalised."""
        x = phrases.reshape(len(phrases), -1)
        return x @ self.ridge + self.bias + np.maximum(x @ self.hidden + self.hidden_bias, 0) @ self.out

    def write(self, path: Path, properties: dict[str, str]) -> None:
        """Writes composer.onnx: phrases [1, 5, D] -> sentence [1, D], matrices int8 behind DequantizeLinear."""
        width, depth = self.ridge.shape
        g = GraphBuilder()
        x = g.op("Flatten", ["phrases"], "x", axis=1)
        y = g.op("MatMul", [x, g.int8("ridge", self.ridge, 1)], "ridge.matmul")
        y = g.op("Add", [y, g.constant("bias", self.bias)], "ridge.add")
        h = g.op("MatMul", [x, g.int8("hidden", self.hidden, 1)], "hidden.matmul")
        h = g.op("Add", [h, g.constant("hidden.bias", self.hidden_bias)], "hidden.add")
        h = g.op("Relu", [h], "hidden.relu")
        h = g.op("MatMul", [h, g.int8("out", self.out, 1)], "out.matmul")
        g.op("Add", [y, h], "sentence")
        g.save(path, "demo_composer", ("phrases", [1, width // depth, depth]), ("sentence", [1, depth]), properties)


def fit_ridge(x: np.ndarray, y: np.ndarray, strength: float) -> tuple[np.ndarray, np.ndarray]:
    """Fits y to x by least squares with a penalty. Returns a matrix [5D, D] and a bias [D]."""
    x64, y64 = x.astype(np.float64), y.astype(np.float64)
    x_mean, y_mean = x64.mean(0), y64.mean(0)
    a, b = x64 - x_mean, y64 - y_mean
    w = np.linalg.solve(a.T @ a + strength * np.eye(a.shape[1]), a.T @ b)
    return w.astype(np.float32), (y_mean - x_mean @ w).astype(np.float32)


def train(phrases: np.ndarray, target: np.ndarray, *, ridge: float = 2.0, epochs: int = 40, seed: int = 0) -> Composer:
    """Fits phrases [n, 5, D] to target [n, D] (unit rows): first the ridge, then all weights together by cosine."""
    torch.manual_seed(seed)
    x = torch.from_numpy(phrases.reshape(len(phrases), -1)).float()
    y = torch.from_numpy(target).float()
    w, b = fit_ridge(x.numpy(), target, ridge)
    width, depth = w.shape
    params = {
        "ridge": torch.from_numpy(w),
        "bias": torch.from_numpy(b),
        "hidden": torch.randn(width, HIDDEN) * (1.0 / 5) ** 0.5,
        "hidden_bias": torch.zeros(HIDDEN),
        "out": torch.zeros(HIDDEN, depth),
    }
    for p in params.values():
        p.requires_grad_(True)
    adam = torch.optim.AdamW(params.values(), lr=1e-3, weight_decay=1e-2)
    steps = epochs * -(-len(x) // 256)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(adam, steps)
    for _ in range(epochs):
        for part in torch.randperm(len(x)).split(256):
            h = torch.relu(x[part] @ params["hidden"] + params["hidden_bias"])
            out = x[part] @ params["ridge"] + params["bias"] + h @ params["out"]
            loss = (1 - torch.nn.functional.cosine_similarity(out, y[part])).mean() + 0.1 * (
                out - y[part]
            ).square().sum(-1).mean()
            adam.zero_grad()
            loss.backward()
            adam.step()
            schedule.step()
    return Composer(**{k: v.detach().numpy() for k, v in params.items()})
