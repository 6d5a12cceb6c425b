"""Reads the configuration files of a model folder and refuses models that would be computed in another way."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..problem import Problem
from . import container, hugging_face
from .shape import Heads

MEAN = [0.48145466, 0.4578275, 0.40821073]  # of pixels from 0 to 1, as all of CLIP's family were trained
STD = [0.26862954, 0.26130258, 0.27577711]
# Settings of OpenCLIP's towers with the only values that are supported. Tensors show mlp_ratio.
OPEN_CLIP = {
    "vision_cfg": {
        "pool_type": "tok",
        "final_ln_after_pool": False,
        "attentional_pool": False,
        "no_ln_pre": False,
        "timm_model_name": None,
        "ls_init_value": None,
    },
    "text_cfg": {
        "pool_type": "argmax",
        "no_causal_mask": False,
        "embed_cls": False,
        "proj_bias": False,
        "hf_model_name": None,
        "ls_init_value": None,
    },
}


@dataclass(frozen=True)
class Declared:
    """What the configuration of a model folder declares and its tensors do not show."""

    activation: str | None = None
    heads: Heads = Heads()
    text_heads: Heads = Heads()


def read_config(folder: Path) -> Declared:
    """Returns what a model folder declares. Refuses other settings that are not supported."""
    if (folder / "preprocessor_config.json").is_file():
        config = container.read_json(folder / "preprocessor_config.json")
        refuse_normalisation(config.get("image_mean"), config.get("image_std"), folder / "preprocessor_config.json")
    if (folder / "open_clip_config.json").is_file():
        file = folder / "open_clip_config.json"
        config = container.read_json(file)
        preprocess = section(config, "preprocess_cfg", file)
        refuse_normalisation(preprocess.get("mean"), preprocess.get("std"), file)
        model = section(config, "model_cfg", file)
        _refuse_other_open_clip(model, file)
        for tower, settings in OPEN_CLIP.items():
            declared = section(model, tower, file)
            for key, supported in settings.items():
                if declared.get(key, supported) != supported:
                    raise Problem(
                        f"{file}: {tower}.{key} is {declared[key]!r}, and only {supported!r} is supported; "
                        "use another model"
                    )
        return _open_clip_declared(model, file)
    if (folder / "config.json").is_file():
        file = folder / "config.json"
        config = container.read_json(file)
        hugging_face.refuse_other_models(config, file)
        activation = hugging_face.activation(config, file)
        heads, text_heads = (hugging_face.heads(config, part, file) for part in hugging_face.DEFAULT_HEADS)
        return Declared(activation, heads, text_heads)
    return Declared()


def _refuse_other_open_clip(model: dict[str, Any], file: Path) -> None:
    """Refuses OpenCLIP's other architectures by name."""
    vision = section(model, "vision_cfg", file)
    if "init_logit_bias" in model:
        raise Problem(f"{file}: a SigLIP model, which is not supported; use a CLIP model")
    if "multimodal_cfg" in model:
        raise Problem(f"{file}: a CoCa model, which is not supported; use a CLIP model")
    if vision.get("timm_model_name"):
        raise Problem(
            f"{file}: an OpenCLIP model with the timm image tower {vision['timm_model_name']!r}, which is not "
            "supported; use one with CLIP's own ViT"
        )
    if isinstance(vision.get("layers"), list):
        raise Problem(f"{file}: a ResNet CLIP, which is not supported; use a vision transformer (ViT)")


def _open_clip_declared(model: dict[str, Any], file: Path) -> Declared:
    """Returns activation and heads. OpenCLIP states the width of a head of one tower and the number of the other's."""
    vision, text = section(model, "vision_cfg", file), section(model, "text_cfg", file)
    heads = Heads(width=hugging_face.positive(vision, "head_width", "vision_cfg", file))
    count = hugging_face.positive(text, "heads", "text_cfg", file)
    if count is None and "width" in text:
        count = 8  # OpenCLIP's default
    return Declared("quickgelu" if model.get("quick_gelu") else "gelu", heads, Heads(count=count))


def section(config: dict[str, Any], name: str, file: Path) -> dict[str, Any]:
    """Returns a section of a configuration; an empty one if it is missing."""
    value = config.get(name) or {}
    if not isinstance(value, dict):
        raise Problem(f"{file}: {name} is not an object; copy the file again from its source")
    return value


def refuse_normalisation(mean: Any, std: Any, file: Path) -> None:
    """Refuses a model whose pixels are normalised with other numbers than CLIP's."""
    for name, declared, supported in (("mean", mean, MEAN), ("std", std, STD)):
        if declared is None:
            continue
        numbers = (
            isinstance(declared, list) and len(declared) == 3 and all(isinstance(x, (int, float)) for x in declared)
        )
        if not numbers or max(abs(a - b) for a, b in zip(declared, supported, strict=True)) > 1e-3:
            raise Problem(
                f"{file}: pixels are normalised with the {name} {declared}, and only CLIP's {supported} is supported; "
                "use another model"
            )
