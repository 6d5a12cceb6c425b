"""Makes the text space of the demo model: MiniLM vectors, centred on the lexicon and normalised.

The sentence vectors of any two texts are similar, because their mean is far from zero, which hides the differences.
Centring both sides, text and ImageNet classes, matters most for recognition (see the model card).
"""

from dataclasses import dataclass, field

import numpy as np

from ..tables import unit_rows
from .minilm import MiniLM
from .settings import SENTENCE_PROMPT


@dataclass
class TextSpace:
    """MiniLM and the means that are subtracted: of phrases [D] and of their token vectors [D]."""

    tower: MiniLM
    phrase_mean: np.ndarray
    token_mean: np.ndarray
    encoded: dict[str, np.ndarray] = field(default_factory=dict)  # token vectors [tokens, D] of phrases so far

    @classmethod
    def fit(cls, tower: MiniLM, phrases: list[str]) -> "TextSpace":
        """Returns the space with the means over the lexicon."""
        space = cls(tower, np.zeros(0), np.zeros(0))
        space.phrase_mean = space.raw_phrases(phrases).mean(0)
        space.token_mean = np.concatenate([t[1:-1] for t in space.tokens(phrases)]).mean(0)
        return space

    def tokens(self, phrases: list[str]) -> list[np.ndarray]:
        """Returns token vectors [tokens, D] of each phrase, with [CLS] and [SEP]. Each phrase is encoded once."""
        new = [p for p in dict.fromkeys(phrases) if p not in self.encoded]
        self.encoded.update(zip(new, self.tower.tokens(new), strict=True))
        return [self.encoded[p] for p in phrases]

    def raw_phrases(self, phrases: list[str]) -> np.ndarray:
        """Returns phrase vectors [n, D] before centring: MiniLM's sentence vectors."""
        return unit_rows(np.stack([t.mean(0) for t in self.tokens(phrases)]))

    def phrases(self, phrases: list[str]) -> np.ndarray:
        """Returns phrase vectors [n, D] in the space: centred, length 1."""
        return unit_rows(self.raw_phrases(phrases) - self.phrase_mean)

    def words(self, phrases: list[str]) -> list[np.ndarray]:
        """Returns the word vectors [tokens, D] of each phrase: contextual token vectors, centred, length 1."""
        return [unit_rows(t[1:-1] - self.token_mean) for t in self.tokens(phrases)]

    def attribute_sentences(self, tuples: list[list[str]]) -> np.ndarray:
        """Returns sentence vectors [n, D] of attribute lists by the text tower, before centring."""
        return self.tower.sentences([SENTENCE_PROMPT.format(",".join(t)) for t in tuples])
