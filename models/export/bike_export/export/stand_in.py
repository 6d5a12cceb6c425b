"""The stand-in for the text tower: a trained composer where it beats the centred mean of the phrases, else the mean."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from ..composer import judge, network
from ..composer.train import train
from ..composer.tuples import KINDS, draw_all
from ..model.recognise import head
from ..model.towers import encode_sentences
from ..progress import counter, say
from ..tables import ROW_TYPES, round_trip, unit_rows
from ..text.tokenizer import TooLong, tokenize
from .attributes import Branch, Lexicon
from .options import Options, Settings
from .windows import Windows

TUPLES, HELD_OUT, EPOCHS = 7000, 150, 9  # tuples of each kind
SEED = 0


def sentence_tokens(phrases: list[str], tuples: np.ndarray, prompt: str, context: int) -> tuple[np.ndarray, np.ndarray]:
    """Tokens [m, 77] of the sentences that list these phrases, and which tuples [m] they are of: too long ones are left out."""
    rows, kept = [], []
    for at, numbers in enumerate(tuples):
        try:
            rows.append(tokenize([prompt.replace("{}", ",".join(phrases[i] for i in numbers))], context)[0])
            kept.append(at)
        except TooLong:
            continue
    if len(kept) < len(tuples) / 2:
        raise ValueError(
            "more than half of the attribute sentences are longer than the text tower's positions: use a smaller --top-k or shorter phrases"
        )
    return np.stack(rows), np.array(kept)


def scores(sentence: np.ndarray, judged: np.ndarray, branch: Branch) -> np.ndarray:
    """S_A [n, K] of sentences [n, D], as the model makes it; judged [K, D] is the branch's view of the categories."""
    rows = torch.from_numpy(np.ascontiguousarray(sentence, np.float32))
    with torch.no_grad():
        seen = head(rows, branch.sentence.heads, "sentence").numpy() if branch.trained else sentence
    return unit_rows(seen) @ judged.T


def centred_mean(rows: np.ndarray, mean: np.ndarray) -> np.ndarray:
    """The fallback [n, D] for phrases [n, k, D]: their mean less the lexicon's mean. Never zero."""
    return rows.mean(1) - mean + 1e-6


def make(
    o: Options,
    s: Settings,
    branch: Branch,
    lexicon: Lexicon,
    judged: np.ndarray,
    prompt: str,
    windows: Windows,
    place: Callable[[str], Path],
    about: dict[str, str],
) -> tuple[str, dict[str, float]]:
    """Trains and judges, writes composer.onnx where it is used: (attribute_scores, figures)."""
    mean = lexicon.sentence.mean(0)
    heads = branch.sentence.heads

    def fallback(reason: str, figures: dict[str, float]) -> tuple[str, dict[str, float]]:
        say(f"attribute sentences are the centred mean of their phrases: {reason}")
        if not heads:
            return "mean", figures
        # Trained heads need a graph, so the mean is written as one.
        network.write_mean(place("composer.onnx"), mean, s.top_k, heads, about)
        return "composer", figures | {"composer_is_mean": 1}

    if not o.composer:
        return fallback("no composer was wanted", {})
    if network.size(s.top_k, lexicon.sentence.shape[1], 0) > network.MOST_BYTES:
        return fallback(f"a composer of {s.top_k} phrases would be larger than {network.MOST_BYTES / 1e6:.0f} MB", {})
    rng = np.random.default_rng(SEED)
    frames = unit_rows(windows.frames.numpy()) if windows.from_clips and not branch.own_encoder else None
    count = o.tuples if o.tuples is not None else TUPLES
    drawn = draw_all(count, s.top_k, lexicon.retrieval, frames, rng)
    held = draw_all(HELD_OUT, s.top_k, lexicon.retrieval, frames, rng)
    tokens, kept = sentence_tokens(
        lexicon.phrases, np.concatenate([drawn, held]), prompt, branch.sentence.shape.context
    )
    say(f"the text tower reads {len(tokens)} attribute sentences")
    truth = unit_rows(encode_sentences(branch.sentence, tokens, progress=counter("attribute sentences")))
    training = kept < len(drawn)
    tuples = np.concatenate([drawn, held])[kept]
    # As they are read back from their table: what the graph will be handed.
    phrases = round_trip(lexicon.sentence, ROW_TYPES[o.precision])
    state = train(phrases, tuples[training], truth[training], epochs=EPOCHS, seed=SEED, progress=counter("composer"))
    state = network.rounded(state)
    given, target = phrases[tuples[~training]], truth[~training]
    with torch.no_grad():
        composed = network.compose(state, torch.from_numpy(given)).numpy()
    centre = truth[training].mean(0)
    true_scores = scores(target, judged, branch)
    figures = judge.judge(composed, target, centre, scores(composed, judged, branch), true_scores, "composer")
    plain = centred_mean(given, mean)
    figures |= judge.judge(plain, target, centre, scores(plain, judged, branch), true_scores, "phrase_mean")
    like = kept[~training] - len(drawn) >= HELD_OUT * KINDS.index("image-like")
    if like.any():
        figures |= judge.judge(
            composed[like],
            target[like],
            centre,
            scores(composed[like], judged, branch),
            true_scores[like],
            "composer_image_like",
        )
    measure = "spearman" if len(judged) > 1 else "cosine"
    say(
        f"composer: {measure} {figures[f'composer_{measure}']:.3f}; centred mean: {figures[f'phrase_mean_{measure}']:.3f}"
    )
    if not figures[f"composer_{measure}"] > figures[f"phrase_mean_{measure}"]:
        return fallback("training did not beat it", figures)
    network.write(place("composer.onnx"), state, heads, about)
    return "composer", figures
