"""Makes a tiny text tower with trained heads, and what PyTorch answers with it.

    models/export/.venv/bin/python tests/data/text/make_tower.py

Written by the exporter's own code from random weights: width 64, one layer, D = 8, as many tokens as 64 merges make.
The graph computes in f32; its weights are rounded to f16 and stored so, which keeps the files small.
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

import random_checkpoints as rc  # noqa: E402
from bike_export.export.attributes import as_attribute_branch, prompted  # noqa: E402
from bike_export.graphs.towers import write_head, write_text  # noqa: E402
from bike_export.model.recognise import head  # noqa: E402
from bike_export.model.towers import encode_words  # noqa: E402
from bike_export.tables import unit_rows, write_safetensors  # noqa: E402
from bike_export.text import tokenizer, vocabulary  # noqa: E402

MERGES, WIDTH, D = 64, 64, 8
OUT = HERE / "tower"
PROMPTS = ["This is a video about {}", "a photo of {}, up close"]
NAMES = ["a crème brûlée", "TOM &amp; JERRY", "日本語 42", "x" * 40]
SENTENCES = [["a", "c"], ["c", "a"], ["b", "f"]]  # of the phrases that the tests' lexicon has


def tower() -> SimpleNamespace:
    """A checkpoint's text side, in numbers that f16 holds."""
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
    """Stores a graph's f32 weights as f16 behind a Cast each."""
    model = onnx.load(str(path))
    for tensor in list(model.graph.initializer):
        value = numpy_helper.to_array(tensor)
        if value.dtype == np.float32 and value.size > 64 and (value.astype(np.float16).astype(np.float32) == value).all():
            model.graph.initializer.remove(tensor)
            model.graph.initializer.append(numpy_helper.from_array(value.astype(np.float16), f"{tensor.name}.f16"))
            cast = helper.make_node("Cast", [f"{tensor.name}.f16"], [tensor.name], name=tensor.name, to=TensorProto.FLOAT)
            model.graph.node.insert(0, cast)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, str(path))


def main() -> None:
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
    category = prompted(c, NAMES, PROMPTS, "categories")
    texts = [PROMPTS[0].replace("{}", ",".join(phrases)) for phrases in SENTENCES]
    sentence, _ = encode_words(c, tokenizer.tokenize(texts))
    with torch.no_grad():
        through = head(torch.from_numpy(sentence), c.heads, "sentence").numpy()
    write_safetensors(
        OUT / "goldens.safetensors",
        {
            "category": category,
            "words": unit_rows(words),
            "attribute": as_attribute_branch(branch, category),
            "sentence": unit_rows(sentence),
            "sentence_attribute": unit_rows(through),
        },
    )
    print({p.name: p.stat().st_size for p in sorted(OUT.iterdir())})


if __name__ == "__main__":
    main()
