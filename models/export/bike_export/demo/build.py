"""Makes the demo bundle."""

from pathlib import Path

import numpy as np
import torch

from ..bundle import BundleWriter
from ..progress import log
from ..tables import add_table, unit_rows
from . import bridge, card, composer, efficientnet, evaluate, graph, settings, text_tower, tuples, word_lists
from .minilm import MiniLM
from .text_space import TextSpace
from .word_compaction import WordTable, compact_words


def compact(space: TextSpace, phrases: list[str], max_rows: int) -> WordTable:
    """Returns the word rows of phrases. The weights of each phrase add up to 1, because phrases differ in length."""
    words = space.words(phrases)
    return compact_words(
        words, [np.full(len(w), 1.0 / len(w)) for w in words], cosine=settings.WORD_COSINE, max_rows=max_rows
    )


def add_words(tensors: dict[str, np.ndarray], table: WordTable) -> None:
    """Adds a compacted word table to `tensors`, in int8 with one scale per row."""
    add_table(tensors, "word", table.word, "i8")
    tensors["word_weight"] = table.word_weight


def train_composer(
    space: TextSpace, phrases: list[str], vectors: np.ndarray, points: np.ndarray, categories: np.ndarray, count: int
) -> tuple[composer.Composer, np.ndarray, dict[str, float]]:
    """Draws tuples, encodes them with the text tower, and fits and evaluates the composer on separate tuples.

    `categories` [K, D] are those whose scores are compared. The mean of the phrases is evaluated too. Returns the
    composer, the mean of attribute sentences [D], and the figures.
    """
    rng = np.random.default_rng(settings.SEED)
    train = tuples.sample_all(count, vectors, points, rng)
    held_out = tuples.sample_all(settings.HELD_OUT_TUPLES, vectors, points, rng)
    both = np.concatenate([train, held_out])
    raw = space.attribute_sentences([[phrases[i] for i in t] for t in both])
    mean = raw[: len(train)].mean(0)
    target = raw - mean
    fitted = composer.train(
        vectors[train], unit_rows(target[: len(train)]), epochs=settings.COMPOSER_EPOCHS, seed=settings.SEED
    )
    expected, inputs = target[len(train) :], vectors[held_out]
    figures = evaluate.compare(fitted(inputs), expected, mean, categories, "composer")
    figures |= evaluate.compare(inputs.mean(1), expected, mean, categories, "phrase_mean")
    images = slice(2 * settings.HELD_OUT_TUPLES, None)
    figures |= evaluate.compare(fitted(inputs)[images], expected[images], mean, categories, "composer_image_like")
    return fitted, mean, figures


def build(out: Path, words: Path, count: int = settings.TUPLES) -> dict[str, float]:
    """Makes the bundle at `out` from the word lists in `words`. Returns its figures."""
    torch.manual_seed(settings.SEED)
    torch.use_deterministic_algorithms(True)
    activities, background = word_lists.categories(words)
    names, phrases = activities + background, word_lists.lexicon(words)
    log(f"{len(activities)} activities, {len(background)} background categories, {len(phrases)} phrases")

    tower = MiniLM()
    space = TextSpace.fit(tower, phrases)
    category, vectors = space.phrases(names), space.phrases(phrases)
    category_words = compact(space, names, settings.CATEGORY_WORDS)
    phrase_words = compact(space, phrases, settings.PHRASE_WORDS)
    log(
        f"word rows: {category_words.word.shape[1]} per category, {phrase_words.word.shape[1]} per phrase "
        f"(mean cosine to the exact rows {category_words.cosine_mean:.3f} and {phrase_words.cosine_mean:.3f})"
    )

    points = bridge.class_points(tower, words / "bridge" / "associations.txt")
    log(f"training the composer on {3 * count} attribute sentences")
    fitted, sentence_mean, figures = train_composer(space, phrases, vectors, points, category, count)
    figures |= {
        "category_word_cosine": round(category_words.cosine_mean, 4),
        "lexicon_word_cosine": round(phrase_words.cosine_mean, 4),
    }

    with BundleWriter(out) as b:
        properties = {
            "name": settings.HEAD["name"],
            "licence": settings.HEAD["licence"],
            "provenance": settings.HEAD["provenance"],
        }
        graph.write_visual(b.path("visual.onnx"), efficientnet.load(), points, bridge.TEMPERATURE, properties)
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
        figures |= text_tower.write(b, space, phrases, sentence_mean, properties)
        card.write(b, figures)
        b.finish(
            settings.HEAD,
            model=settings.MODEL,
            text=settings.TEXT,
            preprocess=settings.PREPROCESS,
            defaults={"background": background, **settings.DEFAULTS},
            quality=figures,
        )
    return figures
