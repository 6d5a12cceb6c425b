"""What compacted word tables change in S_V, at several bounds: the table in docs/export.md.

    python checks/words.py CHECKPOINT LABELS.csv CLIPS...

Tables are chosen and measured as the exporter does it without --frames; then measured again on windows of the clips'
frames and on random ones that it has not seen.
"""

import argparse
import sys
from pathlib import Path

import torch

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from bike_export.checkpoint import load  # noqa: E402
from bike_export.export import mixture, windows, words  # noqa: E402
from bike_export.export.options import Options, settle  # noqa: E402
from bike_export.model.towers import encode_words, shared_prefix  # noqa: E402
from bike_export.progress import counter  # noqa: E402
from bike_export.tables import unit_rows  # noqa: E402
from bike_export.text.lists import read_labels, read_prompts  # noqa: E402
from bike_export.text.tokenizer import tokenize  # noqa: E402

BOUNDS, WINDOW, RANDOM = (0.01, 0.003, 0.001, 0.0003), 8, 64


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("labels", type=Path)
    parser.add_argument("clips", type=Path, nargs="+")
    parser.add_argument("--activation", choices=("quickgelu", "gelu"))
    a = parser.parse_args()
    c = load(a.checkpoint, a.activation)
    s = settle(Options(a.checkpoint, a.checkpoint, a.labels, window=WINDOW), c)
    tokens = tokenize([read_prompts(None)[0].replace("{}", n) for n in read_labels(a.labels)], c.shape.context)
    category, every = encode_words(c, tokens, progress=counter("categories"))
    own, clips = windows.make(c, s, []), windows.make(c, s, windows.find_clips(a.clips)).real
    random = torch.randn(RANDOM, WINDOW, c.shape.embed, generator=torch.Generator().manual_seed(99))
    exact = words.ExactWords(unit_rows(every))
    tables: list[tuple[str, words.Words, str]] = [("all positions", exact, "i8")]
    for bound in BOUNDS:
        table, dtype, _ = mixture.compacted(
            every, category, shared_prefix(tokens), own.all, own.choosing, bound, ("i8", "f16")
        )
        tables.append((f"bound {bound:g}", table, dtype))
    for name, table, dtype in tables:
        rows = table.count.mean() if isinstance(table, words.MixedWords) else every.shape[1]
        changes = (words.difference(every, category, table, dtype, w) for w in (own.all, clips, random))
        print(
            f"{name}: {rows:.1f} rows a category, {dtype}, {words.size(table, dtype) / 1e6:.1f} MB; S_V changes by "
            "{:.1e} as measured, {:.1e} on the clips, {:.1e} on random windows".format(*changes),
            flush=True,
        )


if __name__ == "__main__":
    main()
