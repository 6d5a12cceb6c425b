"""The model card: README.md of a bundle."""

from pathlib import Path
from typing import Any

from ..checkpoint import Checkpoint
from .attributes import Branch
from .options import Options

MEANING = {
    "frame_cosine_mean": "cosine of a frame's embedding to the checkpoint's in f32, mean",
    "frame_cosine_min": "the same, least",
    "s_v_change_max": "largest change of a video score (S_V) by all of it: graphs, tables and words",
    "word_rows": "word rows kept a category, mean",
    "word_rows_shared": "word rows shared by all categories",
    "word_table_mb": "size of the word table, MB",
    "word_table_exact_mb": "size of the exact word table in f32, MB",
    "word_s_v_change_max": "largest change of a video score (S_V) by the compacted word table",
    "word_s_v_change_frames": "the same, on real frames alone",
    "word_s_v_change_bound": "the bound that was set for it",
    "composer_is_mean": "composer.onnx is the centred mean of the phrases, behind the trained head: 1 is yes",
    "lexicon_word_s_v_change_max": "the same for phrases of the lexicon taken as categories",
    "cosine": "cosine to the true sentence",
    "centred_cosine": "the same, less the mean sentence",
    "top1_agreement": "same best category by attributes",
    "spearman": "rank correlation of the attribute scores (S_A)",
}
WHO = {
    "composer": "composer",
    "phrase_mean": "centred mean of the phrases",
    "composer_image_like": "composer, tuples as frames give them",
}


def meaning(name: str) -> str:
    """A figure's name in words."""
    if name in MEANING:
        return MEANING[name]
    for who in sorted(WHO, key=len, reverse=True):
        if name.startswith(f"{who}_") and name[len(who) + 1 :] in MEANING:
            return f"{WHO[who]}: {MEANING[name[len(who) + 1 :]]}"
    return name


def table(figures: dict[str, float]) -> str:
    """Figures and what they are, as a table."""
    return "".join(["| figure | value |\n|---|---|\n", *(f"| {meaning(k)} | {v:g} |\n" for k, v in figures.items())])


def write(
    path: Path,
    head: dict[str, str],
    sections: dict[str, dict[str, Any]],
    o: Options,
    video: Checkpoint,
    branch: Branch,
    categories: int,
    phrases: int,
    source: str,
    figures: dict[str, float],
) -> None:
    """Writes the card. What is not known is said to be unknown."""
    model = sections["model"]
    parts = [
        f"- Frames and text: `{video.path.name}`, {video.kind}, {video.shape.name}, {video.activation}, sha256 `{video.sha256}`."
    ]
    if branch.sentence is not video:
        parts.append(
            f"- Attribute sentences: `{branch.sentence.path.name}`, {branch.sentence.kind}, sha256 `{branch.sentence.sha256}`."
        )
    if branch.retrieval is not video:
        parts.append(
            f"- Attribute retrieval: `{branch.retrieval.path.name}`, {branch.retrieval.kind}, {branch.retrieval.shape.name}, sha256 `{branch.retrieval.sha256}`."
        )
    arithmetic = {
        "int8": "Linears in int8 (weights by output channel, activations as they come), the rest in f32",
        "fp16": "half precision",
        "fp32": "single precision",
    }[o.precision]
    lines = [
        "---",
        f"license: {head['licence']}",
        "library_name: bike-edge",
        "pipeline_tag: video-classification",
        "---",
        "",
        f"# {head['name']}",
        "",
        f"A bundle for bike-edge: it recognises {categories} categories of action in video by BIKE's method "
        f"({'video concept spotting' if model['interaction'] == 'vcs' else 'dot product'}, {model['window']} frames, "
        f"{'temporal header Transf' if model['header'] == 'transf' else 'no temporal header'})"
        + (f", with attributes from a lexicon of {phrases} phrases." if phrases else "."),
        "",
        "## Where it is from",
        "",
        *parts,
        f"- Licence of the weights: {head['licence']}"
        + (
            " (not stated when the bundle was made: ask where the checkpoint is from before passing it on)."
            if head["licence"] == "NOASSERTION"
            else "."
        ),
        "",
        "## How it was made",
        "",
        f"{head['provenance']}. Arithmetic: {arithmetic}.",
    ]
    if phrases:
        lines.append(
            f"Attributes are retrieved with {'an encoder of their own' if branch.own_encoder else 'the frame encoder of the video branch'}"
            f" and joined to sentences by {'a composer, which stands in for the text tower' if model['attribute_scores'] == 'composer' and not figures.get('composer_is_mean') else 'the centred mean of the phrases'}."
            + (" The trained attribute heads are in it." if branch.trained else "")
            + (
                ""
                if branch.own_encoder
                else " BIKE's released attributes come from a plain CLIP ViT-L/14, so scores by attributes differ from the published ones."
            )
        )
    lines += [
        "",
        "## Fidelity",
        "",
        f"Measured when it was made, on random directions and on {source}; sentences on tuples of phrases that training did not see.",
        "",
        table(figures),
        "## Accuracy",
        "",
        "Not measured: making a bundle needs no labelled video. `bike-edge eval LIST --root DIR` measures it on yours.",
        "",
        "## Intended use and limits",
        "",
        "Recognising what is done in short clips or a stream, among the categories above, on a small computer. It answers with one of its categories whatever it is shown. "
        "It inherits what its checkpoint learned from pictures and texts of the web, biases included; do not use it to judge people. "
        "Scores are similarities, not probabilities, until they are calibrated on data of your own.",
        "",
    ]
    path.write_text("\n".join(lines), encoding="utf-8")
