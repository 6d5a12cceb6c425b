"""Converts Hugging Face's `CLIPModel` to CLIP's own tensor names."""

import re
from pathlib import Path
from typing import Any

import torch

from ..problem import Problem, shorten

TOP = {
    "vision_model.embeddings.class_embedding": "visual.class_embedding",
    "vision_model.embeddings.patch_embedding.weight": "visual.conv1.weight",
    "vision_model.embeddings.position_embedding.weight": "visual.positional_embedding",
    "vision_model.pre_layrnorm": "visual.ln_pre",  # the library spells it like this
    "vision_model.post_layernorm": "visual.ln_post",
    "text_model.embeddings.token_embedding.weight": "token_embedding.weight",
    "text_model.embeddings.position_embedding.weight": "positional_embedding",
    "text_model.final_layer_norm": "ln_final",
    "logit_scale": "logit_scale",
}
BLOCK = {
    "layer_norm1": "ln_1",
    "layer_norm2": "ln_2",
    "mlp.fc1": "mlp.c_fc",
    "mlp.fc2": "mlp.c_proj",
    "self_attn.out_proj": "attn.out_proj",
}
LAYER = re.compile(r"(vision|text)_model\.encoder\.layers\.(\d+)\.(.+)\.(weight|bias)")


def is_state(state: dict[str, Any]) -> bool:
    """Returns whether the tensor names are Hugging Face's."""
    return any(k.startswith(("vision_model.", "text_model.")) for k in state)


def convert(state: dict[str, torch.Tensor], where: str) -> dict[str, torch.Tensor]:
    """Returns the tensors under CLIP's names: q, k and v joined to one matrix, projections transposed."""
    out: dict[str, torch.Tensor] = {}
    parts: dict[str, dict[str, torch.Tensor]] = {}
    unknown = []
    for name, tensor in state.items():
        stem, _, leaf = name.rpartition(".")
        if name.endswith("position_ids"):
            continue
        if name in ("visual_projection.weight", "text_projection.weight"):
            if tensor.ndim != 2:
                raise Problem(f"{where}: {name} has {tensor.ndim} axes, not 2; use the checkpoint as it was published")
            out["visual.proj" if name[0] == "v" else "text_projection"] = tensor.T
        elif name in TOP:
            out[TOP[name]] = tensor
        elif stem in TOP:
            out[f"{TOP[stem]}.{leaf}"] = tensor
        elif match := LAYER.fullmatch(name):
            tower, layer, part, leaf = match.groups()
            prefix = f"{'visual.' if tower == 'vision' else ''}transformer.resblocks.{layer}."
            if part in BLOCK:
                out[f"{prefix}{BLOCK[part]}.{leaf}"] = tensor
            elif part in ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"):
                parts.setdefault(f"{prefix}attn.in_proj_{leaf}", {})[part[-6]] = tensor
            else:
                unknown.append(name)
        else:
            unknown.append(name)
    if unknown:
        raise Problem(f"{where}: not part of a CLIPModel: {shorten(sorted(unknown))}; use a plain CLIPModel")
    for name, qkv in parts.items():
        if missing := [f"{x}_proj" for x in "qkv" if x not in qkv]:
            raise Problem(f"{where}: {', '.join(missing)} missing for {name}; copy the checkpoint again")
        if len({qkv[x].shape[1:] for x in "qkv"}) != 1:
            raise Problem(f"{where}: q, k and v of {name} differ in shape; copy the checkpoint again")
        out[name] = torch.cat([qkv[x] for x in "qkv"])
    return out


def activation(config: dict[str, Any], file: Path) -> str:
    """Returns `quickgelu` or `gelu` from config.json. Refuses other settings that are not supported."""
    found = set()
    for part in ("vision_config", "text_config"):
        tower = config.get(part) or {}
        found.add(tower.get("hidden_act", "quick_gelu"))
        if abs(tower.get("layer_norm_eps", 1e-5) - 1e-5) > 1e-9:
            raise Problem(
                f"{file}: {part}.layer_norm_eps is {tower['layer_norm_eps']}, and only 1e-5 is supported; "
                "use another model"
            )
        width, heads = tower.get("hidden_size"), tower.get("num_attention_heads")
        if width and heads and heads * 64 != width:
            raise Problem(
                f"{file}: {part} has width {width} and {heads} heads, and only heads of width 64 are supported; "
                "use another model"
            )
    if found == {"quick_gelu"}:
        return "quickgelu"
    if found == {"gelu"}:
        return "gelu"
    raise Problem(
        f"{file}: the activation is {' and '.join(sorted(found))}, and only quick_gelu or gelu in both towers is "
        "supported; use another model"
    )
