"""The two towers of CLIP and BIKE's temporal header, over a checked checkpoint."""

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F

from ..checkpoint import Checkpoint
from .blocks import Past, blocks, layer_norm

HEADER_EPSILON = 1e-12  # inside the square root, as the header's own LayerNorm has it
HEADER_LAYERS = 6


@torch.no_grad()
def encode_frames(c: Checkpoint, frames: torch.Tensor) -> torch.Tensor:
    """Frames [n, 3, S, S], normalised, to embeddings [n, D], not normalised: the class token after ln_post, projected."""
    s, state = c.shape, c.clip
    x = F.conv2d(frames, state["visual.conv1.weight"], stride=s.patch).flatten(2).transpose(1, 2)
    token = state["visual.class_embedding"].expand(len(x), 1, -1)
    x = torch.cat([token, x], 1) + state["visual.positional_embedding"]
    x = layer_norm(x, state, "visual.ln_pre", 1e-5)
    x = blocks(x, state, "visual.transformer.resblocks.", s.layers, s.heads, activation=c.activation)
    return layer_norm(x[:, 0], state, "visual.ln_post", 1e-5) @ state["visual.proj"]


@torch.no_grad()
def encode_text(
    c: Checkpoint, tokens: torch.Tensor, past: Past | None = None, keep: Past | None = None
) -> torch.Tensor:
    """Tokens [n, L] to the projected embeddings of all positions [n, L, D], not normalised.

    `past`: what `keep` collected of a text [1, P] that goes before all of these; they then start at position P.
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
        keep=keep,
    )
    return layer_norm(x, state, "ln_final", 1e-5) @ state["text_projection"]


def ends(tokens: torch.Tensor) -> torch.Tensor:
    """Position [n] of the end mark, which is the largest token number, in tokens [n, L]."""
    return tokens.argmax(-1)


def shared_prefix(tokens: np.ndarray) -> int:
    """How many leading positions hold the same token in all texts [n, 77]; 0 for a single text."""
    if len(tokens) < 2:
        return 0
    same = (tokens == tokens[0]).all(0)
    return int(same.argmin()) if not same.all() else len(same)


def encode_prefix(c: Checkpoint, tokens: torch.Tensor) -> tuple[torch.Tensor, Past | None]:
    """What texts [n, 77] begin with alike, read once: its embeddings [P, D], and the past of what follows.

    The tower is causal, so what follows changes neither. The end mark is never in it.
    """
    length = min(shared_prefix(tokens.numpy()), int(ends(tokens).min()))
    if not length:
        return torch.zeros(0, c.shape.embed), None
    past: Past = []
    return encode_text(c, tokens[:1, :length], keep=past)[0], past


def encode_words(
    c: Checkpoint, tokens: np.ndarray, batch: int = 16, progress: Callable[[int, int], None] = lambda done, total: None
) -> tuple[np.ndarray, np.ndarray]:
    """Tokens [n, 77] to the embedding at the end mark [n, D] and those of all positions [n, 77, D], not normalised."""
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


def encode_sentences(
    c: Checkpoint, tokens: np.ndarray, batch: int = 64, progress: Callable[[int, int], None] = lambda done, total: None
) -> np.ndarray:
    """Tokens [n, 77] to the embedding at the end mark [n, D], not normalised.

    A causal tower's output at the end mark does not depend on what follows, so texts go through in order of length,
    cut after the longest of their batch.
    """
    all_tokens = torch.from_numpy(tokens)
    first, past = encode_prefix(c, all_tokens)
    order = torch.argsort(ends(all_tokens), stable=True)
    out = np.zeros((len(tokens), c.shape.embed), np.float32)
    done = 0
    for part in order.split(batch):
        some = all_tokens[part, len(first) :]
        last = ends(some)
        found = encode_text(c, some[:, : int(last.max()) + 1], past)
        out[part.numpy()] = found[torch.arange(len(part)), last].numpy()
        done += len(part)
        progress(done, len(tokens))
    return out


@torch.no_grad()
def temporal(c: Checkpoint, x: torch.Tensor) -> torch.Tensor:
    """Frame embeddings [b, T, D] through the header: positions added, six blocks, then the input added again."""
    if not c.header:
        return x
    y = x + c.header["frame_position_embeddings.weight"][: x.shape[1]]
    y = blocks(
        y,
        c.header,
        "transformer.resblocks.",
        HEADER_LAYERS,
        c.shape.text_heads,
        activation="quickgelu",
        epsilon=HEADER_EPSILON,
    )
    return y + x
