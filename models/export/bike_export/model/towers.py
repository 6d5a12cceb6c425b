"""The two towers of CLIP and BIKE's temporal header, over a checked checkpoint."""

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F

from ..checkpoint import Checkpoint
from .blocks import blocks, layer_norm

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
def encode_text(c: Checkpoint, tokens: torch.Tensor) -> torch.Tensor:
    """Tokens [n, L] to the projected embeddings of all positions [n, L, D], not normalised."""
    s, state = c.shape, c.clip
    x = state["token_embedding.weight"][tokens] + state["positional_embedding"][: tokens.shape[1]]
    x = blocks(x, state, "transformer.resblocks.", s.text_layers, s.text_heads, activation=c.activation, causal=True)
    return layer_norm(x, state, "ln_final", 1e-5) @ state["text_projection"]


def ends(tokens: torch.Tensor) -> torch.Tensor:
    """Position [n] of the end mark, which is the largest token number, in tokens [n, L]."""
    return tokens.argmax(-1)


def encode_words(
    c: Checkpoint, tokens: np.ndarray, batch: int = 16, progress: Callable[[int, int], None] = lambda done, total: None
) -> tuple[np.ndarray, np.ndarray]:
    """Tokens [n, 77] to the embedding at the end mark [n, D] and those of all positions [n, 77, D], not normalised."""
    sentence, words = [], []
    for part in torch.from_numpy(tokens).split(batch):
        out = encode_text(c, part)
        sentence.append(out[torch.arange(len(part)), ends(part)].numpy())
        words.append(out.numpy())
        progress(sum(map(len, sentence)), len(tokens))
    return np.concatenate(sentence), np.concatenate(words)


def encode_sentences(
    c: Checkpoint, tokens: np.ndarray, batch: int = 64, progress: Callable[[int, int], None] = lambda done, total: None
) -> np.ndarray:
    """Tokens [n, 77] to the embedding at the end mark [n, D], not normalised.

    A causal tower's output at the end mark does not depend on what follows, so texts go through in order of length,
    cut after the longest of their batch.
    """
    all_tokens = torch.from_numpy(tokens)
    order = torch.argsort(ends(all_tokens), stable=True)
    out = np.zeros((len(tokens), c.shape.embed), np.float32)
    done = 0
    for part in order.split(batch):
        some = all_tokens[part]
        last = ends(some)
        found = encode_text(c, some[:, : int(last.max()) + 1])
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
