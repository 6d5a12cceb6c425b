"""Makes the tables of a bundle's categories, and writes and measures them. Export and relabel share these steps."""

from dataclasses import dataclass

import numpy as np

from ..bundle import BundleWriter
from ..checkpoint import Checkpoint
from ..model.towers import encode_words, shared_prefix
from ..progress import log, progress_of
from ..tables import ROW_TYPES, add_table, unit_rows
from ..text.tokenizer import tokenize
from . import attributes, fidelity
from .inputs import Inputs
from .options import Options, Settings
from .windows import Windows
from .word_compaction import smallest_table
from .word_tables import ExactWords, MixedWords, WordTable, largest_change


@dataclass
class Categories:
    """The tables of the categories, and what later steps need of them."""

    tensors: dict[str, np.ndarray]  # categories.safetensors
    attribute_rows: np.ndarray  # [K, D], the categories as the attribute branch compares them
    figures: dict[str, float]  # of the word table
    scores: list[np.ndarray]  # the exact S_V [K] of each sample window


def make_categories(
    video: Checkpoint,
    branch: attributes.AttributeBranch,
    inputs: Inputs,
    windows: Windows,
    s: Settings,
    o: Options,
) -> Categories:
    """Encodes the categories and chooses their word table. Measures what the table changes."""
    names, prompts = inputs.labels, inputs.prompts
    tokens = tokenize([prompts[0].replace("{}", n) for n in names], video.shape.context)
    sentence, words = encode_words(video, tokens, progress=progress_of("categories"))
    category = attributes.prompt_ensemble(video, names, prompts, "categories, all prompts", first=sentence)
    row_type = ROW_TYPES[o.precision]
    if o.exact_words:
        table: WordTable = ExactWords(unit_rows(words))
        dtype, change, change_on_frames = "f32", 0.0, 0.0
    else:
        dtypes = (row_type,) if row_type == "f32" else tuple(dict.fromkeys((row_type, "f16")))
        table, dtype, change = smallest_table(
            words, category, shared_prefix(tokens), windows.all, windows.choosing, o.word_bound, dtypes
        )
        change_on_frames = largest_change(words, category, table, dtype, windows.real)
    tensors: dict[str, np.ndarray] = {}
    category_type = "f32" if o.precision == "fp32" or o.exact_words else "f16"
    add_table(tensors, "category", category, category_type)
    table.add_to(tensors, dtype)
    own_tower = branch.has_own_text_tower(video)
    sentences = (
        attributes.prompt_ensemble(branch.sentence, names, prompts, "categories, attribute tower")
        if own_tower
        else category
    )
    attribute_rows = attributes.attribute_rows(branch, sentences)
    if branch.trained or own_tower:
        add_table(tensors, "category_attribute", attribute_rows, category_type)
    figures = word_figures(tensors, table, words)
    log(
        f"word table: {figures['word_rows']:g} rows per category and {figures['word_rows_shared']} shared, {dtype}, "
        f"{figures['word_table_mb']:.1f} MB (exact in f32: {figures['word_table_exact_mb']:.1f} MB); "
        f"video scores change by at most {change:.1e}"
    )
    if change > o.word_bound:
        log(f"--word-bound {o.word_bound:g}: no compacted table is within it; storing the exact words in f16")
    figures |= {
        "word_s_v_change_max": float(f"{change:.2e}"),
        "word_s_v_change_frames": float(f"{change_on_frames:.2e}"),
        "word_s_v_change_bound": o.word_bound,
    }
    scores = fidelity.expected_scores(video, windows, s.interaction, words, category)
    return Categories(tensors, attribute_rows, figures, scores)


def word_figures(tensors: dict[str, np.ndarray], table: WordTable, words: np.ndarray) -> dict[str, float]:
    """Returns the figures of a word table's size."""
    rows, shared = words.shape[1], 0
    if isinstance(table, MixedWords):
        rows, shared = round(float(table.count.mean()), 1), len(table.shared)
    size = sum(t.nbytes for name, t in tensors.items() if "word" in name)
    return {
        "word_rows": rows,
        "word_rows_shared": shared,
        "word_table_mb": round(size / 1e6, 2),
        "word_table_exact_mb": round(words.nbytes / 1e6, 2),
    }


def write_categories(bundle: BundleWriter, names: list[str], categories: Categories) -> None:
    """Writes categories.txt and categories.safetensors."""
    bundle.names("categories.txt", names)
    bundle.tables("categories.safetensors", categories.tensors)


def measure(bundle: BundleWriter, model: dict, windows: Windows, categories: Categories) -> dict[str, float]:
    """Measures the written graphs and tables against the checkpoint. Returns all figures of graphs and word table."""
    return fidelity.measure(bundle.folder, model, bundle.listed, windows, categories.scores) | categories.figures
