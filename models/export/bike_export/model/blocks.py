"""Residual attention blocks, as in CLIP (Radford et al. 2021) and BIKE's temporal header."""

import torch
import torch.nn.functional as F

State = dict[str, torch.Tensor]


def activate(x: torch.Tensor, activation: str) -> torch.Tensor:
    """QuickGELU, x * sigmoid(1.702 x), or GELU by the error function."""
    return x * torch.sigmoid(1.702 * x) if activation == "quickgelu" else F.gelu(x)


def layer_norm(x: torch.Tensor, state: State, name: str, epsilon: float) -> torch.Tensor:
    """(x - mean) / sqrt(variance + epsilon) over the last axis, biased variance, then weight and bias."""
    weight = state[f"{name}.weight"]
    return F.layer_norm(x, weight.shape, weight, state[f"{name}.bias"], epsilon)


def attention(x: torch.Tensor, state: State, name: str, heads: int, causal: bool) -> torch.Tensor:
    """Multi-head self-attention, x [n, L, W]; a causal one lets a position see itself and those before it."""
    n, length, width = x.shape
    qkv = F.linear(x, state[f"{name}.in_proj_weight"], state[f"{name}.in_proj_bias"])
    q, k, v = qkv.reshape(n, length, 3, heads, width // heads).permute(2, 0, 3, 1, 4)  # each [n, heads, L, W/heads]
    scores = (q * (width // heads) ** -0.5) @ k.transpose(-1, -2)
    if causal:
        scores = scores + torch.full((length, length), float("-inf")).triu(1)
    mixed = (scores.softmax(-1) @ v).transpose(1, 2).reshape(n, length, width)
    return F.linear(mixed, state[f"{name}.out_proj.weight"], state[f"{name}.out_proj.bias"])


def blocks(
    x: torch.Tensor,
    state: State,
    prefix: str,
    layers: int,
    heads: int,
    *,
    activation: str,
    epsilon: float = 1e-5,
    causal: bool = False,
) -> torch.Tensor:
    """`layers` pre-norm blocks named `{prefix}{i}.`: x + attention(norm x), then x + mlp(norm x). x [n, L, W]."""
    for i in range(layers):
        at = f"{prefix}{i}"
        x = x + attention(layer_norm(x, state, f"{at}.ln_1", epsilon), state, f"{at}.attn", heads, causal)
        h = F.linear(
            layer_norm(x, state, f"{at}.ln_2", epsilon), state[f"{at}.mlp.c_fc.weight"], state[f"{at}.mlp.c_fc.bias"]
        )
        x = x + F.linear(activate(h, activation), state[f"{at}.mlp.c_proj.weight"], state[f"{at}.mlp.c_proj.bias"])
    return x
