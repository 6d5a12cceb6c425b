"""Makes goldens of frame sampling with numpy, for src/pipeline/bike_sampling.rs.

The expressions are those of the published BIKE datasets (commit e8f6a8b): uniform test sampling over V temporal
views, and dense sampling over a range of 128 frames. Needs numpy >= 1.20 (linspace with dtype=int floors since
then; earlier versions truncate). Writes goldens_sampling.json next to this file:

    python3 tests/data/make_goldens_sampling.py
"""

import json
import pathlib

import numpy as np

LENGTHS = [1, 4, 8, 16, 32]
VIEWS = [1, 2, 3, 4, 5, 10]
UP_TO = 500


def uniform(n, t, _views):
    tick = n / t
    return [[int(tick * i) for i in range(t)]]


def uniform_views(n, t, views):
    tick = n / t
    starts = np.linspace(0, tick - 1, num=views, dtype=int)
    return [[int(start + tick * i) % n for i in range(t)] for start in starts.tolist()]


def dense_views(n, t, views):
    interval = 128 // t
    # The reference divides by zero where views is 1.
    step = 0 if views == 1 else int(np.floor(max(0, n - 128) / (views - 1)))
    return [[(v * step + interval * i) % n for i in range(t)] for v in range(views)]


def fnv1a(numbers):
    value = 0xCBF29CE484222325
    for number in numbers:
        for byte in int(number).to_bytes(4, "little"):
            value = ((value ^ byte) * 0x100000001B3) % (1 << 64)
    return f"{value:016x}"


KINDS = {"uniform": uniform, "uniform_views": uniform_views, "dense_views": dense_views}

cases, digests = [], []
for kind, function in KINDS.items():
    for t in LENGTHS:
        for views in [1] if kind == "uniform" else VIEWS:
            numbers = (i for n in range(1, UP_TO + 1) for row in function(n, t, views) for i in row)
            digests.append({"kind": kind, "t": t, "views": views, "up_to": UP_TO, "fnv1a": fnv1a(numbers)})
for n in [1, 3, 4, 7, 8, 15, 17, 100, 128, 129, 250, 299]:
    for t in [1, 8, 16]:
        for kind, views in [("uniform", 1), ("uniform_views", 3), ("uniform_views", 4), ("dense_views", 3)]:
            cases.append({"kind": kind, "n": n, "t": t, "views": views, "indices": KINDS[kind](n, t, views)})


def lines(items):
    """Returns JSON with one item per line."""
    return ",\n".join("  " + json.dumps(item) for item in items)


text = f'{{"numpy": "{np.__version__}",\n"digests": [\n{lines(digests)}\n],\n"cases": [\n{lines(cases)}\n]}}\n'
pathlib.Path(__file__).with_name("goldens_sampling.json").write_text(text)
