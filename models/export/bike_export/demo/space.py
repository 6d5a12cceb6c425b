"""The text space of the demo model: MiniLM vectors, centred on the lexicon and normalised.

Sentence vectors of any two texts look alike (their mean is far from zero), which hides what differs. Centring both
sides, text and ImageNet classes, is the choice that matters most for recognition (see the model card).
"""

from dataclasses import dataclass

import numpy as np

from ..tables import unit_rows
from .text import MiniLM

PHRASE_PROMPTS = ("{}",)
SENTENCE_PROMPT = "This is a video about {}"  # BIKE's, for attribute sentences


@dataclass
class TextSpace:
    """MiniLM and the means that are taken off: of phrases [D], of their token vectors [D], of sentences [D]."""

    tower: MiniLM
    phrase_mean: np.ndarray
    token_mean: np.ndarray
    sentence_mean: np.ndarray | None = None

    @classmethod
    def fit(cls, tower: MiniLM, phrases: list[str]) -> "TextSpace":
        """Means over the lexicon."""
        tokens = tower.tokens(phrases)
        raw = cls.raw_phrases(tower, phrases)
        return cls(tower, raw.mean(0), np.concatenate([t[1:-1] for t in tokens]).mean(0))

    @staticmethod
    def raw_phrases(tower: MiniLM, phrases: list[str]) -> np.ndarray:
        """Phrase vectors [n, D] before centring: the mean over the prompts, normalised."""
        total = sum(tower.sentences([p.format(t) for t in phrases]) for p in PHRASE_PROMPTS)
        return unit_rows(total)

    def phrases(self, phrases: list[str]) -> np.ndarray:
        """Phrase vectors [n, D] in the space: centred, length 1."""
        return unit_rows(self.raw_phrases(self.tower, phrases) - self.phrase_mean)

    def words(self, phrases: list[str]) -> list[np.ndarray]:
        """For each phrase its word vectors [tokens, D]: contextual token vectors, centred, length 1."""
        return [unit_rows(t[1:-1] - self.token_mean) for t in self.tower.tokens(phrases)]

    def attribute_sentences(self, tuples: list[list[str]]) -> np.ndarray:
        """Sentence vectors [n, D] of attribute lists, as the text tower makes them, before centring."""
        return self.tower.sentences([SENTENCE_PROMPT.format(",".join(t)) for t in tuples])
