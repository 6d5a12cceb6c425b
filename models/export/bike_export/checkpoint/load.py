"""Reads a checkpoint of any supported format, told apart by its content."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from . import container, huggingface
from .problem import BadCheckpoint, some
from .shape import Shape, attribute_shapes, check, clip_shapes, header_shapes, read_shape
from .stated import folder_activation

ACTIVATIONS = ("quickgelu", "gelu")
# Facts that OpenAI's archives carry beside the weights, and a buffer of OpenCLIP's: all follow from the weights.
SPARE = ("input_resolution", "context_length", "vocab_size", "attn_mask", "text.attn_mask")


@dataclass
class Checkpoint:
    """A model in CLIP's own names, f32 on the CPU."""

    kind: str  # what was found, for people: "BIKE checkpoint", "OpenAI CLIP archive", ...
    path: Path
    sha256: str
    shape: Shape
    activation: str  # quickgelu | gelu
    clip: dict[str, torch.Tensor]
    header: dict[str, torch.Tensor]  # temporal header Transf; empty: none
    heads: dict[str, torch.Tensor]  # query_fc and sentence_fc of the trained attribute branch; empty: none
    fine_tuned: bool  # a BIKE checkpoint, not CLIP as it was published

    def same_text_tower(self, other: "Checkpoint") -> bool:
        """Whether the text towers are the same, to the rounding of half precision (BIKE's training freezes them)."""
        names = [n for n in self.clip if not n.startswith("visual.") and n != "logit_scale"]
        return self.activation == other.activation and all(
            n in other.clip
            and other.clip[n].shape == self.clip[n].shape
            and torch.allclose(self.clip[n], other.clip[n], rtol=2e-3, atol=1e-6)
            for n in names
        )


def sha256_of(path: Path) -> str:
    """Hash of a file; of a folder, the hash of the names and hashes of its weights and configuration."""
    if path.is_dir():
        files = sorted(p for p in path.iterdir() if p.suffix in (".safetensors", ".bin", ".json"))
        return hashlib.sha256("".join(f"{p.name} {sha256_of(p)}\n" for p in files).encode()).hexdigest()
    digest = hashlib.sha256()
    with open(path, "rb") as f:
        while block := f.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _tensors(value: Any, where: str) -> dict[str, torch.Tensor]:
    """A state dict, with `module.` dropped wherever it stands in a name (DataParallel leaves it there)."""
    if not isinstance(value, dict) or not all(isinstance(k, str) for k in value):
        raise BadCheckpoint(f"{where}: not a dictionary of named tensors")
    bad = [k for k, v in value.items() if not isinstance(v, torch.Tensor)]
    if bad:
        raise BadCheckpoint(f"{where}: not tensors: {some(bad)}")
    named = {k.replace("module.", ""): v for k, v in value.items()}
    if len(named) != len(value):
        raise BadCheckpoint(f"{where}: two tensors have one name once `module.` is dropped")
    return named


def _fusion(value: Any, where: str) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """The second half of a BIKE checkpoint: (temporal header, attribute heads), either or both empty."""
    tensors = _tensors(value, where)
    header = {k: v for k, v in tensors.items() if k.startswith(("frame_position_embeddings.", "transformer."))}
    heads = {k: v for k, v in tensors.items() if k.startswith(("query_fc.", "sentence_fc."))}
    if rest := sorted(set(tensors) - set(header) - set(heads)):
        raise BadCheckpoint(f"{where}: neither a temporal header nor attribute heads: {some(rest)}")
    return header, heads


def _openclip_names(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """OpenCLIP keeps the text tower under `text.` in some models."""
    if not any(k.startswith("text.") for k in state):
        return state
    return {k[5:] if k.startswith("text.") else k: v for k, v in state.items()}


def load(path: Path | str, activation: str | None = None) -> Checkpoint:
    """Reads and checks a checkpoint. `activation` is needed where a file of bare weights does not tell it."""
    path = Path(path)
    if not path.exists():
        raise BadCheckpoint(f"{path}: no such file")
    header: dict[str, torch.Tensor] = {}
    heads: dict[str, torch.Tensor] = {}
    stated = None
    fine_tuned = False
    if path.is_dir():
        found, value = container.read_folder(path)
        stated = folder_activation(path)
        kind = f"model folder, {found}"
    else:
        kind, value = container.read(path)
    if isinstance(value, dict) and "model_state_dict" in value:
        if "fusion_model_state_dict" not in value:
            raise BadCheckpoint(f"{path}: fusion_model_state_dict is missing, so it is not a whole BIKE checkpoint")
        header, heads = _fusion(value["fusion_model_state_dict"], f"{path}, fusion_model_state_dict")
        kind = "BIKE attribute checkpoint" if heads else "BIKE checkpoint"
        value, stated, fine_tuned = value["model_state_dict"], "quickgelu", True
    elif isinstance(value, dict) and isinstance(value.get("state_dict"), dict):
        value, kind = value["state_dict"], "OpenCLIP training checkpoint"
    state = _tensors(value, str(path))
    if kind == container.TORCHSCRIPT:
        kind, stated = "OpenAI CLIP archive", "quickgelu"
    elif "input_resolution" in state:  # only OpenAI's archives carry it, so these are their weights
        kind, stated = "OpenAI CLIP weights", "quickgelu"
    if huggingface.is_state(state):
        kind = f"Hugging Face CLIPModel ({kind})"
        state = huggingface.convert(state, str(path))
    state = _openclip_names({k: v for k, v in state.items() if k not in SPARE})
    shape = read_shape(state, str(path))
    if activation and stated and activation != stated:
        raise BadCheckpoint(f"{path}: states the activation {stated}, and --activation says {activation}: leave it out")
    if not (activation or stated):
        raise BadCheckpoint(
            f"{path}: bare weights do not tell the activation: add --activation quickgelu (OpenAI's models, and OpenCLIP's "
            "whose name ends in -quickgelu) or --activation gelu (OpenCLIP's others)"
        )
    clip = check(state, clip_shapes(shape), str(path))
    if header:
        header = check(header, header_shapes(shape), f"{path}, fusion_model_state_dict")
        if shape.embed % 64 or shape.embed != shape.text_width:
            raise BadCheckpoint(
                f"{path}: a temporal header of width {shape.embed} beside a text tower of width {shape.text_width}; BIKE's are equal"
            )
    if heads:
        heads = check(heads, attribute_shapes(shape), f"{path}, fusion_model_state_dict")
    return Checkpoint(kind, path, sha256_of(path), shape, activation or stated, clip, header, heads, fine_tuned)
