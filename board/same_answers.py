#!/usr/bin/env python3
"""Compares two answers of `bike-edge classify CLIP --json --raw`: the same labels in the same order, cosines and
confidences within TOLERANCE, the same frames. Processors differ in the order in which f32 products are added.

    same_answers.py HOST.json OTHER.json
"""

import json
import sys

# f32 sums of some thousand products in another order: 1e-6 was measured on cosines; confidences stand behind the
# logit scale, which makes differences a hundred times larger.
COSINE, CONFIDENCE = 2e-5, 2e-3


def main(host: str, other: str) -> int:
    with open(host) as a, open(other) as b:
        a, b = json.load(a), json.load(b)
    same = [r["label"] for r in a["results"]] == [r["label"] for r in b["results"]]
    same &= [s["frame"] for s in a["saliency"]] == [s["frame"] for s in b["saliency"]]
    worst = {
        name: max(abs(x[name] - y[name]) for x, y in zip(a["results"], b["results"]))
        for name in ("confidence", "score_video", "score_attributes")
    }
    within = worst["confidence"] <= CONFIDENCE and max(worst["score_video"], worst["score_attributes"]) <= COSINE
    figures = ", ".join(f"{name} {value:.1e}" for name, value in worst.items())
    print(f"classify: first answer `{b['results'][0]['label']}`; largest differences: {figures}: {'ok' if same and within else 'DIFFERENT'}")
    return 0 if same and within else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
