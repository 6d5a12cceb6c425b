"""Reads the configuration files that model hubs have next to ONNX graphs, or one folder above them."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..checkpoint.container import read_json
from ..checkpoint.folder_config import MEAN, STD, section
from ..problem import Problem

SCALE = 1 / 255
BICUBIC = 3


@dataclass
class Pixels:
    """How pictures become pixels: the side S, if it is known, and mean and deviation for pixels from 0 to 1."""

    side: int | None = None
    mean: list[float] = field(default_factory=lambda: list(MEAN))
    std: list[float] = field(default_factory=lambda: list(STD))
    source: str = "CLIP's mean and deviation"


def read_pixels(graph: Path) -> Pixels:
    """Returns the side, mean and deviation that the configuration next to a graph declares, else CLIP's."""
    pixels = Pixels()
    for folder in (graph.absolute().parent, graph.absolute().parent.parent):
        file = folder / "preprocessor_config.json"
        if file.is_file():
            _read_preprocessor(file, pixels)
        config = folder / "config.json"
        if config.is_file():
            pixels.side = pixels.side or _whole(section(read_json(config), "vision_config", config).get("image_size"))
        if file.is_file() or config.is_file():
            break
    return pixels


def _read_preprocessor(file: Path, pixels: Pixels) -> None:
    config = read_json(file)
    size = config.get("crop_size") if config.get("do_center_crop", True) else config.get("size")
    if isinstance(size, dict):
        size = size.get("height", size.get("shortest_edge"))
    pixels.side = _whole(size)
    if not config.get("do_normalize", True):
        raise Problem(f"{file}: do_normalize is false, which is not supported; use another model")
    factor = config.get("rescale_factor", SCALE)
    if not config.get("do_rescale", True) or type(factor) is not float or abs(factor - SCALE) > 1e-6:
        raise Problem(f"{file}: pixels are not scaled to 0..1, and only that is supported; use another model")
    if config.get("resample", BICUBIC) != BICUBIC:
        raise Problem(f"{file}: resample is {config['resample']}, and only 3 (bicubic) is supported; use another model")
    for name, smallest in (("mean", 0.0), ("std", 1e-3)):
        numbers = config.get(f"image_{name}")
        if numbers is None:
            continue
        if not _are_numbers(numbers) or not all(smallest <= x <= 1 for x in numbers):
            raise Problem(f"{file}: image_{name} is {numbers!r} and not three numbers from 0 to 1; copy the file again")
        setattr(pixels, name, [float(x) for x in numbers])
        pixels.source = str(file)


def _are_numbers(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 3 and all(type(x) in (int, float) for x in value)


def _whole(value: Any) -> int | None:
    return value if type(value) is int and value > 0 else None
