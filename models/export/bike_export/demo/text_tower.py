"""Writes the text tower of the demo model: MiniLM over several short texts at once.

The texts stand in slots of one row of 64 positions, and a position attends only to positions of its own text. So a
text of eight tokens takes an eighth of a run, and its embedding does not depend on its neighbours.
"""

from pathlib import Path
from typing import Any

import numpy as np
from onnx import TensorProto

from ..bundle import BundleWriter
from ..graphs.blocks import MASKED, array, attend
from ..graphs.builder import Graph, quantise_columns
from ..tables import unit_rows
from .minilm import MiniLM
from .text_space import TextSpace

POSITIONS = 64
COMPARED = 2000  # phrases that the stored tower is compared on


def _embeddings(g: Graph, state: dict, tokens: str, positions: str) -> str:
    """Writes the sum of the embeddings of tokens and positions, [1, N, D], normalised."""
    table = array(state["embeddings.word_embeddings.weight"])
    if g.precision == "weights8":
        # One scale per row, applied after the look-up, so that the table stays int8 in memory.
        integers, scale = quantise_columns(table.T)
        x = g.op("Gather", [g.constant("word_embeddings.i8", integers.T), tokens], "embedded.i8")
        x = g.op("Cast", [x], "embedded.cast", to=TensorProto.FLOAT)
        scales = g.op("Gather", [g.constant("word_embeddings.scale", scale[:, None]), tokens], "embedded.scale")
        x = g.op("Mul", [x, scales], "embedded")
    else:
        x = g.op("Gather", [g.number("word_embeddings", table), tokens], "embedded")
    # All tokens are of the first of BERT's two sentences.
    rows = array(state["embeddings.position_embeddings.weight"])[:POSITIONS]
    rows = rows + array(state["embeddings.token_type_embeddings.weight"])[0]
    x = g.op("Add", [x, g.op("Gather", [g.number("positions", rows), positions], "placed")], "embeddings")
    return _norm(g, x, state, "embeddings.LayerNorm")


def _norm(g: Graph, x: str, state: dict, name: str) -> str:
    return g.norm(x, name, array(state[f"{name}.weight"]), array(state[f"{name}.bias"]), 1e-12)


def _linear(g: Graph, x: str, state: dict, name: str) -> str:
    return g.linear(x, name, array(state[f"{name}.weight"]).T, array(state[f"{name}.bias"]))


def write_text(path: Path, tower: MiniLM, precision: str, properties: dict[str, str]) -> None:
    """Writes text.onnx: texts [3, 64] i64 -> words [1, 64, D] f32, not normalised.

    The rows of the input are token numbers, positions in their own text, and numbers of the texts, for example 1, 2
    and so on, and 0 for padding. With precision `weights8` weights are int8 and the arithmetic is f32.
    """
    state, config = tower.model.state_dict(), tower.model.config
    width = config.hidden_size
    g = Graph(precision)
    tokens, positions, texts = (
        g.op("Gather", ["texts", g.sizes(f"row.{i}", [i])], name, axis=0)
        for i, name in enumerate(("tokens", "places", "numbers"))
    )
    columns = g.op("Reshape", [texts, g.sizes("as.column", [1, 1, POSITIONS, 1])], "numbers.column")
    rows = g.op("Reshape", [texts, g.sizes("as.row", [1, 1, 1, POSITIONS])], "numbers.row")
    same = g.op("Equal", [columns, rows], "same.text")
    mask = g.op("Where", [same, g.number("open", 0.0), g.number("masked", MASKED)], "mask")
    x = _embeddings(g, state, tokens, positions)
    for i in range(config.num_hidden_layers):
        at = f"encoder.layer.{i}"
        q, k, v = (_linear(g, x, state, f"{at}.attention.self.{part}") for part in ("query", "key", "value"))
        head = width // config.num_attention_heads
        y = attend(g, f"{at}.attention", q, k, v, POSITIONS, POSITIONS, width, head=head, mask=mask)
        y = _linear(g, y, state, f"{at}.attention.output.dense")
        x = _norm(g, g.op("Add", [y, x], f"{at}.attended"), state, f"{at}.attention.output.LayerNorm")
        y = g.activate(_linear(g, x, state, f"{at}.intermediate.dense"), f"{at}.gelu", "gelu")
        y = _linear(g, y, state, f"{at}.output.dense")
        x = _norm(g, g.op("Add", [y, x], f"{at}.out"), state, f"{at}.output.LayerNorm")
    g.out(x, "words")
    g.save(path, "text", ("texts", "i64", [3, POSITIONS]), ("words", [1, POSITIONS, width]), properties)


def pack(encoded: list[list[int]]) -> np.ndarray:
    """Returns the input of text.onnx for tokens of texts that fit next to each other."""
    out = np.zeros((3, POSITIONS), np.int64)
    at = 0
    for number, ids in enumerate(encoded, start=1):
        out[0, at : at + len(ids)] = ids
        out[1, at : at + len(ids)] = np.arange(len(ids))
        out[2, at : at + len(ids)] = number
        at += len(ids)
    return out


def session(path: Path) -> Any:
    """Loads text.onnx with onnxruntime. Its optimisations would compute with activations of 8 bits."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return onnxruntime.InferenceSession(str(path), options)


def run(session: Any, tower: MiniLM, texts: list[str]) -> list[np.ndarray]:
    """Returns the output of text.onnx for each text, [tokens, D], with [CLS] and [SEP]. `session` is onnxruntime's."""
    out = []
    for text in texts:
        ids = tower.tokenizer.encode(text).ids
        out.append(session.run(None, {"texts": pack([ids])})[0][0, : len(ids)])
    return out


def write(
    b: BundleWriter, space: TextSpace, phrases: list[str], sentence_mean: np.ndarray, properties: dict[str, str]
) -> dict[str, float]:
    """Writes text.onnx, tokenizer.txt and text.safetensors. Returns the cosines of int8 to f32 over 2,000 phrases."""
    write_text(b.path("text.onnx"), space.tower, "weights8", properties)
    b.path("tokenizer.txt").write_bytes(space.tower.vocabulary())
    means = {"category_mean": space.phrase_mean, "word_mean": space.token_mean, "sentence_mean": sentence_mean}
    b.tables("text.safetensors", {name: mean.astype(np.float32) for name, mean in means.items()})
    compared = phrases[:COMPARED]
    stored = unit_rows(np.stack([t.mean(0) for t in run(session(b.path("text.onnx")), space.tower, compared)]))
    centred = (unit_rows(stored - space.phrase_mean) * space.phrases(compared)).sum(1)
    raw = (stored * space.raw_phrases(compared)).sum(1)
    return {
        "text_tower_cosine": round(float(raw.mean()), 4),
        "text_tower_centred_cosine": round(float(centred.mean()), 4),
        "text_tower_centred_cosine_min": round(float(centred.min()), 4),
    }
