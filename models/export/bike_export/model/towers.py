"""Runs the two towers of CLIP and BIKE's temporal header from a checked checkpoint.

A model that is not made of tensors (onnx_towers) registers its own encode_frames, encode_words and encode_sentences.
"""

from collections.abc import Callable
from functools import singledispatch

import numpy as np
import torch
import torch.nn.functional as F

from ..checkpoint import Checkpoint
from ..checkpoint.shape import HEAD
from .blocks import Past, blocks, layer_norm

HEADER_EPSILON = 1e-12  # inside the square root, as in the header's own LayerNorm
HEADER_LAYERS = 6


@singledispatch
@torch.no_grad()
def encode_frames(c: Checkpoint, frames: torch.Tensor) -> torch.Tensor:
    """Encodes normalised frames [n, 3, S, S] to embeddings [n, D], not normalised: the projected class token."""
    s, state = c.shape, c.clip
    x = F.conv2d(frames, state["visual.conv1.weight"], stride=s.patch).flatten(2).transpose(1, 2)
    token = state["visual.class_embedding"].expand(len(x), 1, -1)
    x = torch.cat([token, x], 1) + state["visual.positional_embedding"]
    x = layer_norm(x, state, "visual.ln_pre", 1e-5)
    x = blocks(x, state, "visual.transformer.resblocks.", s.layers, s.heads, activation=c.activation)
    return layer_norm(x[:, 0], state, "visual.ln_post", 1e-5) @ state["visual.proj"]


@torch.no_grad()
def encode_text(
    c: Checkpoint, tokens: torch.Tensor, past: Past | None = None, collect: Past | None = None
) -> torch.Tensor:
    """Encodes tokens [n, L] to the projected embeddings of all positions [n, L, D], not normalised.

    `past` is what `collect` received for a text [1, P] that precedes all of these, which then start at position P.
    """
    s, state = c.shape, c.clip
    at = past[0][0].shape[2] if past else 0
    x = state["token_embedding.weight"][tokens] + state["positional_embedding"][at : at + tokens.shape[1]]
    x = blocks(
        x,
        state,
        "transformer.resblocks.",
        s.text_layers,
        s.text_heads,
        activation=c.activation,
        causal=True,
        past=past,
        collect=collect,
    )
    return layer_norm(x, state, "ln_final", 1e-5) @ state["text_projection"]


def ends(tokens: torch.Tensor) -> torch.Tensor:
    """Returns the position [n] of the end mark, the largest token number, in tokens [n, L]."""
    return tokens.argmax(-1)


def shared_prefix(tokens: np.ndarray) -> int:
    """Returns how many leading positions have the same token in all texts [n, 77]; 0 for a single text."""
    if len(tokens) < 2:
        return 0
    same = (tokens == tokens[0]).all(0)
    return int(same.argmin()) if not same.all() else len(same)


def encode_prefix(c: Checkpoint, tokens: torch.Tensor) -> tuple[torch.Tensor, Past | None]:
    """Encodes the common beginning of texts [n, 77] once. Returns its embeddings [P, D] and the past for the rest.

    The tower is causal, so the rest changes neither of them. The beginning never contains the end mark.
    """
    length = min(shared_prefix(tokens.numpy()), int(ends(tokens).min()))
    if not length:
        return torch.zeros(0, c.shape.embed), None
    past: Past = []
    return encode_text(c, tokens[:1, :length], collect=past)[0], past


@singledispatch
def encode_words(
    c: Checkpoint, tokens: np.ndarray, batch: int = 16, progress: Callable[[int, int], None] = lambda done, total: None
) -> tuple[np.ndarray, np.ndarray]:
    """Encodes tokens [n, 77] to embeddings at the end mark [n, D] and at all positions [n, 77, D], not normalised."""
    all_tokens = torch.from_numpy(tokens)
    first, past = encode_prefix(c, all_tokens)
    words = np.empty((*tokens.shape, c.shape.embed), np.float32)
    words[:, : len(first)] = first.numpy()
    done = 0
    for part in all_tokens[:, len(first) :].split(batch):
        words[done : done + len(part), len(first) :] = encode_text(c, part, past).numpy()
        done += len(part)
        progress(done, len(tokens))
    return words[np.arange(len(tokens)), ends(all_tokens).numpy()], words


@singledispatch
def encode_sentences(
    c: Checkpoint, tokens: np.ndarray, batch: int = 64, progress: Callable[[int, int], None] = lambda done, total: None
) -> np.ndarray:
    """Encodes tokens [n, 77] to the embeddings at the end mark [n, D], not normalised.

    The tower is causal, so the output at the end mark does not depend on later positions. Texts are encoded in order of
    length, and each batch is as long as its longest text.
    """
    all_tokens = torch.from_numpy(tokens)
    first, past = encode_prefix(c, all_tokens)
    order = torch.argsort(ends(all_tokens), stable=True)
    out = np.zeros((len(tokens), c.shape.embed), np.float32)
    done = 0
    for part in order.split(batch):
        rest = all_tokens[part, len(first) :]
        last = ends(rest)
        encoded = encode_text(c, rest[:, : int(last.max()) + 1], past)
        out[part.numpy()] = encoded[torch.arange(len(part)), last].numpy()
        done += len(part)
        progress(done, len(tokens))
    return out


@torch.no_grad()
def temporal(c: Checkpoint, x: torch.Tensor) -> torch.Tensor:
    """Runs frame embeddings [b, T, D] through the header: positions are added, six blocks, the input is added again."""
    if not c.header:
        return x
    y = x + c.header["frame_position_embeddings.weight"][: x.shape[1]]
    y = blocks(
        y,
        c.header,
        "transformer.resblocks.",
        HEADER_LAYERS,
        c.shape.embed // HEAD,
        activation="quickgelu",
        epsilon=HEADER_EPSILON,
    )
    return y + x
