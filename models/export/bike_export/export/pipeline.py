"""Makes a bundle from a checkpoint: every step in order."""

import datetime
import math
import os
import time
from dataclasses import dataclass

import numpy as np

from ..bundle import BundleWriter, refuse_existing
from ..checkpoint import Checkpoint, load
from ..checkpoint.stated import MEAN, STD
from ..graphs.towers import write_head, write_temporal, write_text, write_visual
from ..model.recognise import TAU
from ..model.towers import encode_words, shared_prefix
from ..progress import counter, say
from ..tables import ROW_TYPES, add_table, unit_rows
from ..text.lists import read_labels, read_lexicon, read_prompts, refuse_same
from ..text.tokenizer import tokenize
from ..text.vocabulary import tokenizer_text
from . import attributes, card, fidelity, stand_in
from .mixture import compacted
from .options import Options, Settings, check_numbers, settle
from .windows import Windows, find_clips, make
from .words import ExactWords, MixedWords, Words, difference


def today() -> str:
    """The date, or that of SOURCE_DATE_EPOCH where builds are to be repeatable."""
    epoch = int(os.environ.get("SOURCE_DATE_EPOCH", time.time()))
    return datetime.datetime.fromtimestamp(epoch, datetime.UTC).strftime("%Y-%m-%d")


def properties(name: str, licence: str, c: Checkpoint) -> dict[str, str]:
    """What each graph says about itself. No date: the same checkpoint gives the same bytes."""
    return {
        "name": name,
        "licence": licence,
        "provenance": f"{c.kind} {c.path.name} ({c.shape.name}), by bike_export",
        "source_sha256": c.sha256,
    }


@dataclass
class Categories:
    """categories.safetensors, the categories as the attribute branch sees them [K, D], figures of the word table, and
    the exact S_V [K] of each window that is shown."""

    tensors: dict[str, np.ndarray]
    judged: np.ndarray
    figures: dict[str, float]
    scores: list[np.ndarray]


def category_tables(
    video: Checkpoint,
    branch: attributes.Branch,
    names: list[str],
    prompts: list[str],
    windows: Windows,
    *,
    interaction: str,
    precision: str,
    exact_words: bool,
    bound: float,
) -> Categories:
    """The categories' tables, measured."""
    tokens = tokenize([prompts[0].replace("{}", n) for n in names], video.shape.context)
    sentence, words = encode_words(video, tokens, progress=counter("categories"))
    category = (
        unit_rows(sentence) if len(prompts) == 1 else attributes.prompted(video, names, prompts, "categories, ensemble")
    )
    prefix, row_type = shared_prefix(tokens), ROW_TYPES[precision]
    if exact_words:
        table: Words = ExactWords(unit_rows(words))
        dtype, change, on_frames = "f32", 0.0, 0.0
    else:
        dtypes = (row_type,) if row_type == "f32" else tuple(dict.fromkeys((row_type, "f16")))
        table, dtype, change = compacted(words, category, prefix, windows.all, windows.choosing, bound, dtypes)
        on_frames = difference(words, category, table, dtype, windows.real)
    tensors: dict[str, np.ndarray] = {}
    add_table(tensors, "category", category, "f32" if precision == "fp32" or exact_words else "f16")
    table.add_to(tensors, dtype)
    seen = category
    if branch.sentence is not video and not branch.sentence.same_text_tower(video):
        seen = attributes.prompted(branch.sentence, names, prompts, "categories, attribute tower")
    as_seen = attributes.as_attribute_branch(branch, seen)
    if branch.trained or seen is not category:
        add_table(tensors, "category_attribute", as_seen, "f32" if precision == "fp32" or exact_words else "f16")
    size = sum(t.nbytes for n, t in tensors.items() if "word" in n)
    mean_rows, shared = words.shape[1], 0
    if isinstance(table, MixedWords):
        mean_rows, shared = round(float(table.count.mean()), 1), len(table.shared)
    say(
        f"word table: {mean_rows:g} rows a category and {shared} shared, {dtype}, {size / 1e6:.1f} MB "
        f"(exact f32 {words.nbytes / 1e6:.1f} MB); S_V changes by {change:.1e} at most"
    )
    if change > bound:
        say(f"the bound of {bound:g} cannot be met by any table but --exact-words: the exact rows are kept in f16")
    figures = {
        "word_rows": mean_rows,
        "word_rows_shared": shared,
        "word_table_mb": round(size / 1e6, 2),
        "word_table_exact_mb": round(words.nbytes / 1e6, 2),
        "word_s_v_change_max": float(f"{change:.2e}"),
        "word_s_v_change_frames": float(f"{on_frames:.2e}"),
        "word_s_v_change_bound": bound,
    }
    return Categories(tensors, as_seen, figures, fidelity.true_scores(video, windows, interaction, words, category))


def manifest(
    o: Options, s: Settings, c: Checkpoint, branch: attributes.Branch, lexicon: attributes.Lexicon | None, scores: str
) -> dict[str, dict]:
    """[model] and [preprocess] of bundle.toml."""
    model: dict = {"embedding_dim": c.shape.embed}
    if lexicon:
        model["attribute_dim"] = branch.retrieval.shape.embed
    model |= {
        "window": s.window,
        "header": s.header,
        "interaction": s.interaction,
        "tau": TAU,
        "logit_scale": round(math.exp(float(c.clip["logit_scale"])), 4),
        "lambda": s.weight,
    }
    if lexicon:
        model |= {
            "attributes_top_k": s.top_k,
            "attribute_encoder": "own" if branch.own_encoder else "same",
            "attribute_source": "fine-tuned" if c.fine_tuned and not branch.own_encoder else "plain",
            "attribute_scores": scores,
        }
    model["prompts"] = read_prompts(o.prompts)
    return {"model": model, "preprocess": {"resize": s.resize, "crop": s.crop, "mean": MEAN, "std": STD}}


def export(o: Options) -> dict[str, float]:
    """Makes the bundle; returns the figures that went into it. Nothing appears at `o.out` unless all of it is made."""
    refuse_existing(o.out, o.force)
    check_numbers(o)
    # What is cheap to get wrong is read first.
    names, prompts = read_labels(o.labels), read_prompts(o.prompts)
    phrases = read_lexicon(o.lexicon) if o.lexicon else []
    lexicon_prompt = read_prompts([o.lexicon_prompt] if o.lexicon_prompt else prompts[:1])[0]
    tokenize([p.replace("{}", n) for p in (*prompts, lexicon_prompt) for n in (*names, *phrases)])
    for path, texts in ((o.labels, names), (o.lexicon, phrases)):
        refuse_same(path, texts, prompts[0])
    clips = find_clips(o.frames)
    video = load(o.checkpoint, o.activation)
    say(
        f"{o.checkpoint}: {video.kind}, {video.shape.name}, D = {video.shape.embed}, header {'Transf' if video.header else 'None'}"
    )
    s = settle(o, video)
    branch = attributes.read_branch(o, video)
    if phrases and len(phrases) < s.top_k:
        raise ValueError(f"{o.lexicon}: {len(phrases)} phrases, and {s.top_k} are wanted for a sentence")
    windows = make(video, s, clips)
    figures: dict[str, float] = {}
    name = o.name or o.out.name

    with BundleWriter(o.out) as b:
        about = properties(name, o.licence, video)
        write_visual(b.path("visual.onnx"), video, o.precision, about)
        if video.header:
            write_temporal(b.path("temporal.onnx"), video, s.window, o.precision, about)
        if branch.own_encoder and phrases:
            write_visual(
                b.path("attribute_visual.onnx"),
                branch.retrieval,
                o.precision,
                properties(name, o.licence, branch.retrieval),
            )
        if o.keep_text:
            write_text(b.path("text.onnx"), video, o.precision, about)
            b.path("tokenizer.txt").write_text(tokenizer_text(), encoding="utf-8")
            if branch.trained:
                for head in ("sentence", "query"):
                    write_head(
                        b.path(f"{head}_head.onnx"), branch.sentence, head, properties(name, o.licence, branch.sentence)
                    )
        say(f"graphs written, {o.precision}")
        categories = category_tables(
            video,
            branch,
            names,
            prompts,
            windows,
            interaction=s.interaction,
            precision=o.precision,
            exact_words=o.exact_words,
            bound=o.word_bound,
        )
        b.names("categories.txt", names)
        b.tables("categories.safetensors", categories.tensors)
        lexicon, scores = None, "mean"
        if phrases:
            lexicon = attributes.read_tables(
                branch, video, phrases, prompts, lexicon_prompt, windows.all, ROW_TYPES[o.precision]
            )
            categories.figures["lexicon_word_s_v_change_max"] = float(f"{lexicon.word_change:.2e}")
            b.names("lexicon.txt", phrases)
            b.tables("lexicon.safetensors", lexicon.tables(ROW_TYPES[o.precision]))
            of_sentences = properties(name, o.licence, branch.sentence)
            scores, figures = stand_in.make(
                o, s, branch, lexicon, categories.judged, prompts[0], windows, b.path, of_sentences
            )
        sections = manifest(o, s, video, branch, lexicon, scores)
        measured = fidelity.measure(b.folder, sections["model"], b.listed, windows, categories.scores)
        say(
            f"{o.precision} against f32: frame embeddings have cosine {measured['frame_cosine_min']:.5f} or more, "
            f"S_V changes by {measured['s_v_change_max']:.1e} at most"
        )
        figures = measured | categories.figures | figures
        provenance = f"{video.kind} {video.path.name} (sha256 {video.sha256[:16]}), {video.shape.name}, by bike_export on {today()}"
        head = {"name": name, "version": o.version, "licence": o.licence, "provenance": provenance}
        card.write(
            b.path("README.md"), head, sections, o, video, branch, len(names), len(phrases), windows.source, figures
        )
        size = b.finish(head, **sections, quality=figures)
    say(f"wrote {o.out}: {size / 1e6:.1f} MB")
    return figures
