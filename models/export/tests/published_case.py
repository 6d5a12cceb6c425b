"""The texts on which the published code is compared, and methods that differ from BIKE's."""

import torch

from bike_export.model import scoring
from bike_export.text.tokenizer import tokenize

NAMES = [
    "archery",
    "jumping, running",
    "playing the piano",
    "cooking an egg",
    "abseiling",
    "washing hair",
    "ice skating",
]  # the names of conftest.LABELS
SENTENCES = [f"This is a video about {name}" for name in NAMES]
ATTRIBUTE_SENTENCE = "This is a video about a bow,a rope,a piano,a pan,an egg"


def wrong_methods(
    h: torch.Tensor, plain: torch.Tensor, words: torch.Tensor, category: torch.Tensor
) -> dict[str, torch.Tensor]:
    """Returns S_V by methods that are not BIKE's; h and plain [T, D] are frames with and without the header."""
    ends = torch.from_numpy(tokenize(SENTENCES)).argmax(-1)
    unmasked = (torch.arange(words.shape[1])[None] <= ends[:, None]).float()
    video = scoring.unit(scoring.saliency(h, words) @ scoring.unit(h))
    return {
        "mean pooling": scoring.dot_product(h, category),
        "doubled temperature": scoring.concept_spotting(h, words, category, tau=0.02),
        "padding masked": scoring.concept_spotting(h, words, category, unmasked),
        "video vector normalised again": (video * scoring.unit(category)).sum(-1),
        "header without its residual": scoring.concept_spotting(h - plain, words, category),
    }
