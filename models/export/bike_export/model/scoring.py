"""Computes scores from embeddings: the two interactions, attributes and fusion (CVPR 2023, sections 3.2 to 3.4)."""

import torch
import torch.nn.functional as F

TAU = 0.01  # temperature of concept spotting, a constant in the reference


def unit(x: torch.Tensor) -> torch.Tensor:
    """Scales rows to length 1."""
    return x / x.norm(dim=-1, keepdim=True)


def dot_product(v: torch.Tensor, category: torch.Tensor) -> torch.Tensor:
    """Computes DP: cosines [K] of categories [K, D] and the mean of frames v [T, D], not normalised."""
    return unit(category) @ unit(v.mean(0))


def saliency(
    v: torch.Tensor, words: torch.Tensor, weights: torch.Tensor | None = None, tau: float = TAU
) -> torch.Tensor:
    """Computes the saliency [K, T]: per word row a softmax over time of cosines / tau, then the mean over rows."""
    sims = torch.einsum("kwd,td->kwt", unit(words), unit(v))
    a = (sims / tau).softmax(-1)
    if weights is None:
        return a.mean(1)
    return (a * (weights / weights.sum(-1, keepdim=True))[..., None]).sum(1)


def concept_spotting(
    v: torch.Tensor, words: torch.Tensor, category: torch.Tensor, weights: torch.Tensor | None = None, tau: float = TAU
) -> torch.Tensor:
    """Computes VCS: S_V [K] of frames v [T, D], words [K, W, D] and categories [K, D].

    The video vector is not normalised again.
    """
    video = saliency(v, words, weights, tau) @ unit(v)
    return (video * unit(category)).sum(-1)


def head(x: torch.Tensor, heads: dict[str, torch.Tensor], name: str) -> torch.Tensor:
    """Applies the `query` or `sentence` MLP of the trained attribute branch: x [n, D], normalised first, to [n, D]."""
    h = F.relu(F.linear(unit(x), heads[f"{name}_fc.0.weight"], heads[f"{name}_fc.0.bias"]))
    return F.linear(h, heads[f"{name}_fc.2.weight"], heads[f"{name}_fc.2.bias"])


def attribute_scores(sentence: torch.Tensor, category: torch.Tensor, heads: dict[str, torch.Tensor]) -> torch.Tensor:
    """Computes S_A [K] of a sentence embedding [D] and categories [K, D], after the trained heads if there are any."""
    if heads:
        return unit(head(category, heads, "query")) @ unit(head(sentence[None], heads, "sentence"))[0]
    return unit(category) @ unit(sentence)


def fuse(s_v: torch.Tensor, s_a: torch.Tensor, weight: float, scale: float) -> torch.Tensor:
    """Computes lambda S_V + (1 - lambda) S_A, each after one softmax over K at the logit scale."""
    return weight * (scale * s_v).softmax(-1) + (1 - weight) * (scale * s_a).softmax(-1)
