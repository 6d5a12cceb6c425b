"""Makes the demo bundle: every step in order."""

import sys
import time
from pathlib import Path

import numpy as np
import torch

from ..bundle import BundleWriter
from ..tables import add_table, unit_rows
from . import bridge, card, composer, graph, image, quality, settings, tuples, vocabulary
from .compact import WordTable, compact_words
from .space import TextSpace
from .text import MiniLM


def say(text: str) -> None:
    """One line of progress."""
    print(f"[{time.strftime('%H:%M:%S')}] {text}", file=sys.stderr, flush=True)


def compact(space: TextSpace, phrases: list[str], max_rows: int) -> WordTable:
    """Word rows of phrases; the weights of each phrase sum to 1, as phrases have different counts of words."""
    words = space.words(phrases)
    return compact_words(words, [np.full(len(w), 1.0 / len(w)) for w in words],
                         cosine=settings.WORD_COSINE, max_rows=max_rows)


def add_words(tensors: dict[str, np.ndarray], table: WordTable) -> None:
    """Puts a compacted word table into `tensors`, int8 with a scale a row."""
    add_table(tensors, "word", table.word, "i8")
    tensors["word_weight"] = table.word_weight


def train_composer(space: TextSpace, phrases: list[str], vectors: np.ndarray, points: np.ndarray,
                   judged: np.ndarray, count: int) -> tuple[composer.Composer, dict[str, float]]:
    """Draws tuples, has the text tower read them, fits the composer and judges it on tuples left out.

    judged [K, D] are the categories whose scores are compared; the mean of the phrases is judged beside it.
    """
    rng = np.random.default_rng(settings.SEED)
    train = tuples.draw_all(count, vectors, points, rng)
    held = tuples.draw_all(settings.HELD_OUT_TUPLES, vectors, points, rng)
    both = np.concatenate([train, held])
    raw = space.attribute_sentences([[phrases[i] for i in t] for t in both])
    mean = raw[: len(train)].mean(0)
    target = raw - mean
    fitted = composer.train(vectors[train], unit_rows(target[: len(train)]), epochs=settings.COMPOSER_EPOCHS, seed=settings.SEED)
    truth, given = target[len(train) :], vectors[held]
    figures = quality.compare(fitted(given), truth, mean, judged, "composer")
    figures |= quality.compare(given.mean(1), truth, mean, judged, "phrase_mean")
    images = slice(2 * settings.HELD_OUT_TUPLES, None)
    figures |= quality.compare(fitted(given)[images], truth[images], mean, judged, "composer_image_like")
    return fitted, figures


def build(out: Path, words: Path, count: int = settings.TUPLES) -> dict[str, float]:
    """Makes the bundle at `out` from the word lists in `words`; returns its quality figures."""
    torch.manual_seed(settings.SEED)
    torch.use_deterministic_algorithms(True)
    activities, background = vocabulary.categories(words)
    names, phrases = activities + background, vocabulary.lexicon(words)
    say(f"{len(activities)} activities, {len(background)} background categories, {len(phrases)} phrases")

    tower = MiniLM()
    space = TextSpace.fit(tower, phrases)
    category, vectors = space.phrases(names), space.phrases(phrases)
    category_words = compact(space, names, settings.CATEGORY_WORDS)
    phrase_words = compact(space, phrases, settings.PHRASE_WORDS)
    say(f"word rows: {category_words.word.shape[1]} a category, {phrase_words.word.shape[1]} a phrase "
        f"(mean cosine to the exact rows {category_words.cosine_mean:.3f} and {phrase_words.cosine_mean:.3f})")

    points = bridge.class_points(tower, words / "bridge" / "associations.txt")
    say(f"training the composer on {3 * count} attribute sentences")
    fitted, figures = train_composer(space, phrases, vectors, points, category, count)
    figures |= {"category_word_cosine": round(category_words.cosine_mean, 4),
                "lexicon_word_cosine": round(phrase_words.cosine_mean, 4)} | settings.CLIP_FIGURES

    with BundleWriter(out) as b:
        properties = {"name": settings.HEAD["name"], "licence": settings.HEAD["licence"], "provenance": settings.HEAD["provenance"]}
        graph.write_visual(b.path("visual.onnx"), image.load(), points, bridge.TEMPERATURE, properties)
        fitted.write(b.path("composer.onnx"), properties)
        b.names("categories.txt", names)
        tensors: dict[str, np.ndarray] = {}
        add_table(tensors, "category", category, "i8")
        add_words(tensors, category_words)
        b.tables("categories.safetensors", tensors)
        b.names("lexicon.txt", phrases)
        tensors = {}
        add_table(tensors, "retrieval", vectors, "i8")
        add_words(tensors, phrase_words)
        b.tables("lexicon.safetensors", tensors)
        card.write(b, figures)
        size = b.finish(settings.HEAD, model=settings.MODEL, preprocess=settings.PREPROCESS,
                        defaults={"background": background, **settings.DEFAULTS}, quality=figures)
    say(f"wrote {out}: {size / 1e6:.2f} MB")
    return figures
