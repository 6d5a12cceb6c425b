"""The composer's arithmetic and its graph.

e = x R + b + flatten(norm(blocks(p W + positions))) O, with p [k, D] the phrases, x = p end to end [k D].

R and b are the ridge solution, and O starts at zero, so that training starts from the ridge and goes on from there.
The blocks are those of CLIP, over the k phrases: a sentence that lists phrases is a set of words that colour each
other, which a sum over positions cannot tell.
"""

from pathlib import Path

import numpy as np
import torch

from ..graphs.blocks import array, block
from ..graphs.builder import Graph
from ..graphs.towers import sentence_head_nodes
from ..model.blocks import blocks, layer_norm

WIDTH, LAYERS = 256, 2
HEADS = WIDTH // 64
EPSILON = 1e-5
State = dict[str, torch.Tensor]


def start(ridge: np.ndarray, bias: np.ndarray, seed: int) -> State:
    """Weights before training; ridge [k D, D], bias [D]."""
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


def compose(state: State, phrases: torch.Tensor) -> torch.Tensor:
    """Phrases [n, k, D], unit rows, to sentences [n, D], not normalised."""
    h = phrases @ state["in.weight"] + state["positions"]
    h = blocks(h, state, "blocks.", LAYERS, HEADS, activation="quickgelu", epsilon=EPSILON)
    h = layer_norm(h, state, "ln", EPSILON)
    return phrases.flatten(1) @ state["ridge.weight"] + state["ridge.bias"] + h.flatten(1) @ state["out.weight"]


def rounded(state: State) -> State:
    """The weights as the graph's reader sees them: matrices int8, one scale an output channel."""
    g = Graph("weights8")
    out = dict(state)
    for name, t in state.items():
        if name.endswith("weight") and t.ndim == 2:
            columns = t.T if name.startswith("blocks.") else t
            back = torch.from_numpy(g.stored(array(columns)))
            out[name] = back.T.contiguous() if name.startswith("blocks.") else back
    return out


def write(path: Path, state: State, heads: State, properties: dict[str, str]) -> None:
    """composer.onnx: phrases [1, k, D] -> sentence [1, D], with the trained sentence head behind it where there is one."""
    flat, depth = state["ridge.weight"].shape
    k = flat // depth
    g = Graph("weights8")
    h = g.linear("phrases", "in", array(state["in.weight"]))
    h = g.op("Add", [h, g.number("positions", array(state["positions"]))], "placed")
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
    """The fallback as a graph, for trained heads: the phrases' mean less the lexicon's mean [D], then the head."""
    g = Graph("weights8")
    y = g.op("ReduceMean", ["phrases"], "mean", axes=[1], keepdims=0)
    y = g.op("Sub", [y, g.number("lexicon.mean", mean)], "centred")
    finish(path, g, y, k, len(mean), heads, properties)


def finish(path: Path, g: Graph, y: str, k: int, depth: int, heads: State, properties: dict[str, str]) -> None:
    """The sentence head, where there is one, and the file."""
    g.out(sentence_head_nodes(g, y, heads) if heads else y, "sentence")
    g.save(path, "composer", ("phrases", "f32", [1, k, depth]), ("sentence", [1, depth]), properties)
