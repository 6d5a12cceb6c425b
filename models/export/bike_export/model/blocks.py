"""Computes residual attention blocks, as in CLIP (Radford et al. 2021) and BIKE's temporal header."""

import torch
import torch.nn.functional as F

State = dict[str, torch.Tensor]
# Keys and values of earlier positions, one pair per block, each [1, heads, P, W / heads].
Past = list[tuple[torch.Tensor, torch.Tensor]]


def activate(x: torch.Tensor, activation: str) -> torch.Tensor:
    """Applies QuickGELU, x * sigmoid(1.702 x), or GELU by the error function."""
    return x * torch.sigmoid(1.702 * x) if activation == "quickgelu" else F.gelu(x)


def layer_norm(x: torch.Tensor, state: State, name: str, epsilon: float) -> torch.Tensor:
    """Computes (x - mean) / sqrt(variance + epsilon) over the last axis, biased variance, then weight and bias."""
    weight = state[f"{name}.weight"]
    return F.layer_norm(x, weight.shape, weight, state[f"{name}.bias"], epsilon)


def attention(
    x: torch.Tensor,
    state: State,
    name: str,
    heads: int,
    causal: bool,
    past: tuple[torch.Tensor, torch.Tensor] | None = None,
    collect: Past | None = None,
) -> torch.Tensor:
    """Computes multi-head self-attention of x [n, L, W]. If `causal`, a position attends to itself and earlier ones.

    `past` has keys and values of positions before those of x, equal for all n; `collect` receives those of x.
    """
    n, length, width = x.shape
    qkv = F.linear(x, state[f"{name}.in_proj_weight"], state[f"{name}.in_proj_bias"])
    q, k, v = qkv.reshape(n, length, 3, heads, width // heads).permute(2, 0, 3, 1, 4)  # each [n, heads, L, W/heads]
    if collect is not None:
        collect.append((k, v))
    if past is not None:
        k, v = (torch.cat([before.expand(n, -1, -1, -1), own], 2) for before, own in zip(past, (k, v), strict=True))
    scores = (q * (width // heads) ** -0.5) @ k.transpose(-1, -2)
    if causal:
        scores = scores + torch.full(scores.shape[-2:], float("-inf")).triu(1 + k.shape[2] - length)
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
    past: Past | None = None,
    collect: Past | None = None,
) -> torch.Tensor:
    """Runs `layers` pre-norm blocks named `{prefix}{i}.`: x + attention(norm x), then x + mlp(norm x). x [n, L, W]."""
    for i in range(layers):
        at = f"{prefix}{i}"
        before = past[i] if past else None
        y = layer_norm(x, state, f"{at}.ln_1", epsilon)
        x = x + attention(y, state, f"{at}.attn", heads, causal, before, collect)
        h = F.linear(
            layer_norm(x, state, f"{at}.ln_2", epsilon), state[f"{at}.mlp.c_fc.weight"], state[f"{at}.mlp.c_fc.bias"]
        )
        x = x + F.linear(activate(h, activation), state[f"{at}.mlp.c_proj.weight"], state[f"{at}.mlp.c_proj.bias"])
    return x
