"""How well a composer stands in for a real text tower, MiniLM-L6: the table in docs/exactness.md.

    python checks/composer.py LABELS.csv [--tuples N] [--epochs N]

The lexicon is the demo model's; LABELS.csv gives the categories whose attribute scores are compared.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import torch

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from bike_export.composer import judge, network  # noqa: E402
from bike_export.composer.train import fit_ridge, train  # noqa: E402
from bike_export.composer.tuples import KINDS, draw_all  # noqa: E402
from bike_export.demo.text import MiniLM  # noqa: E402
from bike_export.demo.vocabulary import lexicon  # noqa: E402
from bike_export.export import stand_in  # noqa: E402
from bike_export.progress import counter  # noqa: E402
from bike_export.tables import round_trip  # noqa: E402
from bike_export.text.lists import read_labels  # noqa: E402

PROMPT, TOP_K, HELD_OUT = "This is a video about {}", 5, 150


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("labels", type=Path)
    parser.add_argument("--lexicon", type=Path, default=HERE.parent.parent / "lexicon")
    parser.add_argument("--tuples", type=int, default=stand_in.TUPLES, help="of each kind (default: %(default)s)")
    parser.add_argument("--epochs", type=int, default=stand_in.EPOCHS, help="default: %(default)s")
    parser.add_argument("--threads", type=int, default=2, help="default: %(default)s")
    a = parser.parse_args()
    torch.set_num_threads(a.threads)
    tower, rng = MiniLM(), np.random.default_rng(0)
    names = lexicon(a.lexicon)
    read = lambda texts: tower.sentences([PROMPT.format(t) for t in texts]).astype(np.float32)  # noqa: E731
    phrases, categories = round_trip(read(names), "i8"), read(read_labels(a.labels))
    tuples = draw_all(a.tuples, TOP_K, phrases, None, rng)
    held = draw_all(HELD_OUT, TOP_K, phrases, None, rng)
    y, truth = (read([",".join(names[i] for i in t) for t in some]) for some in (tuples, held))
    state = network.rounded(train(phrases, tuples, y, epochs=a.epochs, progress=counter("composer")))
    given = phrases[held]
    ridge, bias = fit_ridge(phrases[tuples].reshape(len(tuples), -1), y)
    with torch.no_grad():
        composed = network.compose(state, torch.from_numpy(given)).numpy()
    found = {
        "mean of the phrases": stand_in.centred_mean(given, phrases.mean(0)),
        "ridge": given.reshape(len(given), -1) @ ridge + bias,
        "composer": composed,
    }
    kinds = [("all", slice(None))] + [(k, slice(i * HELD_OUT, (i + 1) * HELD_OUT)) for i, k in enumerate(KINDS)]
    for name, rows in found.items():
        for kind, part in kinds:
            scores = [stand_in.unit_rows(x[part]) @ categories.T for x in (rows, truth)]
            figures = judge.judge(rows[part], truth[part], y.mean(0), *scores, "").values()
            print(f"{name}, {kind}: cosine {{}}, centred {{}}, top-1 {{}}, Spearman {{}}".format(*figures), flush=True)


if __name__ == "__main__":
    main()
