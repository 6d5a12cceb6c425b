"""What is to be made: command line and BIKE configuration file, settled against the checkpoint."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from ..checkpoint import BadCheckpoint, Checkpoint
from ..checkpoint.shape import CONTEXT

MAX_WINDOW, MAX_TOP_K = 64, 16
MAX_RESIZE, MAX_LINE = 2048, 128  # pixels, and bytes of a name or a licence: what the program reads


@dataclass
class Options:
    """What was asked for; None is "not said"."""

    checkpoint: Path
    out: Path
    labels: Path
    lexicon: Path | None = None
    frames: list[Path] = field(default_factory=list)
    name: str | None = None
    version: str = "1.0.0"
    licence: str = "NOASSERTION"
    precision: str = "int8"
    window: int | None = None
    interaction: str | None = None
    crop: int | None = None
    resize: int | None = None
    top_k: int | None = None
    weight: float | None = None
    prompts: list[str] | None = None
    lexicon_prompt: str | None = None
    attribute_checkpoint: Path | None = None
    attribute_clip: Path | None = None
    attribute_encoder: str | None = None
    activation: str | None = None
    exact_words: bool = False
    word_bound: float = 1e-3
    keep_text: bool = False
    composer: bool = True
    tuples: int | None = None
    config: Path | None = None
    force: bool = False


@dataclass
class Settings:
    """What will be made: values of the manifest's [model] and [preprocess]."""

    window: int
    header: str
    interaction: str
    crop: int
    resize: int
    top_k: int
    weight: float


def read_config(path: Path | None) -> dict[str, Any]:
    """The values of a BIKE YAML file that matter here: T, header, interaction, input size, top-k, architecture."""
    if path is None:
        return {}
    try:
        loaded = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as e:
        raise ValueError(f"{path}: not a YAML file: {e}") from e
    if not isinstance(loaded, dict) or not all(isinstance(loaded.get(s), dict) for s in ("data", "network")):
        raise ValueError(f"{path}: not a BIKE configuration (no `data` and `network` sections)")
    data, network = loaded["data"], loaded["network"]
    if network.get("joint_st"):
        raise BadCheckpoint(f"{path}: a joint space-time model (joint_st: True), which cannot encode frame by frame")
    found = {
        "window": data.get("num_segments"),
        "crop": data.get("input_size"),
        "top_k": data.get("select_topk_attributes"),
        "header": network.get("sim_header"),
        "interaction": network.get("interaction"),
        "arch": network.get("arch"),
    }
    for key in ("window", "crop", "top_k"):
        if found[key] is not None and type(found[key]) is not int:
            raise ValueError(f"{path}: {key} is {found[key]!r}, not a whole number")
    return {k: v for k, v in found.items() if v is not None}


def check_numbers(o: Options) -> None:
    """What can be told to be wrong before anything is read."""
    if not 0 < o.word_bound < float("inf"):
        raise ValueError(f"--word-bound {o.word_bound}: a number above 0")
    if o.tuples is not None and o.tuples < 1:
        raise ValueError(f"--tuples {o.tuples}: at least 1, or --no-composer")
    for flag, text in (("--name", o.name or o.out.name), ("--version", o.version), ("--licence", o.licence)):
        if not text.strip() or len(text.encode()) > MAX_LINE or not text.isprintable():
            raise ValueError(f"{flag} {text[:40]!r}: one printable line of {MAX_LINE} bytes at most")


def settle(o: Options, c: Checkpoint) -> Settings:
    """Command line before configuration before defaults; anything that contradicts the checkpoint is refused."""
    config = read_config(o.config)

    def pick(key: str, said: Any, default: Any) -> Any:
        return said if said is not None else config.get(key, default)

    header = "transf" if c.header else "none"
    stated = str(config.get("header", header)).lower()
    if stated != header:
        raise ValueError(
            f"{o.config}: sim_header is {config['header']}, and the checkpoint's header is {header}: they do not belong together"
        )
    window = pick("window", o.window, None)
    if window is None:
        if c.header:
            raise ValueError(
                "this checkpoint has a temporal header, which was trained for one T, and no file of weights tells it: add --window T or --config FILE"
            )
        window = 8
    longest = min(MAX_WINDOW, c.shape.context if c.header else MAX_WINDOW)
    if not 1 <= window <= longest:
        raise ValueError(f"--window {window}: between 1 and {longest}")
    if o.keep_text and c.shape.context != CONTEXT:
        raise ValueError(f"--keep-text: the text tower has {c.shape.context} positions, and the program's texts {CONTEXT}")
    crop = pick("crop", o.crop, c.shape.size)
    if crop != c.shape.size:
        raise ValueError(
            f"--crop {crop}: this checkpoint ({c.shape.name}) takes frames of {c.shape.size} x {c.shape.size}, by its positions"
        )
    resize = o.resize if o.resize is not None else (256 if crop == 224 else crop)
    if not crop <= resize <= MAX_RESIZE:
        raise ValueError(
            f"--resize {resize}: the shorter side must be {crop} at least, the size of the crop, and {MAX_RESIZE} at most"
        )
    interaction = str(pick("interaction", o.interaction, "vcs")).lower()
    if interaction not in ("vcs", "dp"):
        raise ValueError(f"--interaction {interaction}: vcs or dp")
    top_k = pick("top_k", o.top_k, 5)
    if not 1 <= top_k <= MAX_TOP_K:
        raise ValueError(f"--top-k {top_k}: between 1 and {MAX_TOP_K}")
    weight = 1.0 if o.lexicon is None else (0.8 if o.weight is None else o.weight)
    if not 0 <= weight <= 1:
        raise ValueError(f"--lambda {weight}: between 0 and 1")
    arch = str(config.get("arch", "")).replace("-336px", "@336px")
    if arch and c.shape.name.startswith("ViT-") and arch != c.shape.name:
        raise ValueError(f"{o.config}: arch is {config['arch']}, and the checkpoint is a {c.shape.name}")
    return Settings(window, header, interaction, crop, resize, top_k, weight)
