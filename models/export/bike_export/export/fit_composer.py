"""Trains a composer for a bundle. If it is not better than the centred mean of the phrases, the mean is used."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from ..composer import network
from ..composer.evaluate import evaluate
from ..composer.train import train
from ..composer.tuples import KINDS, sample_all
from ..model.scoring import head
from ..model.towers import encode_sentences
from ..problem import Problem
from ..progress import log, progress_of
from ..tables import ROW_TYPES, round_trip, unit_rows
from ..text.tokenizer import TooLong, tokenize
from .attributes import AttributeBranch, Lexicon
from .options import Options, Settings
from .windows import Windows

TUPLES, HELD_OUT, EPOCHS = 7000, 150, 9  # tuples of each kind
SEED = 0


def sentence_tokens(phrases: list[str], tuples: np.ndarray, prompt: str, context: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns tokens [m, 77] of the sentences that list these phrases, and the indices [m] of their tuples.

    Sentences that are too long are left out.
    """
    rows, indices = [], []
    for at, numbers in enumerate(tuples):
        try:
            rows.append(tokenize([prompt.replace("{}", ",".join(phrases[i] for i in numbers))], context)[0])
            indices.append(at)
        except TooLong:
            continue
    if len(indices) < len(tuples) / 2:
        raise Problem(
            "--lexicon: more than half of the attribute sentences are too long for the text tower; "
            "use a smaller --top-k or shorter phrases"
        )
    return np.stack(rows), np.array(indices)


def attribute_scores(sentence: np.ndarray, attribute_rows: np.ndarray, branch: AttributeBranch) -> np.ndarray:
    """Returns S_A [n, K] of sentences [n, D]; attribute_rows [K, D] are the categories as the branch compares them."""
    rows = torch.from_numpy(np.ascontiguousarray(sentence, np.float32))
    with torch.no_grad():
        compared = head(rows, branch.sentence.heads, "sentence").numpy() if branch.trained else sentence
    return unit_rows(compared) @ attribute_rows.T


def centred_mean(rows: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """Returns the centred mean [n, D] of phrases [n, k, D]: their mean minus the lexicon's mean. Never zero."""
    return rows.mean(1) - mean + 1e-6


def fit_composer(
    o: Options,
    s: Settings,
    branch: AttributeBranch,
    lexicon: Lexicon,
    attribute_rows: np.ndarray,
    prompt: str,
    windows: Windows,
    path: Callable[[str], Path],
    properties: dict[str, str],
) -> tuple[str, dict[str, float]]:
    """Trains and evaluates a composer, and writes composer.onnx if it is used.

    Returns the value of `attribute_scores` in the manifest, and the figures.
    """
    mean = lexicon.sentence.mean(0)
    heads = branch.sentence.heads

    def fall_back(reason: str, figures: dict[str, float]) -> tuple[str, dict[str, float]]:
        log(f"attribute sentences: using the centred mean of the phrases, because {reason}")
        if not heads:
            return "mean", figures
        # Trained heads need a graph, so the mean is written as one.
        network.write_mean(path("composer.onnx"), mean, s.top_k, heads, properties)
        return "composer", figures | {"composer_is_mean": 1}

    if not o.composer:
        return fall_back("--no-composer was given", {})
    if network.size(s.top_k, lexicon.sentence.shape[1], 0) > network.MAX_BYTES:
        limit = f"{network.MAX_BYTES / 1e6:.0f} MB"
        return fall_back(f"a composer for {s.top_k} phrases would be larger than {limit}", {})
    rng = np.random.default_rng(SEED)
    frames = unit_rows(windows.frames.numpy()) if windows.from_clips and not branch.own_encoder else None
    count = o.tuples if o.tuples is not None else TUPLES
    drawn = sample_all(count, s.top_k, lexicon.retrieval, frames, rng)
    held_out = sample_all(HELD_OUT, s.top_k, lexicon.retrieval, frames, rng)
    tuples = np.concatenate([drawn, held_out])
    tokens, indices = sentence_tokens(lexicon.phrases, tuples, prompt, branch.sentence.shape.context)
    log(f"encoding {len(tokens)} attribute sentences with the text tower")
    sentences = unit_rows(encode_sentences(branch.sentence, tokens, progress=progress_of("attribute sentences")))
    training = indices < len(drawn)
    tuples = tuples[indices]
    # The phrases after storing them, because these are what the graph receives.
    phrases = round_trip(lexicon.sentence, ROW_TYPES[o.precision])
    state = train(
        phrases, tuples[training], sentences[training], epochs=EPOCHS, seed=SEED, progress=progress_of("composer")
    )
    state = network.rounded(state)
    inputs, expected = phrases[tuples[~training]], sentences[~training]
    centre = sentences[training].mean(0)
    expected_scores = attribute_scores(expected, attribute_rows, branch)

    def figures_of(rows: np.ndarray, name: str, part: np.ndarray | slice = slice(None)) -> dict[str, float]:
        scores = attribute_scores(rows[part], attribute_rows, branch)
        return evaluate(rows[part], expected[part], centre, scores, expected_scores[part], name)

    with torch.no_grad():
        composed = network.compose(state, torch.from_numpy(inputs)).numpy()
    figures = figures_of(composed, "composer") | figures_of(centred_mean(inputs, mean), "phrase_mean")
    image_like = indices[~training] - len(drawn) >= HELD_OUT * KINDS.index("image-like")
    if image_like.any():
        figures |= figures_of(composed, "composer_image_like", image_like)
    measure = "spearman" if len(attribute_rows) > 1 else "cosine"
    composer, plain = figures[f"composer_{measure}"], figures[f"phrase_mean_{measure}"]
    log(f"composer: {measure} {composer:.3f}, and {plain:.3f} for the centred mean of the phrases")
    if not composer > plain:
        return fall_back("the trained composer is not better", figures)
    network.write(path("composer.onnx"), state, heads, properties)
    return "composer", figures
