"""Writes the model card, README.md of a bundle, with every figure that was measured."""

from pathlib import Path
from typing import Any

from ..checkpoint import Checkpoint
from ..onnx_towers.model import OnnxTowers
from .attributes import AttributeBranch
from .options import Options

FIGURES = {
    "frame_cosine_mean": "cosine of a frame's embedding to the checkpoint's in f32, mean",
    "frame_cosine_min": "cosine of a frame's embedding to the checkpoint's in f32, smallest",
    "s_v_change_max": "largest change of a video score (S_V) by graphs, tables and words together",
    "word_rows": "word rows per category, mean",
    "word_rows_shared": "word rows shared by all categories",
    "word_table_mb": "size of the word table, MB",
    "word_table_exact_mb": "size of the exact word table in f32, MB",
    "word_s_v_change_max": "largest change of a video score (S_V) by the compacted word table",
    "word_s_v_change_frames": "largest change of a video score (S_V) by the compacted word table, real frames only",
    "word_s_v_change_bound": "bound for that change (--word-bound)",
    "composer_is_mean": "composer.onnx is the centred mean of the phrases, followed by the trained head: 1 is yes",
    "lexicon_word_s_v_change_max": "largest change of a video score (S_V) for lexicon phrases used as categories",
    "given_frame_cosine_min": "cosine of the embedding of noise to the given graph's, smallest",
    "given_frame_change_max": "largest change of a number in the embedding of noise from the given graph's",
    "given_text_cosine_min": "cosine of the embedding of a text to the given graph's, smallest",
    "given_text_change_max": "largest change of a number in the embedding of a text from the given graph's",
    "cosine": "cosine to the text tower's sentence",
    "centred_cosine": "cosine to the text tower's sentence, both minus the mean sentence",
    "top1_agreement": "share with the same best category by attributes",
    "spearman": "rank correlation of the attribute scores (S_A)",
}
SENTENCES = {
    "composer": "composer",
    "phrase_mean": "centred mean of the phrases",
    "composer_image_like": "composer, tuples as retrieval gives them",
}
ARITHMETIC = {
    "int8": "Linear layers in int8 (weights per output channel, activations quantised at run time), the rest in f32",
    "fp16": "half precision",
    "fp32": "single precision",
}
LIMITS = """Recognises what is done in short clips or in a stream, among the categories above, on a small computer. \
Its answer is always one of its categories, whatever the picture shows.

It has learned from pictures and texts of the web, with their biases; do not use it to judge people. Scores are \
similarities, not probabilities, until they are calibrated on your own data."""


def figure_name(key: str) -> str:
    """Returns the description of a figure."""
    if key in FIGURES:
        return FIGURES[key]
    for prefix in sorted(SENTENCES, key=len, reverse=True):
        if key.startswith(f"{prefix}_") and key.removeprefix(f"{prefix}_") in FIGURES:
            return f"{SENTENCES[prefix]}: {FIGURES[key.removeprefix(f'{prefix}_')]}"
    return key


def figure_table(figures: dict[str, float]) -> str:
    """Returns a table of figures and their descriptions."""
    rows = (f"| {figure_name(k)} | {v:g} |\n" for k, v in figures.items())
    return "".join(["| figure | value |\n|---|---|\n", *rows])


def file_table(folder: Path, files: list[str]) -> str:
    """Returns a table of files and their sizes."""
    rows = (f"| `{name}` | {(folder / name).stat().st_size} |\n" for name in sorted(files) if (folder / name).is_file())
    return "".join(["| file | bytes |\n|---|---|\n", *rows])


def write(
    path: Path,
    head: dict[str, str],
    sections: dict[str, dict[str, Any]],
    o: Options,
    video: Checkpoint,
    branch: AttributeBranch,
    categories: int,
    phrases: int,
    source: str,
    files: list[str],
    figures: dict[str, float],
) -> None:
    """Writes the card."""
    blocks = [
        f"---\nlicense: {head['licence']}\nlibrary_name: bike-edge\npipeline_tag: video-classification\n---",
        f"# {head['name']}",
        _introduction(sections["model"], categories, phrases),
        "## Sources",
        _sources(head["licence"], video, branch),
        "## Method",
        f"{head['provenance']}. Arithmetic: {ARITHMETIC[o.precision]}.",
        _attributes(sections["model"], branch, figures) if phrases else "",
        "## Fidelity",
        f"Measured at the export, on random directions and on {source}. Attribute sentences are measured on tuples of "
        "phrases that training did not use.",
        _fidelity(figures, video),
        "## Files",
        file_table(path.parent, files).strip(),
        "## Accuracy",
        "Not measured, as an export has no labelled videos. `bike-edge eval LIST --root DIR` measures it on yours.",
        "## Intended use and limits",
        LIMITS,
    ]
    path.write_text("\n\n".join(block for block in blocks if block) + "\n", encoding="utf-8")


def _fidelity(figures: dict[str, float], video: Checkpoint) -> str:
    """Returns the table of figures. Ready-made graphs are compared with themselves as they were given."""
    table = figure_table(figures).strip()
    return table.replace("the checkpoint's in f32", "the given graph's") if isinstance(video, OnnxTowers) else table


def _introduction(model: dict[str, Any], categories: int, phrases: int) -> str:
    interaction = "video concept spotting" if model["interaction"] == "vcs" else "dot product"
    header = "temporal header Transf" if model["header"] == "transf" else "no temporal header"
    text = f"A bundle for bike-edge that recognises {categories} categories of action in video by BIKE's method"
    text += f" ({interaction}, {model['window']} frames, {header})"
    return text + (f", with attributes from a lexicon of {phrases} phrases." if phrases else ".")


def _sources(licence: str, video: Checkpoint, branch: AttributeBranch) -> str:
    lines = [
        f"- Frames and text: `{video.name}`, {video.kind}, {video.shape.name}, {video.activation}, "
        f"sha256 `{video.sha256}`."
    ]
    if branch.sentence is not video:
        c = branch.sentence
        lines.append(f"- Attribute sentences: `{c.name}`, {c.kind}, sha256 `{c.sha256}`.")
    if branch.retrieval is not video:
        c = branch.retrieval
        lines.append(f"- Attribute retrieval: `{c.name}`, {c.kind}, {c.shape.name}, sha256 `{c.sha256}`.")
    unknown = " (not stated at the export; ask the publisher of the checkpoint before you distribute the bundle)"
    lines.append(f"- Licence of the weights: {licence}{unknown if licence == 'NOASSERTION' else ''}.")
    return "\n".join(lines)


def _attributes(model: dict[str, Any], branch: AttributeBranch, figures: dict[str, float]) -> str:
    encoder = "an encoder of their own" if branch.own_encoder else "the frame encoder of the video branch"
    composed = model["attribute_scores"] == "composer" and not figures.get("composer_is_mean")
    joined = "a composer, which replaces the text tower" if composed else "the centred mean of the phrases"
    sentences = [f"Attributes are retrieved with {encoder} and joined to sentences by {joined}."]
    if branch.trained:
        sentences.append("The bundle contains the trained attribute heads.")
    if not branch.own_encoder:
        sentences.append(
            "BIKE's published attributes come from a plain CLIP ViT-L/14, so scores by attributes differ from the "
            "published ones."
        )
    return " ".join(sentences)
