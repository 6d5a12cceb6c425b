"""Measures what compacted word tables change in S_V, at several bounds: the table in docs/measurements/export.md.

    python checks/words.py CHECKPOINT LABELS.csv CLIPS...

Tables are chosen and measured as the exporter does without --frames. Then they are measured on windows of the clips and
on random windows that were not used before.
"""

import argparse
import sys
from pathlib import Path

import torch

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from bike_export.checkpoint import load
from bike_export.checkpoint.load import ACTIVATIONS
from bike_export.export import windows, word_compaction, word_tables
from bike_export.export.options import Options, resolve_settings
from bike_export.model.towers import encode_words, shared_prefix
from bike_export.progress import progress_of
from bike_export.tables import unit_rows
from bike_export.text.lists import read_labels, read_prompts
from bike_export.text.tokenizer import tokenize

BOUNDS, WINDOW, RANDOM = (0.01, 0.003, 0.001, 0.0003), 8, 64


def main() -> None:
    """Prints a line for each bound."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path, help="checkpoint whose text tower encodes the labels")
    parser.add_argument("labels", type=Path, help="categories: a CSV file with the header id,name")
    parser.add_argument("clips", type=Path, nargs="+", help="clips to measure on")
    parser.add_argument(
        "--activation", choices=ACTIVATIONS, help="required for bare weights (default: as the checkpoint states)"
    )
    a = parser.parse_args()
    c = load(a.checkpoint, a.activation)
    s = resolve_settings(Options(a.checkpoint, a.checkpoint, a.labels, window=WINDOW), c)
    tokens = tokenize([read_prompts(None)[0].replace("{}", n) for n in read_labels(a.labels)], c.shape.context)
    category, words = encode_words(c, tokens, progress=progress_of("categories"))
    exporter = windows.make_windows(c, s, [])
    clips = windows.make_windows(c, s, windows.find_clips(a.clips)).real
    random = torch.randn(RANDOM, WINDOW, c.shape.embed, generator=torch.Generator().manual_seed(99))
    exact = word_tables.ExactWords(unit_rows(words))
    tables: list[tuple[str, word_tables.WordTable, str]] = [("all positions", exact, "i8")]
    for bound in BOUNDS:
        table, dtype, _ = word_compaction.smallest_table(
            words, category, shared_prefix(tokens), exporter.all, exporter.choosing, bound, ("i8", "f16")
        )
        tables.append((f"bound {bound:g}", table, dtype))
    for name, table, dtype in tables:
        rows = table.count.mean() if isinstance(table, word_tables.MixedWords) else words.shape[1]
        on = (exporter.all, clips, random)
        changes = [word_tables.largest_change(words, category, table, dtype, w) for w in on]
        size = word_tables.size(table, dtype) / 1e6
        print(
            f"{name}: {rows:.1f} rows per category, {dtype}, {size:.1f} MB; S_V changes by "
            "{:.1e} as measured, {:.1e} on the clips, {:.1e} on random windows".format(*changes),
            flush=True,
        )


if __name__ == "__main__":
    main()
