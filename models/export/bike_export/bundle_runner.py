"""Runs a bundle with onnxruntime and numpy, independently of bike-edge, for comparisons."""

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from safetensors.numpy import load_file

from .problem import naming
from .text.tokenizer import tokenize


def _unit(x: np.ndarray) -> np.ndarray:
    return x / np.maximum(np.linalg.norm(x, axis=-1, keepdims=True), 1e-12)


def _table(tensors: dict[str, np.ndarray], name: str) -> np.ndarray:
    """Returns a table as f32 rows."""
    rows = tensors[name].astype(np.float32)
    return rows * tensors[f"{name}_scale"][..., None] if tensors[name].dtype == np.int8 else rows


def open_session(graph: Path | bytes) -> onnxruntime.InferenceSession:
    """Opens a graph, a file or its bytes, so that every processor computes exactly what its operators define."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 2
    # Weights behind DequantizeLinear are only stored in int8. Without this option, onnxruntime would also quantise the
    # activations of composer.onnx, which changes S_A by 1e-3.
    options.add_session_config_entry("session.disable_quant_qdq", "1")
    # On x86 processors without VNNI the default kernels let sums of two products overflow 16 bits, so that embeddings
    # are wrong by several percent. The kernels of this option do not.
    options.add_session_config_entry("session.x64quantprecision", "1")
    return onnxruntime.InferenceSession(
        graph if isinstance(graph, bytes) else str(graph), options, providers=["CPUExecutionProvider"]
    )


class BundleRunner:
    """A bundle with its manifest and tables. Graphs are opened at their first use."""

    def __init__(self, folder: Path, manifest: dict[str, Any]):
        self.folder, self.manifest, self.model = folder, manifest, manifest["model"]
        self.sessions: dict[str, onnxruntime.InferenceSession] = {}
        self.categories = self._names("categories.txt")
        tensors = self._tensors("categories.safetensors")
        self.category = _table(tensors, "category")
        self.words, self.weights = self._words(tensors)
        self.exact_words = tensors["word"].shape[1:-1] == (77,) and tensors["word"].dtype == np.float32
        self.has_heads = "category_attribute" in tensors
        self.category_attribute = _table(tensors, "category_attribute") if self.has_heads else self.category
        self.phrases: list[str] = []
        if "lexicon.txt" in manifest["files"]:
            self.phrases = self._names("lexicon.txt")
            lexicon = self._tensors("lexicon.safetensors")
            self.retrieval = _table(lexicon, "retrieval")
            self.sentence = _table(lexicon, "sentence") if "sentence" in lexicon else self.retrieval
            self.sentence_mean = lexicon.get("sentence_mean")

    def _tensors(self, file: str) -> dict[str, np.ndarray]:
        with naming(self.folder / file):
            return load_file(str(self.folder / file))

    def _names(self, file: str) -> list[str]:
        with naming(self.folder / file):
            return (self.folder / file).read_text(encoding="utf-8").removesuffix("\n").split("\n")

    @staticmethod
    def _words(tensors: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
        """Returns own and shared rows together [K, W, D], and weights [K, W] whose sum is 1."""
        rows = _table(tensors, "word")
        if "word_mix" in tensors:
            ends = np.cumsum(tensors["word_rows"])[:-1]
            texts = zip(np.split(_table(tensors, "word_mix"), ends), np.split(rows, ends), strict=True)
            rows = _table(tensors, "position_word") + np.stack([mix.T @ own for mix, own in texts])
        weights = tensors["word_weight"] if "word_weight" in tensors else np.ones(rows.shape[:2], np.float32)
        if "shared_word" in tensors:
            shared = _table(tensors, "shared_word")
            rows = np.concatenate([rows, np.broadcast_to(shared, (len(rows), *shared.shape))], 1)
            weights = np.concatenate([weights, np.broadcast_to(tensors["shared_weight"], (len(rows), len(shared)))], 1)
        return rows, weights / weights.sum(1, keepdims=True)

    @property
    def has_text_tower(self) -> bool:
        """Returns whether the bundle contains the text tower."""
        return "text.onnx" in self.manifest["files"]

    def run(self, graph: str, x: np.ndarray) -> np.ndarray:
        """Runs a graph that has one input and one output."""
        if graph not in self.sessions:
            with naming(self.folder / graph):
                self.sessions[graph] = open_session(self.folder / graph)
        session = self.sessions[graph]
        return session.run(None, {session.get_inputs()[0].name: x})[0]

    def embed(self, graph: str, pixels: np.ndarray) -> np.ndarray:
        """Encodes frames [n, 3, S, S] one by one to embeddings [n, D]."""
        return np.concatenate([self.run(graph, pixels[i : i + 1]) for i in range(len(pixels))])

    def video_scores(self, v: np.ndarray) -> np.ndarray:
        """Returns the video scores S_V [K] of frame embeddings [T, D]."""
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
        """Returns the indices of the k phrases nearest to the mean of frames [T, Da], nearest first."""
        scores = self.retrieval @ _unit(v.mean(0))
        return [int(i) for i in np.argsort(-scores, kind="stable")[: self.model["attributes_top_k"]]]

    def attribute_scores(self, top: list[int], *, text_tower: bool) -> np.ndarray:
        """Returns S_A [K] of these phrases, by the text tower, or else by the composer or the centred mean."""
        if text_tower:
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
