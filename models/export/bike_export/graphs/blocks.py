"""Writes residual attention blocks as ONNX nodes, with the arithmetic of model/blocks.py."""

import numpy as np
import torch

from .builder import Graph

HEAD = 64
# Added to the scores of masked positions. Its exp is exactly 0 in f32 and in f16, and unlike minus infinity it cannot
# become NaN.
MASKED = -1e4


def array(t: torch.Tensor) -> np.ndarray:
    """Returns a tensor as an f32 array."""
    return t.detach().numpy().astype(np.float32)


def _heads(g: Graph, x: str, length: int, width: int, head: int, *, keys: bool = False) -> str:
    """Splits x [1, L, W] into heads [1, heads, L, head], or for keys [1, heads, head, L]."""
    heads = width // head
    x = g.op("Reshape", [x, g.sizes(f"heads.{length}x{heads}", [1, length, heads, head])], f"{x}.split")
    return g.op("Transpose", [x], f"{x}.heads", perm=[0, 2, 3, 1] if keys else [0, 2, 1, 3])


def attend(
    g: Graph,
    name: str,
    q: str,
    k: str,
    v: str,
    queries: int,
    length: int,
    width: int,
    *,
    head: int = HEAD,
    mask: str | None = None,
) -> str:
    """Writes softmax(q k / sqrt(head) + mask) v.

    q is [1, queries, W], k and v are [1, L, W], the result is [1, queries, W]. A mask is added to the scores.
    """
    q = _heads(g, q, queries, width, head)
    q = g.op("Mul", [q, g.number("attention.scale", head**-0.5)], f"{name}.q.scaled")
    scores = g.op("MatMul", [q, _heads(g, k, length, width, head, keys=True)], f"{name}.scores")
    if mask:
        scores = g.op("Add", [scores, mask], f"{name}.masked")
    weights = g.op("Softmax", [scores], f"{name}.softmax", axis=-1)
    mixed = g.op("MatMul", [weights, _heads(g, v, length, width, head)], f"{name}.mixed")
    mixed = g.op("Transpose", [mixed], f"{name}.tokens", perm=[0, 2, 1, 3])
    return g.op("Reshape", [mixed, g.sizes(f"tokens.{queries}x{width}", [1, queries, width])], f"{name}.joined")


def causal_mask(g: Graph, length: int) -> str:
    """Writes the mask of positions that follow, [L, L]."""
    return g.number(f"causal.{length}", np.triu(np.full((length, length), MASKED, np.float32), 1))


def block(
    g: Graph,
    x: str,
    state: dict[str, torch.Tensor],
    name: str,
    length: int,
    width: int,
    *,
    activation: str,
    epsilon: float,
    head: int = HEAD,
    causal: bool = False,
    first_only: bool = False,
) -> str:
    """Writes one block over x [1, L, W].

    With `first_only` the result is [1, 1, W], because only position 0 is used: one query, and one row in the MLP. The
    result is the same for a fifteenth of the work; in int8, the ranges are then those of that row.
    """
    y = g.norm(x, f"{name}.ln_1", array(state[f"{name}.ln_1.weight"]), array(state[f"{name}.ln_1.bias"]), epsilon)
    weight, bias = array(state[f"{name}.attn.in_proj_weight"]).T, array(state[f"{name}.attn.in_proj_bias"])
    at = f"{name}.attn"
    queries = length
    if first_only:
        ends = [g.sizes("zero.i64", [0]), g.sizes("one.i64", [1]), g.sizes("one.i64", [1])]
        row = g.op("Slice", [y, *ends], f"{name}.first")
        q = g.linear(row, f"{at}.q", weight[:, :width], bias[:width])
        kv = g.linear(y, f"{at}.kv", weight[:, width:], bias[width:])
        k, v = g.ops("Split", [kv, g.sizes(f"split.2x{width}", [width] * 2)], [f"{at}.k", f"{at}.v"], axis=2)
        x = g.op("Slice", [x, *ends], f"{name}.residual")
        queries = 1
    else:
        qkv = g.linear(y, f"{at}.qkv", weight, bias)
        q, k, v = g.ops(
            "Split", [qkv, g.sizes(f"split.3x{width}", [width] * 3)], [f"{at}.q", f"{at}.k", f"{at}.v"], axis=2
        )
    mask = causal_mask(g, length) if causal else None
    mixed = attend(g, at, q, k, v, queries, length, width, head=head, mask=mask)
    mixed = g.linear(
        mixed, f"{at}.out", array(state[f"{name}.attn.out_proj.weight"]).T, array(state[f"{name}.attn.out_proj.bias"])
    )
    x = g.op("Add", [x, mixed], f"{name}.attended")
    y = g.norm(x, f"{name}.ln_2", array(state[f"{name}.ln_2.weight"]), array(state[f"{name}.ln_2.bias"]), epsilon)
    h = g.linear(
        y, f"{name}.mlp.c_fc", array(state[f"{name}.mlp.c_fc.weight"]).T, array(state[f"{name}.mlp.c_fc.bias"])
    )
    h = g.activate(h, f"{name}.mlp.gelu", activation)
    h = g.linear(
        h, f"{name}.mlp.c_proj", array(state[f"{name}.mlp.c_proj.weight"]).T, array(state[f"{name}.mlp.c_proj.bias"])
    )
    return g.op("Add", [x, h], f"{name}.out")
