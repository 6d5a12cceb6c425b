"""Measures how near a composer is to a real text tower, MiniLM-L6: the tables in docs/measurements/exactness.md.

    python checks/composer.py LABELS.csv [--tuples N] [--epochs N]

The lexicon is that of the demo model. LABELS.csv has the categories whose attribute scores are compared.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import torch

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from bike_export.composer import network
from bike_export.composer.evaluate import evaluate
from bike_export.composer.train import fit_ridge, train
from bike_export.composer.tuples import KINDS, sample_all
from bike_export.demo.minilm import MiniLM
from bike_export.demo.word_lists import lexicon
from bike_export.export import fit_composer
from bike_export.progress import progress_of
from bike_export.tables import round_trip, unit_rows
from bike_export.text.lists import read_labels

PROMPT, TOP_K, HELD_OUT = "This is a video about {}", 5, 150


def main() -> None:
    """Prints a line for each way to make sentences and each kind of tuples."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("labels", type=Path, help="categories: a CSV file with the header id,name")
    parser.add_argument("--lexicon", type=Path, default=HERE.parent.parent / "lexicon", help="default: %(default)s")
    parser.add_argument(
        "--tuples", type=int, default=fit_composer.TUPLES, help="training tuples of each kind (default: %(default)s)"
    )
    parser.add_argument(
        "--epochs", type=int, default=fit_composer.EPOCHS, help="training epochs (default: %(default)s)"
    )
    parser.add_argument("--threads", type=int, default=2, help="default: %(default)s")
    a = parser.parse_args()
    torch.set_num_threads(a.threads)
    tower, rng = MiniLM(), np.random.default_rng(0)
    names = lexicon(a.lexicon)

    def encode(texts: list[str]) -> np.ndarray:
        return tower.sentences([PROMPT.format(t) for t in texts]).astype(np.float32)

    phrases, categories = round_trip(encode(names), "i8"), encode(read_labels(a.labels))
    tuples = sample_all(a.tuples, TOP_K, phrases, None, rng)
    held_out = sample_all(HELD_OUT, TOP_K, phrases, None, rng)
    y, expected = (encode([",".join(names[i] for i in t) for t in part]) for part in (tuples, held_out))
    state = network.rounded(train(phrases, tuples, y, epochs=a.epochs, progress=progress_of("composer")))
    inputs = phrases[held_out]
    ridge, bias = fit_ridge(phrases[tuples].reshape(len(tuples), -1), y)
    with torch.no_grad():
        composed = network.compose(state, torch.from_numpy(inputs)).numpy()
    sentences = {
        "mean of the phrases": fit_composer.centred_mean(inputs, phrases.mean(0)),
        "ridge": inputs.reshape(len(inputs), -1) @ ridge + bias,
        "composer": composed,
    }
    kinds = [("all", slice(None))] + [(k, slice(i * HELD_OUT, (i + 1) * HELD_OUT)) for i, k in enumerate(KINDS)]
    for name, rows in sentences.items():
        for kind, part in kinds:
            scores = [unit_rows(x[part]) @ categories.T for x in (rows, expected)]
            figures = evaluate(rows[part], expected[part], y.mean(0), *scores, "").values()
            print(f"{name}, {kind}: cosine {{}}, centred {{}}, top-1 {{}}, Spearman {{}}".format(*figures), flush=True)


if __name__ == "__main__":
    main()
