"""Makes the goldens of the demo bundle's text tower.

    models/export/.venv/bin/python tests/data/text/make_minilm.py

wordpiece.json has 2,000 texts and their tokens by the package's own tokenizer. minilm.safetensors has the rows of 50
names: by MiniLM in PyTorch (`exact_*`), and by onnxruntime with the bundle's text.onnx (`stored_*`), whose weights are
int8. names.txt lists the names, which stand in none of the bundle's lists.
"""

import json
import random
import sys
import unicodedata
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]
BUNDLE = ROOT / "models" / "demo"
sys.path[:0] = [str(ROOT / "models" / "export"), str(HERE)]

from make import BY_HAND, SIGNS
from safetensors.numpy import load_file

from bike_export.demo import settings, text_tower
from bike_export.demo.minilm import MiniLM
from bike_export.tables import unit_rows, write_safetensors

COUNT = 2000
NAMES = """someone feeds a cat
an empty kitchen
a person washes dishes in the sink
the cat is on the table
a dog barks at the mailman
two children build a tower of blocks
an old man reads the newspaper
a parcel is put down at the door
someone steals a bicycle
the washing machine is running
a car parks in front of the garage
a toddler climbs the stairs
someone falls asleep on the couch
steam rises from a pot
a drone flies over the field
apply eye makeup
blowing candles
cricket batting
field hockey penalty
front crawl
handstand pushups
horse race
parallel bars
pizza tossing
pommel horse
rope climbing
salsa spin
sky diving
sumo wrestling
table tennis serve
tai chi
throw discus
trampoline jumping
uneven bars
wall pushups
writing on board
yo yo
applying sunscreen
assembling bicycle
baking cookies
beach soccer
braiding hair
bungee jumping
carving jack-o-lanterns
cleaning windows
doing karate
fixing the roof
having an ice cream
Élan: "crème brûlée" à l'école
日本語 42 x7""".splitlines()


def texts() -> list[str]:
    """Returns texts written by hand, phrases of the lexicon, and random texts."""
    by_hand = [line for line in BY_HAND.split("\n") if line]
    marks = ["[CLS] a [MASK] b[SEP]c [UNK] [pad] [PAD]", "a" * 100, "a" * 101, "\u00e9" * 100, " ", "", "##ing ## a##b"]
    phrases = (BUNDLE / "lexicon.txt").read_text(encoding="utf-8").splitlines()
    draw = random.Random(11)
    found = [*by_hand, *marks, *NAMES, *phrases[::3]]
    letters = [c for c in map(chr, range(0xA1, 0x3000)) if unicodedata.category(c)[0] in "LMNPS"]
    while len(dict.fromkeys(found)) < COUNT:
        signs = SIGNS if draw.random() < 0.7 else letters
        found.append("".join(draw.choice(signs) for _ in range(draw.randrange(1, 24))))
    return list(dict.fromkeys(found))[:COUNT]


def rows(words: list[np.ndarray], means: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Returns categories [n, D] and the words [tokens, D] of all texts from token vectors with both marks."""
    sentences = unit_rows(np.stack([w.mean(0) for w in words]))
    inner = np.concatenate([w[1:-1] for w in words])
    return unit_rows(sentences - means["category_mean"]), unit_rows(inner - means["word_mean"])


def main() -> None:
    """Writes the goldens."""
    tower = MiniLM()
    goldens = [{"text": t, "tokens": tower.tokenizer.encode(t).ids} for t in texts()]
    lines = ",\n".join(json.dumps(g, ensure_ascii=False) for g in goldens)
    (HERE / "wordpiece.json").write_text(f"[\n{lines}\n]\n", encoding="utf-8")
    (HERE / "names.txt").write_text("\n".join(NAMES) + "\n", encoding="utf-8")

    means = load_file(str(BUNDLE / "text.safetensors"))
    exact, exact_words = rows(tower.tokens(NAMES), means)
    session = text_tower.session(BUNDLE / "text.onnx")
    stored, stored_words = rows(text_tower.run(session, tower, NAMES), means)
    sentences = ["a cat,a table,a dog,a kitchen,water", "riding a bike,a street,a car,a tree,the sky"]
    prompted = [settings.SENTENCE_PROMPT.format(s) for s in sentences]
    sentence = np.stack([w.mean(0) for w in text_tower.run(session, tower, prompted)])
    tensors = {
        "exact_category": exact,
        "stored_category": stored,
        "stored_words": stored_words.astype(np.float16),
        "sentence": unit_rows(sentence) - means["sentence_mean"],
    }
    write_safetensors(HERE / "minilm.safetensors", tensors)
    cosines = (exact * stored).sum(1)
    print(f"{len(goldens)} texts; int8 to exact, cosine: mean {cosines.mean():.5f}, least {cosines.min():.5f}")
    print(f"words: mean {(exact_words * stored_words).sum(1).mean():.5f}")


if __name__ == "__main__":
    main()
