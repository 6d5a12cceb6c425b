"""Runs a bundle with onnxruntime and numpy: an independent second way to its answers, for comparing."""

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from safetensors.numpy import load_file

from .text.tokenizer import tokenize


def _unit(x: np.ndarray) -> np.ndarray:
    return x / np.maximum(np.linalg.norm(x, axis=-1, keepdims=True), 1e-12)


def _table(tensors: dict[str, np.ndarray], name: str) -> np.ndarray:
    """A table as f32 rows."""
    rows = tensors[name].astype(np.float32)
    return rows * tensors[f"{name}_scale"][..., None] if tensors[name].dtype == np.int8 else rows


def open_session(path: Path) -> onnxruntime.InferenceSession:
    """A graph, computed as its operators say on every processor."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 2
    # Weights behind DequantizeLinear are stored small, not computed with: without this onnxruntime would
    # quantise the activations of composer.onnx too, and move S_A by 1e-3.
    options.add_session_config_entry("session.disable_quant_qdq", "1")
    # On x86 chips without VNNI its usual kernels let sums of two products overflow 16 bits, and embeddings are then
    # off by several percent; these do not.
    options.add_session_config_entry("session.x64quantprecision", "1")
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


class Bundle:
    """A bundle folder, its manifest, tables and, as they are wanted, its graphs."""

    def __init__(self, folder: Path, manifest: dict[str, Any]):
        self.folder, self.manifest, self.model = folder, manifest, manifest["model"]
        self.sessions: dict[str, onnxruntime.InferenceSession] = {}
        self.categories = self._names("categories.txt")
        tensors = load_file(str(folder / "categories.safetensors"))
        self.category = _table(tensors, "category")
        self.words, self.weights = self._words(tensors)
        self.exact_words = tensors["word"].shape[1:-1] == (77,) and tensors["word"].dtype == np.float32
        self.trained = "category_attribute" in tensors
        self.category_attribute = (
            _table(tensors, "category_attribute") if "category_attribute" in tensors else self.category
        )
        self.phrases: list[str] = []
        if "lexicon.txt" in manifest["files"]:
            self.phrases = self._names("lexicon.txt")
            lexicon = load_file(str(folder / "lexicon.safetensors"))
            self.retrieval = _table(lexicon, "retrieval")
            self.sentence = _table(lexicon, "sentence") if "sentence" in lexicon else self.retrieval
            self.sentence_mean = lexicon.get("sentence_mean")

    def _names(self, file: str) -> list[str]:
        return (self.folder / file).read_text(encoding="utf-8").removesuffix("\n").split("\n")

    @staticmethod
    def _words(tensors: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """Own and shared rows together [K, W, D], and weights [K, W] with sum 1."""
        rows = _table(tensors, "word")
        if "word_mix" in tensors:
            parts = zip(*(np.split(x, np.cumsum(tensors["word_rows"])[:-1]) for x in (_table(tensors, "word_mix"), rows)))
            rows = _table(tensors, "position_word") + np.stack([mix.T @ row for mix, row in parts])
        weights = tensors["word_weight"] if "word_weight" in tensors else np.ones(rows.shape[:2], np.float32)
        if "shared_word" in tensors:
            shared = _table(tensors, "shared_word")
            rows = np.concatenate([rows, np.broadcast_to(shared, (len(rows), *shared.shape))], 1)
            weights = np.concatenate([weights, np.broadcast_to(tensors["shared_weight"], (len(rows), len(shared)))], 1)
        return rows, weights / weights.sum(1, keepdims=True)

    @property
    def has_tower(self) -> bool:
        return "text.onnx" in self.manifest["files"]

    def run(self, graph: str, x: np.ndarray) -> np.ndarray:
        """One run of a graph with one input and one output."""
        if graph not in self.sessions:
            self.sessions[graph] = open_session(self.folder / graph)
        session = self.sessions[graph]
        return session.run(None, {session.get_inputs()[0].name: x})[0]

    def embed(self, graph: str, pixels: np.ndarray) -> np.ndarray:
        """Frames [n, 3, S, S], one by one, to [n, D]."""
        return np.concatenate([self.run(graph, pixels[i : i + 1]) for i in range(len(pixels))])

    def video_scores(self, v: np.ndarray) -> np.ndarray:
        """S_V [K] of frame embeddings [T, D]."""
        if self.model["header"] == "transf":
            v = self.run("temporal.onnx", v[None])[0]
        if self.model["interaction"] == "dp":
            return self.category @ _unit(v.mean(0))
        frames = _unit(v)
        sims = np.einsum("kwd,td->kwt", self.words, frames) / self.model["tau"]
        a = np.exp(sims - sims.max(-1, keepdims=True))
        a /= a.sum(-1, keepdims=True)
        saliency = (a * self.weights[..., None]).sum(1)
        return ((saliency @ frames) * self.category).sum(-1)

    def retrieve(self, v: np.ndarray) -> list[int]:
        """Numbers of the k phrases nearest to the mean of frames [T, Da], nearest first."""
        scores = self.retrieval @ _unit(v.mean(0))
        return [int(i) for i in np.argsort(-scores, kind="stable")[: self.model["attributes_top_k"]]]

    def attribute_scores(self, top: list[int], *, tower: bool) -> np.ndarray:
        """S_A [K] of these phrases: through the text tower, or without it by the composer or the centred mean."""
        if tower:
            text = self.model["prompts"][0].replace("{}", ",".join(self.phrases[i] for i in top))
            tokens = tokenize([text])
            sentence = self.run("text.onnx", tokens)[0][tokens[0].argmax()][None]
            if "sentence_head.onnx" in self.manifest["files"]:
                sentence = self.run("sentence_head.onnx", _unit(sentence))
        elif "composer.onnx" in self.manifest["files"]:
            sentence = self.run("composer.onnx", self.sentence[top][None].astype(np.float32))
        else:
            assert self.sentence_mean is not None
            sentence = (self.sentence[top].mean(0) - self.sentence_mean)[None]
        return self.category_attribute @ _unit(sentence)[0]
