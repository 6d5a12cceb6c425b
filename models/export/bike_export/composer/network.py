"""Computes the composer and writes its graph.

e = x R + b + flatten(norm(blocks(p W + l + positions))) O, where p [k, D] are the phrases, x [k D] is p flattened,
and l [k, WIDTH] has a learned row for each phrase.

R and b are the ridge solution, and O starts at zero, so that training starts from the ridge solution. The blocks are
those of CLIP, over the k phrases, because the phrases of a sentence influence each other, which a sum over positions
cannot express. The lexicon is known when a composer is trained. Each phrase therefore has a learned row for what its
embedding does not show, and the graph looks the row up by the embedding in its input.
"""

from pathlib import Path

import numpy as np
import onnx
import torch
import torch.nn.functional as F

from ..graphs.blocks import array, block
from ..graphs.builder import Graph, quantise_columns
from ..graphs.towers import sentence_head_nodes
from ..model.blocks import blocks, layer_norm
from ..tables import unit_rows

WIDTH, LAYERS = 256, 2
HEADS = WIDTH // 64
KEY = 64  # numbers in the key of a phrase
MAX_BYTES = 8_000_000  # of composer.onnx
EPSILON = 1e-5
LEARNED = "learned"  # the learned rows of the phrases [N, WIDTH]
State = dict[str, torch.Tensor]


def lookup_keys(phrases: np.ndarray) -> State:
    """Returns the tensors that find a phrase's index by its embedding; phrases [N, D] as the graph will receive them.

    Embeddings are projected to the directions in which phrases differ most, and the nearest of N keys is taken.
    """
    mean = phrases.mean(0)
    _, _, axes = np.linalg.svd(phrases - mean, full_matrices=False)
    project = Graph.stored(np.ascontiguousarray(axes[:KEY].T))
    keys = unit_rows((phrases - mean) @ project + 1e-9).T
    return {
        "find.weight": torch.from_numpy(project),
        "find.bias": torch.from_numpy(-mean @ project),
        "keys.weight": torch.from_numpy(Graph.stored(keys)),
    }


def find(state: State, phrases: torch.Tensor) -> torch.Tensor:
    """Returns the indices [...] of phrases [..., D], as the graph finds them. Equal phrases have the same index."""
    near = (phrases @ state["find.weight"] + state["find.bias"]) @ state["keys.weight"]
    return torch.from_numpy(near.numpy().argmax(-1))


def size(k: int, depth: int, phrases: int) -> int:
    """Estimates the bytes of composer.onnx with learned rows for `phrases` phrases (0: without).

    The matrices are in int8, and the rest takes about 2% and 50 kB.
    """
    matrices = k * depth * depth + depth * WIDTH + k * WIDTH * depth + LAYERS * 12 * WIDTH * WIDTH
    rows = phrases * (KEY + WIDTH) + depth * KEY if phrases else 0
    return (matrices + rows) * 102 // 100 + 50_000


def start(ridge: np.ndarray, bias: np.ndarray, phrases: np.ndarray, seed: int) -> State:
    """Returns the weights before training; ridge [k D, D], bias [D], phrases [N, D]."""
    draw = torch.Generator().manual_seed(seed)
    flat, depth = ridge.shape
    k = flat // depth

    def normal(*shape: int, std: float) -> torch.Tensor:
        return torch.randn(*shape, generator=draw) * std

    state = {
        "ridge.weight": torch.from_numpy(ridge),
        "ridge.bias": torch.from_numpy(bias),
        "in.weight": normal(depth, WIDTH, std=1.0),
        "positions": normal(k, WIDTH, std=0.2),
        "ln.weight": torch.ones(WIDTH),
        "ln.bias": torch.zeros(WIDTH),
        "out.weight": torch.zeros(k * WIDTH, depth),
    }
    if size(k, depth, len(phrases)) <= MAX_BYTES:
        state |= lookup_keys(phrases) | {LEARNED: normal(len(phrases), WIDTH, std=0.02)}
    for i in range(LAYERS):
        at = f"blocks.{i}"
        state |= {
            f"{at}.ln_{n}.{p}": torch.ones(WIDTH) if p == "weight" else torch.zeros(WIDTH)
            for n in (1, 2)
            for p in ("weight", "bias")
        }
        state |= {
            f"{at}.attn.in_proj_weight": normal(3 * WIDTH, WIDTH, std=WIDTH**-0.5),
            f"{at}.attn.in_proj_bias": torch.zeros(3 * WIDTH),
            f"{at}.attn.out_proj.weight": normal(WIDTH, WIDTH, std=(2 * LAYERS * WIDTH) ** -0.5),
            f"{at}.attn.out_proj.bias": torch.zeros(WIDTH),
            f"{at}.mlp.c_fc.weight": normal(4 * WIDTH, WIDTH, std=(2 * WIDTH) ** -0.5),
            f"{at}.mlp.c_fc.bias": torch.zeros(4 * WIDTH),
            f"{at}.mlp.c_proj.weight": normal(WIDTH, 4 * WIDTH, std=(2 * LAYERS * WIDTH) ** -0.5),
            f"{at}.mlp.c_proj.bias": torch.zeros(WIDTH),
        }
    return state


def compose(state: State, phrases: torch.Tensor, numbers: torch.Tensor | None = None) -> torch.Tensor:
    """Composes phrases [n, k, D], unit rows, to sentences [n, D], not normalised.

    `numbers` [n, k] are the indices of the phrases, if they are known.
    """
    h = phrases @ state["in.weight"] + state["positions"]
    if LEARNED in state:
        h = h + F.embedding(find(state, phrases) if numbers is None else numbers, state[LEARNED])
    h = blocks(h, state, "blocks.", LAYERS, HEADS, activation="quickgelu", epsilon=EPSILON)
    h = layer_norm(h, state, "ln", EPSILON)
    return phrases.flatten(1) @ state["ridge.weight"] + state["ridge.bias"] + h.flatten(1) @ state["out.weight"]


def rounded(state: State) -> State:
    """Returns the weights after storing them in the graph: matrices int8, one scale per output channel or phrase."""
    out = dict(state)
    for name, t in state.items():
        if t.ndim == 2 and (name.endswith("weight") or name == LEARNED):
            transposed = name.startswith("blocks.") or name == LEARNED
            back = torch.from_numpy(Graph.stored(array(t.T if transposed else t)))
            out[name] = back.T.contiguous() if transposed else back
    return out


def learned_rows(g: Graph, state: State) -> str:
    """Writes the look-up of the phrases' learned rows [1, k, WIDTH]."""
    at = g.linear("phrases", "find", array(state["find.weight"]), array(state["find.bias"]))
    at = g.linear(at, "keys", array(state["keys.weight"]))
    at = g.op("ArgMax", [at], "numbers", axis=-1, keepdims=0)
    integers, scale = quantise_columns(array(state[LEARNED]).T)
    x = g.op("Gather", [g.constant("learned.i8", integers.T), at], "learned.rows.i8")
    x = g.op("Cast", [x], "learned.cast", to=onnx.TensorProto.FLOAT)
    scales = g.op("Gather", [g.constant("learned.scale", scale[:, None]), at], "learned.rows.scale")
    return g.op("Mul", [x, scales], "learned.rows")


def write(path: Path, state: State, heads: State, properties: dict[str, str]) -> None:
    """Writes composer.onnx: phrases [1, k, D] -> sentence [1, D], through the trained sentence head if there is one."""
    flat, depth = state["ridge.weight"].shape
    k = flat // depth
    g = Graph("weights8")
    h = g.linear("phrases", "in", array(state["in.weight"]))
    h = g.op("Add", [h, g.number("positions", array(state["positions"]))], "placed")
    if LEARNED in state:
        h = g.op("Add", [h, learned_rows(g, state)], "known")
    for i in range(LAYERS):
        h = block(g, h, state, f"blocks.{i}", k, WIDTH, activation="quickgelu", epsilon=EPSILON)
    h = g.norm(h, "ln", array(state["ln.weight"]), array(state["ln.bias"]), EPSILON)
    h = g.linear(
        g.op("Reshape", [h, g.sizes("flat.hidden", [1, k * WIDTH])], "hidden"), "out", array(state["out.weight"])
    )
    x = g.op("Reshape", ["phrases", g.sizes("flat.phrases", [1, flat])], "flat")
    y = g.op("Add", [g.linear(x, "ridge", array(state["ridge.weight"]), array(state["ridge.bias"])), h], "composed")
    finish(path, g, y, k, depth, heads, properties)


def write_mean(path: Path, mean: np.ndarray, k: int, heads: State, properties: dict[str, str]) -> None:
    """Writes the centred mean as composer.onnx: the phrases' mean minus the lexicon's, then the trained head."""
    g = Graph("weights8")
    y = g.op("ReduceMean", ["phrases"], "mean", axes=[1], keepdims=0)
    y = g.op("Sub", [y, g.number("lexicon.mean", mean)], "centred")
    finish(path, g, y, k, len(mean), heads, properties)


def finish(path: Path, g: Graph, y: str, k: int, depth: int, heads: State, properties: dict[str, str]) -> None:
    """Adds the sentence head, if there is one, and writes the file."""
    g.out(sentence_head_nodes(g, y, heads) if heads else y, "sentence")
    g.save(path, "composer", ("phrases", "f32", [1, k, depth]), ("sentence", [1, depth]), properties)
