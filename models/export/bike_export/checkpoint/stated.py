"""What the configuration files of a model folder state, held against what is computed here."""

from pathlib import Path
from typing import Any

from . import container, huggingface
from .problem import BadCheckpoint

MEAN = [0.48145466, 0.4578275, 0.40821073]  # of pixels from 0 to 1, as all of CLIP's family were trained
STD = [0.26862954, 0.26130258, 0.27577711]
# Settings of OpenCLIP's towers, and the only values that are computed here.
OPEN_CLIP = {
    "vision_cfg": {
        "head_width": 64,
        "mlp_ratio": 4.0,
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
        "mlp_ratio": 4.0,
        "embed_cls": False,
        "proj_bias": False,
        "hf_model_name": None,
        "ls_init_value": None,
    },
}


def folder_activation(folder: Path) -> str | None:
    """The activation that a model folder states, if it does; what else its files state must be what is computed here."""
    if (folder / "preprocessor_config.json").is_file():
        stated = container.read_json(folder / "preprocessor_config.json")
        refuse_pixels(stated.get("image_mean"), stated.get("image_std"), folder / "preprocessor_config.json")
    if (folder / "open_clip_config.json").is_file():
        file = folder / "open_clip_config.json"
        config = container.read_json(file)
        pixels = section(config, "preprocess_cfg", file)
        refuse_pixels(pixels.get("mean"), pixels.get("std"), file)
        model = section(config, "model_cfg", file)
        for tower, settings in OPEN_CLIP.items():
            stated = section(model, tower, file)
            for key, computed in settings.items():
                if stated.get(key, computed) != computed:
                    raise BadCheckpoint(f"{file}: {tower}.{key} is {stated[key]!r}; only {computed!r} is supported")
        return "quickgelu" if model.get("quick_gelu") else "gelu"
    if (folder / "config.json").is_file():
        return huggingface.activation(container.read_json(folder / "config.json"), str(folder))
    return None


def section(config: dict[str, Any], name: str, file: Path) -> dict[str, Any]:
    """A part of a configuration, which may be left out."""
    found = config.get(name) or {}
    if not isinstance(found, dict):
        raise BadCheckpoint(f"{file}: {name} is not an object")
    return found


def refuse_pixels(mean: Any, std: Any, file: Path) -> None:
    """Refuses a model whose pixels are normalised in another way."""
    for what, stated, ours in (("mean", mean, MEAN), ("std", std, STD)):
        if stated is None:
            continue
        numbers = isinstance(stated, list) and len(stated) == 3 and all(isinstance(x, (int, float)) for x in stated)
        if not numbers or max(abs(a - b) for a, b in zip(stated, ours)) > 1e-3:
            raise BadCheckpoint(f"{file}: pixels are normalised with the {what} {stated}; only CLIP's own, {ours}, is supported")
