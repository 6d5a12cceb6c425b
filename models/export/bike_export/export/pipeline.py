"""Makes a bundle from a checkpoint."""

import datetime
import math
import os
import time
from dataclasses import replace
from typing import Any

from ..bundle import BundleWriter
from ..checkpoint import Checkpoint
from ..graphs.builder import PRECISIONS
from ..graphs.towers import write_head, write_temporal, write_text, write_visual
from ..model.scoring import TAU
from ..onnx_towers.model import OnnxTowers, load_towers
from ..problem import Problem
from ..progress import log
from ..tables import ROW_TYPES
from ..text.vocabulary import tokenizer_text
from . import attributes, background, model_card
from .attributes import AttributeBranch
from .categories import make_categories, measure, write_categories
from .fit_composer import fit_composer
from .inputs import load_checkpoint, read_inputs
from .options import Options, Settings, resolve_settings
from .windows import make_windows


def today() -> str:
    """Returns today's date, or that of SOURCE_DATE_EPOCH for repeatable builds."""
    epoch = os.environ.get("SOURCE_DATE_EPOCH", str(int(time.time())))
    if not epoch.isdecimal():
        raise Problem(f"SOURCE_DATE_EPOCH {epoch!r}: not a number of seconds; correct or unset it")
    return datetime.datetime.fromtimestamp(int(epoch), datetime.UTC).strftime("%Y-%m-%d")


def properties(name: str, licence: str, c: Checkpoint) -> dict[str, str]:
    """Returns the metadata of a graph. It has no date, so that the same checkpoint gives the same bytes."""
    return {
        "name": name,
        "licence": licence,
        "provenance": f"{c.kind} {c.name} ({c.shape.name}), by bike_export",
        "source_sha256": c.sha256,
    }


def write_graphs(
    bundle: BundleWriter, o: Options, s: Settings, video: Checkpoint, branch: AttributeBranch, name: str
) -> None:
    """Writes the graphs that the options require."""
    about = properties(name, o.licence, video)
    if isinstance(video, OnnxTowers):
        write_given_graphs(bundle, o, video, about)
        return
    write_visual(bundle.path("visual.onnx"), video, o.precision, about)
    if video.header:
        write_temporal(bundle.path("temporal.onnx"), video, s.window, o.precision, about)
    if branch.own_encoder and o.lexicon:
        about_retrieval = properties(name, o.licence, branch.retrieval)
        write_visual(bundle.path("attribute_visual.onnx"), branch.retrieval, o.precision, about_retrieval)
    if o.keep_text:
        write_text(bundle.path("text.onnx"), video, o.precision, about)
        bundle.path("tokenizer.txt").write_text(tokenizer_text(), encoding="utf-8")
    if o.keep_text and branch.trained:
        about_heads = properties(name, o.licence, branch.sentence)
        for head in ("sentence", "query"):
            write_head(bundle.path(f"{head}_head.onnx"), branch.sentence, head, about_heads)
    log(f"graphs written, {o.precision}")


def write_given_graphs(bundle: BundleWriter, o: Options, towers: OnnxTowers, about: dict[str, str]) -> None:
    """Writes ready-made graphs, adapted."""
    towers.write(bundle.path("visual.onnx"), towers.visual, about)
    if o.keep_text:
        towers.write(bundle.path("text.onnx"), towers.text, about)
        bundle.path("tokenizer.txt").write_text(tokenizer_text(), encoding="utf-8")


def manifest_sections(
    prompts: list[str],
    s: Settings,
    video: Checkpoint,
    branch: AttributeBranch,
    lexicon: attributes.Lexicon | None,
    attribute_scores: str,
) -> dict[str, dict[str, Any]]:
    """Returns [model] and [preprocess] of bundle.toml."""
    model: dict[str, Any] = {"embedding_dim": video.shape.embed}
    if lexicon:
        model["attribute_dim"] = branch.retrieval.shape.embed
    model |= {
        "window": s.window,
        "header": s.header,
        "interaction": s.interaction,
        "tau": TAU,
        "logit_scale": round(math.exp(float(video.clip["logit_scale"])), 4),
        "lambda": s.weight,
    }
    if lexicon:
        model |= {
            "attributes_top_k": s.top_k,
            "attribute_encoder": "own" if branch.own_encoder else "same",
            "attribute_source": "fine-tuned" if video.fine_tuned and not branch.own_encoder else "plain",
            "attribute_scores": attribute_scores,
        }
    model["prompts"] = prompts
    return {"model": model, "preprocess": {"resize": s.resize, "crop": s.crop, "mean": s.mean, "std": s.std}}


def export(o: Options) -> dict[str, float]:
    """Makes the bundle at `o.out`, which appears only when it is complete. Returns its figures."""
    inputs = read_inputs(o)
    if o.visual and o.text:
        video: Checkpoint = load_towers(o.visual, o.text, o.crop)
    else:
        assert o.checkpoint
        video = load_checkpoint(o.checkpoint, o.activation)
    o = replace(o, precision=video.visual.precision if isinstance(video, OnnxTowers) else o.precision or PRECISIONS[0])
    if o.licence == Options.licence and video.licence:
        o = replace(o, licence=video.licence)
    s = resolve_settings(o, video)
    if isinstance(video, OnnxTowers):
        s = replace(s, mean=video.pixels.mean, std=video.pixels.std)
    branch = attributes.read_branch(
        video,
        attribute_checkpoint=o.attribute_checkpoint,
        attribute_clip=o.attribute_clip,
        attribute_encoder=o.attribute_encoder,
        activation=o.activation,
        keep_text=o.keep_text,
    )
    if inputs.phrases and len(inputs.phrases) < s.top_k:
        raise Problem(
            f"--lexicon {o.lexicon}: {len(inputs.phrases)} phrases, and a sentence has {s.top_k}; "
            "add phrases or use a smaller --top-k"
        )
    names = background.choose(o.background, inputs.labels, inputs.phrases, o.keep_text)
    windows = make_windows(video, s, inputs.clips)
    name = o.name or o.out.name
    with BundleWriter(o.out) as bundle:
        write_graphs(bundle, o, s, video, branch, name)
        categories = make_categories(video, branch, inputs, windows, s, o)
        write_categories(bundle, inputs.labels, categories)
        lexicon, attribute_scores, composer_figures = None, "mean", {}
        if inputs.phrases:
            row_type = ROW_TYPES[o.precision]
            lexicon = attributes.read_tables(branch, video, inputs, windows, row_type)
            categories.figures["lexicon_word_s_v_change_max"] = float(f"{lexicon.word_change:.2e}")
            bundle.names("lexicon.txt", inputs.phrases)
            bundle.tables("lexicon.safetensors", lexicon.tables(row_type))
            attribute_scores, composer_figures = fit_composer(
                o,
                s,
                branch,
                lexicon,
                categories.attribute_rows,
                inputs.prompts[0],
                windows,
                bundle.path,
                properties(name, o.licence, branch.sentence),
            )
        sections = manifest_sections(inputs.prompts, s, video, branch, lexicon, attribute_scores)
        figures = measure(bundle, sections["model"], windows, categories) | composer_figures
        if isinstance(video, OnnxTowers):
            figures |= video.figures
        source = f"{video.kind} {video.name} (sha256 {video.sha256[:16]}), {video.shape.name}"
        provenance = f"{source}, by bike_export on {today()}"
        head = {"name": name, "version": o.version, "licence": o.licence, "provenance": provenance}
        model_card.write(
            bundle.path("README.md"),
            head,
            sections,
            o,
            video,
            branch,
            len(inputs.labels),
            len(inputs.phrases),
            windows.source,
            bundle.listed,
            figures,
        )
        bundle.finish(head, **sections, defaults={"background": names} if names else {}, quality=figures)
    return figures
