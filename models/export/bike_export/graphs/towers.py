"""Writes the graphs of a checkpoint: visual.onnx, temporal.onnx, text.onnx, sentence_head.onnx and query_head.onnx."""

from pathlib import Path

import numpy as np
from onnx import TensorProto

from ..checkpoint import Checkpoint
from ..model.towers import HEADER_EPSILON, HEADER_LAYERS
from .blocks import array, block
from .builder import Graph, quantise_columns


def write_visual(path: Path, c: Checkpoint, precision: str, properties: dict[str, str]) -> None:
    """Writes visual.onnx: frame [1, 3, S, S] f32 -> embedding [1, D] f32, not normalised.

    In int8 the patch convolution still computes in f32.
    """
    s, state = c.shape, c.clip
    g = Graph(precision)
    kernel = array(state["visual.conv1.weight"])
    if precision == "int8":
        # Stored as int8 with one scale per channel, which saves 7 MB in a B/32. The arithmetic is f32.
        integers, scale = quantise_columns(kernel.reshape(s.width, -1).T)
        inputs = [
            g.constant("conv1.weight.i8", integers.T.reshape(kernel.shape)),
            g.constant("conv1.weight.scale", scale),
            g.constant("conv1.weight.zero", np.zeros(s.width, np.int8)),
        ]
        weight = g.op("DequantizeLinear", inputs, "conv1.weight", axis=0)
    else:
        weight = g.number("conv1.weight", kernel)
    x = g.op("Conv", [g.cast_in("frame"), weight], "conv1", kernel_shape=[s.patch] * 2, strides=[s.patch] * 2)
    x = g.op("Reshape", [x, g.sizes("patches.shape", [1, s.width, s.grid**2])], "patches")
    x = g.op("Transpose", [x], "patches.tokens", perm=[0, 2, 1])
    token = g.number("class_embedding", array(state["visual.class_embedding"])[None, None])
    x = g.op("Concat", [token, x], "tokens", axis=1)
    x = g.op(
        "Add", [x, g.number("positional_embedding", array(state["visual.positional_embedding"])[None])], "positions"
    )
    x = g.norm(x, "visual.ln_pre", array(state["visual.ln_pre.weight"]), array(state["visual.ln_pre.bias"]), 1e-5)
    for i in range(s.layers):
        x = block(
            g,
            x,
            state,
            f"visual.transformer.resblocks.{i}",
            s.tokens,
            s.width,
            activation=c.activation,
            epsilon=1e-5,
            head=s.head,
            first_only=i == s.layers - 1,
        )
    if not s.layers:
        x = g.op("Slice", [x, g.sizes("zero.i64", [0]), g.sizes("one.i64", [1]), g.sizes("one.i64", [1])], "first")
    x = g.norm(x, "visual.ln_post", array(state["visual.ln_post.weight"]), array(state["visual.ln_post.bias"]), 1e-5)
    x = g.op("Reshape", [x, g.sizes("class.shape", [1, s.width])], "class")
    g.out(g.linear(x, "visual.proj", array(state["visual.proj"])), "embedding")
    g.save(path, "visual", ("frame", "f32", [1, 3, s.size, s.size]), ("embedding", [1, s.embed]), properties)


def write_temporal(path: Path, c: Checkpoint, window: int, precision: str, properties: dict[str, str]) -> None:
    """Writes temporal.onnx: frames [1, T, D] -> frames [1, T, D]. T is fixed: later positions were never trained."""
    s, state = c.shape, c.header
    g = Graph(precision)
    frames = g.cast_in("frames")
    positions = array(state["frame_position_embeddings.weight"])[:window][None]
    x = g.op("Add", [frames, g.number("frame_position_embeddings", positions)], "positions")
    for i in range(HEADER_LAYERS):
        x = block(
            g, x, state, f"transformer.resblocks.{i}", window, s.embed, activation="quickgelu", epsilon=HEADER_EPSILON
        )
    g.out(g.op("Add", [x, frames], "residual"), "aggregated")
    g.save(path, "temporal", ("frames", "f32", [1, window, s.embed]), ("aggregated", [1, window, s.embed]), properties)


def write_text(path: Path, c: Checkpoint, precision: str, properties: dict[str, str]) -> None:
    """Writes text.onnx: tokens [1, 77] i64 -> words [1, 77, D] f32, not normalised.

    The sentence is the row of the end mark. In int8 the token table has one scale per row, applied after the look-up.
    """
    s, state = c.shape, c.clip
    g = Graph(precision)
    table = array(state["token_embedding.weight"])
    if precision == "int8":
        integers, scale = quantise_columns(table.T)
        x = g.op("Gather", [g.constant("token_embedding.weight", integers.T), "tokens"], "embedded.i8")
        x = g.op("Cast", [x], "embedded.cast", to=TensorProto.FLOAT)
        scales = g.op("Gather", [g.constant("token_embedding.scale", scale[:, None]), "tokens"], "embedded.scale")
        x = g.op("Mul", [x, scales], "embedded")
    else:
        x = g.op("Gather", [g.number("token_embedding.weight", table), "tokens"], "embedded")
    x = g.op("Add", [x, g.number("positional_embedding", array(state["positional_embedding"])[None])], "positions")
    for i in range(s.text_layers):
        x = block(
            g,
            x,
            state,
            f"transformer.resblocks.{i}",
            s.context,
            s.text_width,
            activation=c.activation,
            epsilon=1e-5,
            head=s.text_head,
            causal=True,
        )
    x = g.norm(x, "ln_final", array(state["ln_final.weight"]), array(state["ln_final.bias"]), 1e-5)
    g.out(g.linear(x, "text_projection", array(state["text_projection"])), "words")
    g.save(path, "text", ("tokens", "i64", [1, s.context]), ("words", [1, s.context, s.embed]), properties)


def unit_rows_node(g: Graph, x: str, name: str) -> str:
    """Writes the scaling of the rows of x to length 1."""
    length = g.op("ReduceL2", [x], f"{name}.length", axes=[-1], keepdims=1)
    return g.op("Div", [x, g.op("Max", [length, g.number("tiny", 1e-6)], f"{name}.length.safe")], name)


def sentence_head_nodes(g: Graph, x: str, heads: dict, name: str = "sentence_fc") -> str:
    """Writes an MLP of the trained attribute branch, sentence_fc or query_fc: normalise, Linear, ReLU, Linear."""
    x = unit_rows_node(g, x, f"{name}.unit")
    x = g.linear(x, f"{name}.0", array(heads[f"{name}.0.weight"]).T, array(heads[f"{name}.0.bias"]))
    x = g.op("Relu", [x], f"{name}.relu")
    return g.linear(x, f"{name}.2", array(heads[f"{name}.2.weight"]).T, array(heads[f"{name}.2.bias"]))


def write_head(path: Path, c: Checkpoint, head: str, properties: dict[str, str]) -> None:
    """Writes the head "sentence" or "query": [1, D] from the text tower -> [1, D]. It is small, so it is always f32."""
    g = Graph("fp32")
    g.out(sentence_head_nodes(g, head, c.heads, f"{head}_fc"), "attribute")
    width = np.shape(c.heads[f"{head}_fc.2.bias"])[0]
    g.save(path, f"{head}_head", (head, "f32", [1, c.shape.embed]), ("attribute", [1, width]), properties)
