#!/usr/bin/env python3
"""Measures `watch --follow` on labelled clips that are set small into still backgrounds.

    models/export/.venv/bin/python tools/measure_follow.py target/release/bike-edge CLIPS [--scale 3] [--out table.json]

CLIPS is a folder with clips.csv (columns file and small_labels) and the clips. Each clip is played at 1/scale of the
size of a still background, which shakes by up to 2 pixels, has sensor noise, gets brighter at once after half the time,
and is crossed once by a larger object. The answer of a stream is the category with the highest mean confidence over all
steps. Needs numpy and ffmpeg.
"""

import argparse
import csv
import json
import subprocess
import sys
from pathlib import Path

import numpy as np

SIZE = (640, 360)  # of the background
SECONDS = 10.0
FPS = 15
NOISE = 4.0  # standard deviation, levels
SHAKE = 2  # pixels
LIGHT = 1.12  # factor of the step
ROWS = ("full", "small", "region", "both")


def frames(path: Path, size: tuple[int, int]) -> np.ndarray:
    """Decodes up to SECONDS of a clip as RGB, [n, h, w, 3]. A short clip is repeated."""
    w, h = size
    fit = f"fps={FPS},scale={w}:{h}:force_original_aspect_ratio=increase,crop={w}:{h}"
    command = ["ffmpeg", "-v", "error", "-i", path, "-t", str(SECONDS), "-vf", fit, "-f", "rawvideo", "-pix_fmt"]
    out = subprocess.run([*command, "rgb24", "-"], capture_output=True, check=True).stdout
    found = np.frombuffer(out, np.uint8).reshape(-1, h, w, 3)
    return np.tile(found, (int(np.ceil(SECONDS * FPS / len(found))), 1, 1, 1))[: int(SECONDS * FPS)]


def compose(clip: np.ndarray, background: np.ndarray, place: tuple[int, int], seed: int) -> np.ndarray:
    """Sets a clip into a background at `place`, with shake, noise, a step of light and a crossing object."""
    rng = np.random.default_rng(seed)
    (w, h), margin = SIZE, SHAKE
    out = np.empty((len(clip), h, w, 3), np.uint8)
    wall = np.pad(background, ((margin, margin), (margin, margin), (0, 0)), mode="edge").astype(np.float32)
    crossing = rng.integers(60, 200, (h // 2, w // 4, 3)).astype(np.float32)
    crossing = np.repeat(np.repeat(crossing[::20, ::20], 20, 0), 20, 1)[: h // 2, : w // 4]
    enter, leave = 0.25 * len(clip), 0.4 * len(clip)
    for i, picture in enumerate(clip):
        canvas = wall.copy()
        x, y = place[0] + margin, place[1] + margin
        canvas[y : y + picture.shape[0], x : x + picture.shape[1]] = picture
        if enter <= i < leave:
            left = int((i - enter) / (leave - enter) * (w + w // 4)) - w // 4
            a, b = max(left, 0), min(left + w // 4, w)
            top = h // 4
            if b > a:
                canvas[top + margin : top + margin + h // 2, a + margin : b + margin] = crossing[:, a - left : b - left]
        dx, dy = rng.integers(0, 2 * margin + 1, 2)
        shaken = canvas[dy : dy + h, dx : dx + w]
        if i >= len(clip) // 2:
            shaken = shaken * LIGHT
        out[i] = np.clip(shaken + rng.normal(0, NOISE, shaken.shape), 0, 255)
    return out


def run(binary: Path, video: np.ndarray, options: list[str]) -> tuple[dict[str, float], list[list[int]]]:
    """Returns the mean confidence of each category over the steps, and the regions."""
    (w, h), command = SIZE, [str(binary), "watch", "-", "--steps", "--top", "1000", *options]
    encode = ["ffmpeg", "-v", "error", "-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{w}x{h}", "-r", str(FPS)]
    encode += ["-i", "-", "-pix_fmt", "yuv420p", "-f", "yuv4mpegpipe", "-strict", "-1", "-"]
    y4m = subprocess.run(encode, input=video.tobytes(), capture_output=True, check=True).stdout
    done = subprocess.run(command, input=y4m, capture_output=True, check=True)
    steps = [json.loads(line) for line in done.stdout.splitlines()]
    total: dict[str, float] = {}
    for step in steps:
        for result in step["results"]:
            total[result["label"]] = total.get(result["label"], 0.0) + result["confidence"] / len(steps)
    return total, [step["region"] for step in steps if "region" in step]


def overlap(region: list[int], place: tuple[int, int], size: tuple[int, int]) -> float:
    """Returns the share of the clip's place that the region covers."""
    x, y, w, h = region
    a = max(0, min(x + w, place[0] + size[0]) - max(x, place[0]))
    b = max(0, min(y + h, place[1] + size[1]) - max(y, place[1]))
    return a * b / (size[0] * size[1])


def main() -> None:
    """Prints a line per clip, then a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("binary", type=Path)
    parser.add_argument("clips", type=Path)
    parser.add_argument("--scale", type=int, default=3)
    parser.add_argument("--only", help="only files whose name has this text")
    parser.add_argument("--background", default="intel_store_aisle_detection.gif,intel_classroom.gif")
    parser.add_argument("--rows", default=",".join(ROWS), help="what is measured (default: %(default)s)")
    parser.add_argument("--out", type=Path)
    a = parser.parse_args()
    listed = subprocess.run(
        [a.binary, "bundle", "inspect", "embedded", "--categories"], capture_output=True, check=True
    )
    known = {line.strip() for line in listed.stdout.decode().splitlines()}
    with open(a.clips / "clips.csv", encoding="utf-8") as listing:
        rows = [r for r in csv.DictReader(listing) if not a.only or a.only in r["file"]]
    backgrounds = [frames(a.clips / name, SIZE)[0] for name in a.background.split(",")]
    small = (SIZE[0] // a.scale // 2 * 2, SIZE[1] // a.scale // 2 * 2)
    measured = a.rows.split(",")
    ranks: dict[str, list[int]] = {row: [] for row in measured}
    for number, row in enumerate(rows):
        labels = [label for label in row["small_labels"].split(";") if label in known]
        if not labels:
            continue
        rng = np.random.default_rng(number)
        place = (int(rng.integers(8, SIZE[0] - small[0] - 8)), int(rng.integers(8, SIZE[1] - small[1] - 8)))
        inset = compose(frames(a.clips / row["file"], small), backgrounds[number % len(backgrounds)], place, number)
        line, covered = [], 0.0
        for name in measured:
            video = frames(a.clips / row["file"], SIZE) if name == "full" else inset
            options = ["--follow", name] if name in ("region", "both") else []
            confidence, regions = run(a.binary, video, options)
            order = sorted(confidence, key=confidence.get, reverse=True)
            rank = min(order.index(label) + 1 for label in labels)
            ranks[name].append(rank)
            line.append(f"{name} {rank:2}")
            if name == "region":
                covered = float(np.mean([overlap(r, place, small) for r in regions])) if regions else 0.0
        print(f"{row['file']:40} {', '.join(line)}  region covers {covered:.2f}", flush=True)
    table = {}
    for name, found in ranks.items():
        x = np.array(found)
        figures = {"top1": (x == 1).mean(), "top3": (x <= 3).mean(), "mean reciprocal rank": (1 / x).mean()}
        table[name] = {"clips": len(x), **{figure: round(float(value), 3) for figure, value in figures.items()}}
        print(f"{name:8} " + ", ".join(f"{figure} {value}" for figure, value in table[name].items()))
    if a.out:
        a.out.write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
