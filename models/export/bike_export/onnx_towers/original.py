"""Runs graphs with onnxruntime: the given ones, and the adapted ones to compare."""

from pathlib import Path

import numpy as np
import onnxruntime

from ..bundle_runner import open_session
from ..checkpoint.shape import CONTEXT
from ..problem import Problem

NUMPY = {"float": np.float32, "float16": np.float16, "int64": np.int64, "int32": np.int32, "bool": np.bool_}


def open_graph(path: Path, graph: Path | bytes) -> onnxruntime.InferenceSession:
    """Opens a graph, a file or its bytes. `path` is what it was made from."""
    try:
        return open_session(graph)
    except Exception as error:
        raise cannot_run(path, error) from error


def cannot_run(path: Path, error: Exception) -> Problem:
    """Returns the problem of a graph that onnxruntime refuses."""
    reason = next(iter(str(error).splitlines()), type(error).__name__).replace(";", ",").replace(": ", " ")[:200]
    return Problem(f"{path}: onnxruntime cannot run this graph ({reason}); copy it again, or use another one")


class Original:
    """A tower as it was given. Its output is the embedding [n, D]; only the inputs that lead to it are filled."""

    def __init__(self, path: Path, output: str):
        self.path, self.output = path, output
        self.session = open_graph(path, path)

    def _run(self, **values: np.ndarray) -> np.ndarray:
        """Returns the embeddings in f32. `values` are pictures, tokens, mask and positions."""
        feeds = {}
        for value in self.session.get_inputs():
            kind = NUMPY[value.type.removeprefix("tensor(").removesuffix(")")]
            lower = value.name.lower()
            if len(value.shape) == 4:
                # A graph of both towers also needs pictures for the embedding of a text.
                feeds[value.name] = values["pictures"].astype(kind)
            elif "mask" in lower or "position" in lower:
                feeds[value.name] = values["mask" if "mask" in lower else "positions"].astype(kind)
            else:
                feeds[value.name] = values["tokens"].astype(kind)
        try:
            return self.session.run([self.output], feeds)[0].astype(np.float32)
        except Exception as error:
            raise cannot_run(self.path, error) from error

    def pictures(self, pixels: np.ndarray) -> np.ndarray:
        """Returns the embeddings [n, D] of pictures [n, 3, S, S], which are run one by one."""
        text = np.zeros((1, CONTEXT), np.int64)
        blank = {"tokens": text, "mask": text + 1, "positions": np.arange(CONTEXT)[None]}
        return np.concatenate([self._run(pictures=pixels[i : i + 1], **blank) for i in range(len(pixels))])

    def texts(self, tokens: np.ndarray, side: int) -> np.ndarray:
        """Returns the embeddings [n, D] of texts [n, L]. The mask covers each text to its end mark."""
        positions = np.arange(tokens.shape[1])[None].repeat(len(tokens), 0)
        mask = positions <= tokens.argmax(1)[:, None]
        pictures = np.zeros((1, 3, side, side), np.float32)
        return self._run(pictures=pictures, tokens=tokens, mask=mask, positions=positions)


def cosine_distance(a: np.ndarray, b: np.ndarray) -> float:
    """Returns the largest 1 - cosine of matching rows of a and b [n, D]. Rows that are not finite give infinity."""
    a, b = a.astype(np.float64), b.astype(np.float64)
    lengths = np.linalg.norm(a, axis=-1) * np.linalg.norm(b, axis=-1)
    if not np.isfinite(lengths).all() or (lengths == 0).any():
        return float("inf")
    return float((1 - (a * b).sum(-1) / lengths).max())
