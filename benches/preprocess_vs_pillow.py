"""Compares the time to prepare a frame with that of Pillow and numpy, on one thread.

    python benches/preprocess_vs_pillow.py [ROUNDS]

Needs cargo, Pillow and numpy. The two take turns, so that other load on the machine slows both. The ratio is that of
their medians.
"""

import json
import re
import statistics
import subprocess
import sys
import time

import numpy as np
import PIL
from PIL import Image

MEAN = np.array([0.48145466, 0.4578275, 0.40821073], dtype=np.float32)
STD = np.array([0.26862954, 0.26130258, 0.27577711], dtype=np.float32)
UNITS = {"ns": 1e-6, "µs": 1e-3, "ms": 1.0, "s": 1e3}
SIZES = [(1920, 1080), (1280, 720), (640, 360)]


def bench_binary():
    """Builds the benchmark and returns its path."""
    command = [
        "cargo",
        "bench",
        "--profile",
        "release",
        "--bench",
        "preprocess",
        "--no-run",
        "--message-format",
        "json",
    ]
    for line in subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout.splitlines():
        message = json.loads(line)
        if message.get("target", {}).get("name") == "preprocess" and message.get("executable"):
            return message["executable"]
    sys.exit("cargo built no benchmark named preprocess")


def bike_edge(binary):
    """Returns bike-edge's median milliseconds by (name, size)."""
    text = subprocess.run([binary, "--bench", "--color", "never"], stdout=subprocess.PIPE, text=True, check=True).stdout
    medians, name = {}, None
    for line in text.splitlines():
        if heading := re.match(r"[├╰]─ (\w+)", line):
            name = heading[1]
        elif row := re.search(r"\((\d+), (\d+)\)(.*)", line):
            number, unit = row[3].split("│")[2].split()
            medians[name, (int(row[1]), int(row[2]))] = float(number) * UNITS[unit]
    return medians


def pillow(image, times=10):
    """Returns Pillow's and numpy's median milliseconds to resize, crop and normalise."""
    times_ms = []
    for _ in range(times):
        start = time.perf_counter()
        w, h = image.size
        scaled = image.resize((int(256 * w / h), 256), Image.Resampling.BICUBIC)
        x, y = round((scaled.width - 224) / 2), round((scaled.height - 224) / 2)
        pixels = np.asarray(scaled.crop((x, y, x + 224, y + 224)), dtype=np.float32)
        np.ascontiguousarray(((pixels / 255 - MEAN) / STD).transpose(2, 0, 1))
        times_ms.append(1e3 * (time.perf_counter() - start))
    return statistics.median(times_ms)


def main():
    """Prints the medians of both and their ratio."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 7
    binary = bench_binary()
    noise = np.random.default_rng(0)
    images = {(w, h): Image.fromarray(noise.integers(0, 256, (h, w, 3), dtype=np.uint8)) for w, h in SIZES}
    measured, reference = [], []
    for _ in range(rounds):
        measured.append(bike_edge(binary))
        reference.append({size: pillow(image) for size, image in images.items()})
    print(f"medians of {rounds} rounds, one thread; Pillow {PIL.__version__} starts from RGB")
    for name in ["rgb", "yuv420"]:
        for size in SIZES:
            a = statistics.median(round_[name, size] for round_ in measured)
            b = statistics.median(round_[size] for round_ in reference)
            print(f"{name:7} {size[0]:4}x{size[1]:<4}  {a:6.2f} ms   Pillow {b:6.2f} ms   {b / a:4.1f}x faster")


if __name__ == "__main__":
    main()
