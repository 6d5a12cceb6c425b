"""Reads the configuration files of a model folder and refuses models that would be computed in another way."""

from pathlib import Path
from typing import Any

from ..problem import Problem
from . import container, hugging_face

MEAN = [0.48145466, 0.4578275, 0.40821073]  # of pixels from 0 to 1, as all of CLIP's family were trained
STD = [0.26862954, 0.26130258, 0.27577711]
# Settings of OpenCLIP's towers with the only values that are supported.
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


def read_activation(folder: Path) -> str | None:
    """Returns the activation that a model folder declares, or None. Refuses other settings that are not supported."""
    if (folder / "preprocessor_config.json").is_file():
        config = container.read_json(folder / "preprocessor_config.json")
        refuse_normalisation(config.get("image_mean"), config.get("image_std"), folder / "preprocessor_config.json")
    if (folder / "open_clip_config.json").is_file():
        file = folder / "open_clip_config.json"
        config = container.read_json(file)
        preprocess = section(config, "preprocess_cfg", file)
        refuse_normalisation(preprocess.get("mean"), preprocess.get("std"), file)
        model = section(config, "model_cfg", file)
        for tower, settings in OPEN_CLIP.items():
            declared = section(model, tower, file)
            for key, supported in settings.items():
                if declared.get(key, supported) != supported:
                    raise Problem(
                        f"{file}: {tower}.{key} is {declared[key]!r}, and only {supported!r} is supported; "
                        "use another model"
                    )
        return "quickgelu" if model.get("quick_gelu") else "gelu"
    if (folder / "config.json").is_file():
        return hugging_face.activation(container.read_json(folder / "config.json"), folder / "config.json")
    return None


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
