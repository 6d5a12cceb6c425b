"""Combines the command line and BIKE's configuration file with the checkpoint into the settings of a bundle."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from ..checkpoint import Checkpoint
from ..checkpoint.folder_config import MEAN, STD
from ..checkpoint.shape import CONTEXT
from ..problem import Problem, naming

MAX_WINDOW, MAX_TOP_K = 64, 16
MAX_RESIZE, MAX_LINE = 2048, 128  # pixels, and bytes of a name or a licence: the limits of bike-edge


@dataclass
class Options:
    """The options of the command line. None means that an option was not given."""

    checkpoint: Path | None
    out: Path
    labels: Path
    lexicon: Path | None = None
    background: str | None = None
    frames: list[Path] = field(default_factory=list)
    name: str | None = None
    version: str = "1.0.0"
    licence: str = "NOASSERTION"
    precision: str | None = None  # int8, but graphs have their own
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
    visual: Path | None = None
    text: Path | None = None


@dataclass
class Settings:
    """The settings of a bundle: values of [model] and [preprocess] in the manifest."""

    window: int
    header: str
    interaction: str
    crop: int
    resize: int
    top_k: int
    weight: float
    mean: list[float] = field(default_factory=lambda: list(MEAN))
    std: list[float] = field(default_factory=lambda: list(STD))


def read_config(path: Path | None) -> dict[str, Any]:
    """Reads T, header, interaction, input size, top-k and architecture from a BIKE YAML file."""
    if path is None:
        return {}
    with naming(f"--config {path}"):
        loaded = yaml.safe_load(path.read_text(encoding="utf-8"))
    if not isinstance(loaded, dict) or not all(isinstance(loaded.get(s), dict) for s in ("data", "network")):
        raise Problem(f"--config {path}: no `data` and `network` sections; use a configuration file of BIKE")
    data, network = loaded["data"], loaded["network"]
    if network.get("joint_st"):
        raise Problem(
            f"--config {path}: a joint space-time model (joint_st: True), which cannot encode single frames; "
            "train with joint_st: False"
        )
    values = {
        "window": data.get("num_segments"),
        "crop": data.get("input_size"),
        "top_k": data.get("select_topk_attributes"),
        "header": network.get("sim_header"),
        "interaction": network.get("interaction"),
        "arch": network.get("arch"),
    }
    for key in ("window", "crop", "top_k"):
        if values[key] is not None and type(values[key]) is not int:
            raise Problem(f"--config {path}: {key} is {values[key]!r}; write an integer")
    return {k: v for k, v in values.items() if v is not None}


def check_source(o: Options) -> None:
    """Refuses an export from nothing, from two models, and options that ready-made graphs cannot have."""
    if o.visual is None and o.text is None:
        if o.checkpoint is None:
            raise Problem("no checkpoint: nothing to export; name a checkpoint, or two graphs by --visual and --text")
        return
    if o.checkpoint is not None:
        raise Problem(f"{o.checkpoint}: a checkpoint next to --visual and --text; use either it or the graphs")
    if o.visual is None or o.text is None:
        raise Problem(f"--{'visual' if o.visual is None else 'text'}: missing; name both towers of the model")
    needs_tensors = {
        "--config": o.config,
        "--activation": o.activation,
        "--attribute-checkpoint": o.attribute_checkpoint,
        "--attribute-clip": o.attribute_clip,
        "--attribute-encoder": o.attribute_encoder,
        "--precision": o.precision,
    }
    if given := [option for option, value in needs_tensors.items() if value is not None]:
        raise Problem(
            f"--visual: {' and '.join(given)} cannot be used with ready-made graphs, which are taken over unchanged; "
            "leave it out, or export from the checkpoint"
        )


def check_options(o: Options) -> None:
    """Refuses invalid options before any file is read."""
    check_source(o)
    if not 0 < o.word_bound < float("inf"):
        raise Problem(f"--word-bound {o.word_bound}: not a number above 0; the default is 0.001")
    if o.tuples is not None and o.tuples < 1:
        raise Problem(f"--tuples {o.tuples}: too few; use at least 1, or --no-composer")
    for flag, text in (("--name", o.name or o.out.name), ("--version", o.version), ("--licence", o.licence)):
        if not text.strip() or len(text.encode()) > MAX_LINE or not text.isprintable():
            raise Problem(f"{flag} {text[:40]!r}: not a printable line of at most {MAX_LINE} bytes; use another text")


def resolve_settings(o: Options, c: Checkpoint) -> Settings:
    """Returns the settings, from the command line, else the configuration file, else the defaults.

    Refuses settings that contradict the checkpoint.
    """
    config = read_config(o.config)

    def pick(key: str, option: Any, default: Any) -> Any:
        return option if option is not None else config.get(key, default)

    header = "transf" if c.header else "none"
    configured = str(config.get("header", header)).lower()
    if configured != header:
        raise Problem(
            f"--config {o.config}: sim_header is {config['header']}, but the header of {o.checkpoint} is {header}; "
            "use the configuration file of this checkpoint"
        )
    window = pick("window", o.window, None)
    if window is None:
        if c.header:
            raise Problem(
                f"{o.checkpoint}: its temporal header works for one window length only, which no checkpoint contains; "
                "add --window T or --config FILE"
            )
        window = 8
    longest = min(MAX_WINDOW, c.shape.context if c.header else MAX_WINDOW)
    if not 1 <= window <= longest:
        raise Problem(f"--window {window}: out of range; use 1 to {longest}")
    if o.keep_text and c.shape.context != CONTEXT:
        raise Problem(
            f"--keep-text: the text tower has {c.shape.context} positions, and bike-edge needs {CONTEXT}; "
            "leave the option out"
        )
    crop = pick("crop", o.crop, c.shape.size)
    if crop != c.shape.size:
        raise Problem(
            f"--crop {crop}: this checkpoint ({c.shape.name}) takes {c.shape.size} x {c.shape.size} pixels; "
            "leave the option out"
        )
    resize = o.resize if o.resize is not None else (256 if crop == 224 else crop)
    if not crop <= resize <= MAX_RESIZE:
        raise Problem(f"--resize {resize}: out of range; use {crop} (the crop) to {MAX_RESIZE}")
    interaction = str(pick("interaction", o.interaction, "vcs")).lower()
    if interaction not in ("vcs", "dp"):
        raise Problem(f"--interaction {interaction}: not supported; use vcs or dp")
    top_k = pick("top_k", o.top_k, 5)
    if not 1 <= top_k <= MAX_TOP_K:
        raise Problem(f"--top-k {top_k}: out of range; use 1 to {MAX_TOP_K}")
    weight = 1.0 if o.lexicon is None else (0.8 if o.weight is None else o.weight)
    if not 0 <= weight <= 1:
        raise Problem(f"--lambda {weight}: out of range; use 0 to 1")
    arch = str(config.get("arch", "")).replace("-336px", "@336px")
    if arch and c.shape.name.startswith("ViT-") and arch != c.shape.name:
        raise Problem(
            f"--config {o.config}: arch is {config['arch']}, but {o.checkpoint} is a {c.shape.name}; "
            "use the configuration file of this checkpoint"
        )
    return Settings(window, header, interaction, crop, resize, top_k, weight)
