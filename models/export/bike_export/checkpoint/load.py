"""Loads a checkpoint of any supported format, which is detected from its content."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ..bundle import sha256
from ..problem import Problem, shorten
from . import container, hugging_face
from .folder_config import Declared, read_config
from .shape import Shape, attribute_shapes, check, clip_shapes, header_shapes, read_shape

ACTIVATIONS = ("quickgelu", "gelu")
# Facts in OpenAI's archives and a buffer of OpenCLIP's. All of them follow from the weights.
REDUNDANT = ("input_resolution", "context_length", "vocab_size", "attn_mask", "text.attn_mask")


@dataclass
class Checkpoint:
    """A model in CLIP's own tensor names, f32 on the CPU."""

    kind: str  # the detected format, for people: "BIKE checkpoint", "OpenAI CLIP archive", ...
    path: Path
    sha256: str
    shape: Shape
    activation: str  # quickgelu | gelu
    clip: dict[str, torch.Tensor]
    header: dict[str, torch.Tensor]  # temporal header Transf; empty if there is none
    heads: dict[str, torch.Tensor]  # query_fc and sentence_fc of the trained attribute branch; empty if there are none
    fine_tuned: bool  # a BIKE checkpoint, not CLIP as it was published
    source: str = ""  # repository and commit on a model hub; empty for a file or folder
    licence: str | None = None  # as the repository states it

    @property
    def name(self) -> str:
        """Returns the name of the file or folder, or repository and commit."""
        return self.source or self.path.name

    def same_text_tower(self, other: "Checkpoint") -> bool:
        """Returns whether the text towers are equal within half precision, as they are in BIKE's checkpoints."""
        names = [n for n in self.clip if not n.startswith("visual.") and n != "logit_scale"]
        return self.activation == other.activation and all(
            n in other.clip
            and other.clip[n].shape == self.clip[n].shape
            and torch.allclose(self.clip[n], other.clip[n], rtol=2e-3, atol=1e-6)
            for n in names
        )


def sha256_of(path: Path) -> str:
    """Returns the hash of a file; of a folder, the hash of the names and hashes of its weights and configuration."""
    if path.is_dir():
        files = sorted(p for p in path.iterdir() if p.suffix in (".safetensors", ".bin", ".json"))
        return hashlib.sha256("".join(f"{p.name} {sha256_of(p)}\n" for p in files).encode()).hexdigest()
    return sha256(path)


def _tensors(value: Any, where: str) -> dict[str, torch.Tensor]:
    """Returns a state dict, without the `module.` that data-parallel training leaves anywhere in a name."""
    if not isinstance(value, dict) or not all(isinstance(k, str) for k in value):
        raise Problem(f"{where}: not a dictionary of named tensors; use the checkpoint as it was published")
    other = [k for k, v in value.items() if not isinstance(v, torch.Tensor)]
    if other:
        raise Problem(f"{where}: not tensors: {shorten(other)}; use a state dict of tensors only")
    named = {k.replace("module.", ""): v for k, v in value.items()}
    if len(named) != len(value):
        raise Problem(f"{where}: two tensors have the same name without `module.`; save the checkpoint again")
    return named


def _split_fusion(value: Any, where: str) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """Splits the second half of a BIKE checkpoint into (temporal header, attribute heads). Either may be empty."""
    tensors = _tensors(value, where)
    header = {k: v for k, v in tensors.items() if k.startswith(("frame_position_embeddings.", "transformer."))}
    heads = {k: v for k, v in tensors.items() if k.startswith(("query_fc.", "sentence_fc."))}
    if rest := sorted(set(tensors) - set(header) - set(heads)):
        raise Problem(f"{where}: neither a temporal header nor attribute heads: {shorten(rest)}; use a BIKE checkpoint")
    return header, heads


def _openclip_names(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Removes the prefix `text.`, under which some OpenCLIP models store the text tower."""
    if not any(k.startswith("text.") for k in state):
        return state
    return {k.removeprefix("text."): v for k, v in state.items()}


def load(path: Path | str, activation: str | None = None) -> Checkpoint:
    """Reads and checks a checkpoint. `activation` is required for bare weights, which do not contain it."""
    path = Path(path)
    if not path.exists():
        raise Problem(f"{path}: no such file or folder; check the path of the checkpoint")
    header: dict[str, torch.Tensor] = {}
    heads: dict[str, torch.Tensor] = {}
    config = Declared()
    fine_tuned = False
    if path.is_dir():
        container_name, value = container.read_folder(path)
        config = read_config(path)
        kind = f"model folder, {container_name}"
    else:
        kind, value = container.read(path)
    declared = config.activation
    if isinstance(value, dict) and "model_state_dict" in value:
        if "fusion_model_state_dict" not in value:
            raise Problem(f"{path}: fusion_model_state_dict is missing; use the whole BIKE checkpoint")
        header, heads = _split_fusion(value["fusion_model_state_dict"], f"{path}, fusion_model_state_dict")
        kind = "BIKE attribute checkpoint" if heads else "BIKE checkpoint"
        value, declared, fine_tuned = value["model_state_dict"], "quickgelu", True
    elif isinstance(value, dict) and isinstance(value.get("state_dict"), dict):
        value, kind = value["state_dict"], "OpenCLIP training checkpoint"
    state = _tensors(value, str(path))
    if kind == container.TORCHSCRIPT:
        kind, declared = "OpenAI CLIP archive", "quickgelu"
    elif "input_resolution" in state:  # only OpenAI's archives contain it, so these are their weights
        kind, declared = "OpenAI CLIP weights", "quickgelu"
    if hugging_face.is_state(state):
        kind = f"Hugging Face CLIPModel ({kind})"
        state = hugging_face.convert(state, str(path))
    state = _openclip_names({k: v for k, v in state.items() if k not in REDUNDANT})
    shape = read_shape(state, str(path), config.heads, config.text_heads)
    if activation and declared and activation != declared:
        raise Problem(f"--activation {activation}: {path} declares {declared}; leave the option out")
    if not (activation or declared):
        raise Problem(
            f"{path}: bare weights do not contain the activation; add --activation quickgelu (OpenAI's models, and "
            "OpenCLIP's whose name ends in -quickgelu) or --activation gelu (OpenCLIP's others)"
        )
    clip = check(state, clip_shapes(shape), str(path))
    if header:
        header = check(header, header_shapes(shape), f"{path}, fusion_model_state_dict")
        if shape.embed % 64 or shape.embed != shape.text_width:
            raise Problem(
                f"{path}: a temporal header of width {shape.embed} with a text tower of width {shape.text_width}; "
                "only equal widths, as BIKE has them, are supported"
            )
    if heads:
        heads = check(heads, attribute_shapes(shape), f"{path}, fusion_model_state_dict")
    return Checkpoint(kind, path, sha256_of(path), shape, activation or declared, clip, header, heads, fine_tuned)
