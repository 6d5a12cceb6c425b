"""Makes the goldens of the demo bundle's composer.

Needs the requirements of bike_export and the finished bundle:

    python tests/data/make_goldens_demo.py [--bundle models/demo]

golden_demo.safetensors has phrases [n, 5, D] from the bundle, composed [n, D] (onnxruntime) and sentence [n, D] (text
tower).
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import onnxruntime
from safetensors.numpy import load_file, save_file

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path.insert(0, str(ROOT / "models" / "export"))
TUPLES = [
    ["a cup", "a coffee cup", "drinking coffee", "a table", "a cafe"],
    ["a cat", "a kitten", "a cat on a sofa", "stroking a cat", "a dog"],
    ["a rocket", "smoke", "an explosion", "a satellite", "a blue sky"],
    ["a keyboard", "a desk", "a laptop", "typing on a keyboard", "an office"],
]


def session(path: Path) -> onnxruntime.InferenceSession:
    """Opens a graph in onnxruntime on the CPU with one thread, so that the order of sums is fixed."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def main() -> None:
    """Writes golden_demo.safetensors."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--bundle", type=Path, default=ROOT / "models" / "demo", help="folder of the demo bundle (default: %(default)s)"
    )
    bundle = parser.parse_args().bundle
    phrases, composed, sentences = compose(bundle)
    path = HERE / "golden_demo.safetensors"
    save_file({"phrases": phrases, "composed": composed, "sentence": sentences}, path)
    path.chmod(0o644)
    print(f"{len(TUPLES)} tuples, {path.stat().st_size} bytes")


def compose(bundle: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns phrase rows from the bundle [n, 5, D], the composer's sentences [n, D], and the text tower's [n, D].

    The tower's sentences are normalised, minus their mean over 300 drawn tuples. That estimates the mean over all
    training tuples, which the composer was trained with.
    """
    from bike_export.demo import bridge, minilm, settings, tuples, word_lists
    from bike_export.demo.text_space import TextSpace
    from bike_export.tables import unit_rows

    lexicon = ROOT / "models" / "lexicon"
    words = word_lists.lexicon(lexicon)
    space = TextSpace.fit(minilm.MiniLM(), words)
    points = bridge.class_points(space.tower, lexicon / "bridge" / "associations.txt")
    drawn = tuples.draw_all(100, space.phrases(words), points, np.random.default_rng(settings.SEED))
    mean = space.attribute_sentences([[words[i] for i in t] for t in drawn]).mean(0)
    sentences = unit_rows(space.attribute_sentences(TUPLES) - mean)

    names = (bundle / "lexicon.txt").read_text(encoding="utf-8").splitlines()
    tables = load_file(str(bundle / "lexicon.safetensors"))
    rows = tables["retrieval"].astype(np.float32) * tables["retrieval_scale"][:, None]
    phrases = np.stack([[rows[names.index(p)] for p in t] for t in TUPLES]).astype(np.float32)
    composer = session(bundle / "composer.onnx")
    composed = np.concatenate([composer.run(None, {"phrases": p[None]})[0] for p in phrases])
    return phrases, composed, sentences


if __name__ == "__main__":
    main()
