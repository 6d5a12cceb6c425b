#!/usr/bin/env python3
"""Compares two results of `bike-edge classify CLIP --json --raw`.

They must have the same labels in the same order, the same frames, cosines and embeddings within COSINE, and confidences
within CONFIDENCE. They are not equal, because processors add f32 products in different orders.

    same_answers.py HOST.json OTHER.json
"""

import json
import sys

# Sums of some thousand f32 products in another order differed by 1.2e-7 in embeddings. Confidences come after the logit
# scale, which makes differences a hundred times larger.
COSINE, CONFIDENCE = 2e-5, 2e-3


def numbers(x):
    """Yields all numbers of nested lists."""
    if isinstance(x, list):
        for part in x:
            yield from numbers(part)
    elif x is not None:
        yield x


def main(host: str, other: str) -> int:
    with open(host) as a, open(other) as b:
        a, b = json.load(a), json.load(b)
    same = [r["label"] for r in a["results"]] == [r["label"] for r in b["results"]]
    same &= [s["frame"] for s in a["saliency"]] == [s["frame"] for s in b["saliency"]]
    worst = {
        "confidence": max(
            abs(x["confidence"] - y["confidence"]) for x, y in zip(a["results"], b["results"], strict=False)
        )
    }
    for name in ("s_v", "s_a", "frame_embeddings"):
        x, y = list(numbers(a[name])), list(numbers(b[name]))
        same &= len(x) == len(y) > 0
        worst[name] = max(abs(x - y) for x, y in zip(x, y, strict=False))
    within = worst["confidence"] <= CONFIDENCE and all(worst[name] <= COSINE for name in worst if name != "confidence")
    figures = ", ".join(f"{name} {value:.1e}" for name, value in worst.items())
    verdict = "ok" if same and within else "DIFFERENT"
    print(f"classify: first label `{b['results'][0]['label']}`; largest differences: {figures}: {verdict}")
    return 0 if verdict == "ok" else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
