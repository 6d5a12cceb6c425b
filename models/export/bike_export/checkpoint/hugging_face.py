"""Converts Hugging Face's `CLIPModel` to CLIP's own tensor names."""

import re
from pathlib import Path
from typing import Any

import torch

from ..problem import Problem, shorten
from .shape import Heads

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
# Attention heads of a tower that states its width and not their number.
DEFAULT_HEADS = {"vision_config": 12, "text_config": 8}
# Names of other models by their model_type.
OTHER_MODELS = {
    "siglip": "SigLIP",
    "siglip2": "SigLIP 2",
    "align": "ALIGN",
    "altclip": "AltCLIP",
    "blip": "BLIP",
    "blip-2": "BLIP-2",
    "chinese_clip": "Chinese CLIP",
    "clip_text_model": "CLIP text",
    "clip_vision_model": "CLIP image",
    "clipseg": "CLIPSeg",
    "groupvit": "GroupViT",
    "metaclip_2": "MetaCLIP 2",
    "owlvit": "OWL-ViT",
    "xclip": "X-CLIP",
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


def refuse_other_models(config: dict[str, Any], file: Path) -> None:
    """Refuses models of another architecture by name."""
    kind = config.get("model_type")
    if kind is None and "architecture" in config:
        raise Problem(f"{file}: a timm model ({config['architecture']!r}), which is not supported; use a CLIP model")
    if kind not in (None, "clip"):
        name = OTHER_MODELS.get(kind, repr(kind)) if isinstance(kind, str) else repr(kind)
        article = "an" if name.strip("'")[:1].lower() in "aeio" or name == "X-CLIP" else "a"
        raise Problem(f"{file}: {article} {name} model, which is not supported; use a CLIP model")


def positive(tower: dict[str, Any], key: str, part: str, file: Path) -> int | None:
    """Returns a positive integer of a configuration, or None if it has none."""
    value = tower.get(key)
    if value is not None and (type(value) is not int or value < 1):
        raise Problem(f"{file}: {part}.{key} is {value!r}, not a positive integer; copy the file again from its source")
    return value


def heads(config: dict[str, Any], part: str, file: Path) -> Heads:
    """Returns the attention heads that config.json states for a tower."""
    tower = config.get(part) or {}
    count = positive(tower, "num_attention_heads", part, file)
    if count is None and "hidden_size" in tower:
        count = DEFAULT_HEADS[part]
    return Heads(count=count)


def activation(config: dict[str, Any], file: Path) -> str:
    """Returns `quickgelu` or `gelu` from config.json. Refuses other settings that are not supported."""
    found = set()
    for part in ("vision_config", "text_config"):
        tower = config.get(part) or {}
        if not isinstance(tower, dict):
            raise Problem(f"{file}: {part} is not an object; copy the file again from its source")
        found.add(str(tower.get("hidden_act", "quick_gelu")))
        epsilon = tower.get("layer_norm_eps", 1e-5)
        if not isinstance(epsilon, (int, float)) or abs(epsilon - 1e-5) > 1e-9:
            raise Problem(
                f"{file}: {part}.layer_norm_eps is {epsilon!r}, and only 1e-5 is supported; use another model"
            )
    if found == {"quick_gelu"}:
        return "quickgelu"
    if found == {"gelu"}:
        return "gelu"
    raise Problem(
        f"{file}: the activation is {' and '.join(sorted(found))}, and only quick_gelu or gelu in both towers is "
        "supported; use another model"
    )
