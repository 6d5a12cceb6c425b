"""Makes a tiny text tower with trained heads, and PyTorch's outputs with it.

    models/export/.venv/bin/python tests/data/text/make_tower.py

The exporter writes it from random weights: width 64, one layer, D = 8, and the tokens of 64 merges. The graph computes
in f32, and its weights are stored as f16 to keep the files small.
"""

import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper

HERE = Path(__file__).resolve().parent
EXPORT = HERE.parents[2] / "models" / "export"
sys.path[:0] = [str(EXPORT), str(EXPORT / "tests")]

import random_checkpoints as rc
from bike_export.export.attributes import attribute_rows, prompt_ensemble
from bike_export.graphs.towers import write_head, write_text
from bike_export.model.scoring import head
from bike_export.model.towers import encode_words
from bike_export.tables import unit_rows, write_safetensors
from bike_export.text import tokenizer, vocabulary

MERGES, WIDTH, D = 64, 64, 8
OUT = HERE / "tower"
PROMPTS = ["This is a video about {}", "a photo of {}, up close"]
NAMES = ["a crème brûlée", "TOM &amp; JERRY", "日本語 42", "x" * 40]
SENTENCES = [["a", "c"], ["c", "a"], ["b", "f"]]  # of phrases in the lexicon of the tests


def tower() -> SimpleNamespace:
    """Returns the text tower and heads of a checkpoint, in numbers that f16 can represent."""
    draw = rc.Draw(5)
    state = {
        "token_embedding.weight": draw(514 + MERGES, WIDTH, std=1.0),
        "positional_embedding": draw(77, WIDTH, std=0.2),
        "ln_final.weight": 1 + draw(WIDTH, std=0.1),
        "ln_final.bias": draw(WIDTH, std=0.05),
        "text_projection": draw(WIDTH, D, std=WIDTH**-0.5),
        **rc.blocks(draw, "transformer.resblocks.", WIDTH, 1),
    }
    heads = {
        f"{name}_fc.{i}.{part}": draw(D, D, std=1.5 * D**-0.5) if part == "weight" else draw(D, std=0.02)
        for name in ("query", "sentence")
        for i in (0, 2)
        for part in ("weight", "bias")
    }
    state, heads = ({k: v.half().float() for k, v in s.items()} for s in (state, heads))
    shape = SimpleNamespace(text_layers=1, text_heads=1, text_width=WIDTH, context=77, embed=D)
    return SimpleNamespace(shape=shape, clip=state, heads=heads, activation="quickgelu")


def store_small(path: Path) -> None:
    """Stores each f32 weight of a graph as f16 behind a Cast."""
    model = onnx.load(str(path))
    for tensor in list(model.graph.initializer):
        value = numpy_helper.to_array(tensor)
        if (
            value.dtype == np.float32
            and value.size > 64
            and (value.astype(np.float16).astype(np.float32) == value).all()
        ):
            model.graph.initializer.remove(tensor)
            model.graph.initializer.append(numpy_helper.from_array(value.astype(np.float16), f"{tensor.name}.f16"))
            cast = helper.make_node(
                "Cast", [f"{tensor.name}.f16"], [tensor.name], name=tensor.name, to=TensorProto.FLOAT
            )
            model.graph.node.insert(0, cast)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, str(path))


def main() -> None:
    """Writes the tower and its goldens."""
    merges = vocabulary.merges()[:MERGES]
    tokenizer.merges = lambda: merges
    c = tower()
    branch = SimpleNamespace(trained=True, sentence=c)
    OUT.mkdir(exist_ok=True)
    (OUT / "tokenizer.txt").write_text("".join(f"{x} {y}\n" for x, y in merges), encoding="utf-8")
    write_text(OUT / "text.onnx", c, "fp32", {})
    store_small(OUT / "text.onnx")
    for name in ("sentence", "query"):
        write_head(OUT / f"{name}_head.onnx", c, name, {})
    _, words = encode_words(c, tokenizer.tokenize([PROMPTS[0].replace("{}", n) for n in NAMES]))
    category = prompt_ensemble(c, NAMES, PROMPTS, "categories")
    texts = [PROMPTS[0].replace("{}", ",".join(phrases)) for phrases in SENTENCES]
    sentence, _ = encode_words(c, tokenizer.tokenize(texts))
    with torch.no_grad():
        attribute_sentence = head(torch.from_numpy(sentence), c.heads, "sentence").numpy()
    write_safetensors(
        OUT / "goldens.safetensors",
        {
            "category": category,
            "words": unit_rows(words),
            "attribute": attribute_rows(branch, category),
            "sentence": unit_rows(sentence),
            "sentence_attribute": unit_rows(attribute_sentence),
        },
    )
    print({p.name: p.stat().st_size for p in sorted(OUT.iterdir())})


if __name__ == "__main__":
    main()
