#!/usr/bin/env python3
"""Times a whole clip: `bike-edge classify` against the steps of BIKE's reference in PyTorch, in turns.

    whole_clip.py CLIP... --binary TARGET/release/bike-edge [--arch B/32] [--threads 2] [--rounds 5] [--keep FOLDER]

A checkpoint with random weights in BIKE's format is exported to int8 with 400 categories; speed does not depend on the
weights. The reference's steps are the published ones: ffmpeg writes all frames as JPEG files, Pillow reads, resizes
and crops T of them, and PyTorch (f32) encodes them, runs the temporal header and computes concept spotting.

Whole processes are compared first: for the reference, loading Python, torch and the checkpoint, encoding the
categories' text, as it does at every start, and the clip; for bike-edge, `bike-edge classify`. Then only the clip is
compared, without loading.

A second table shows by `bike-edge bench` what a step of `watch` costs in addition to encoding its new frame: the
temporal header and concept spotting, with the header and, with another manifest for the same files, without it.
"""

import argparse
import csv
import json
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
EXPORT = ROOT / "models/export"
CATEGORIES, WINDOW = 400, 8
sys.path[:0] = [str(EXPORT), str(EXPORT / "tests")]


def export(folder, arch):
    """Makes a random checkpoint and its int8 bundle. Returns both and the categories."""
    lists = sorted((ROOT / "models/lexicon").glob("*.txt"))
    phrases = [line.strip() for path in lists for line in path.read_text().splitlines()]
    phrases = list(dict.fromkeys(p for p in phrases if p and not p.startswith("#")))
    labels = folder / "labels.csv"
    labels.write_text("id,name\n" + "".join(f'{i},"{name}"\n' for i, name in enumerate(phrases[:CATEGORIES])))
    checkpoint, bundle = folder / "random.pt", folder / "bundle"
    if bundle.exists():
        return checkpoint, bundle, phrases[:CATEGORIES]
    python = [sys.executable]
    make = [*python, EXPORT / "tests/random_checkpoints.py", "--arch", arch, "--format", "bike", "--header", checkpoint]
    subprocess.run(list(map(str, make)), check=True, stdout=subprocess.DEVNULL)
    exporter = [*python, "-m", "bike_export", checkpoint, "--labels", labels, "--window", WINDOW, "--out", bundle]
    subprocess.run(list(map(str, exporter)), check=True, cwd=EXPORT, stdout=subprocess.DEVNULL)
    return checkpoint, bundle, phrases[:CATEGORIES]


class Reference:
    """The published steps, in this process."""

    def __init__(self, checkpoint, names, threads):
        import torch

        from bike_export.checkpoint import load
        from bike_export.model.towers import encode_words
        from bike_export.text.tokenizer import tokenize

        torch.set_num_threads(threads)
        self.model = load(checkpoint)
        start = time.perf_counter()
        with torch.inference_mode():
            self.sentences, self.words = encode_words(
                self.model, tokenize([f"a video of a person {n}." for n in names], 77)
            )
        self.text_s = time.perf_counter() - start

    def run(self, clip):
        """Returns the seconds for all steps, and for all but writing the frames."""
        import numpy as np
        import torch
        from PIL import Image

        from bike_export.model.frames import prepare, uniform_indices
        from bike_export.model.scoring import TAU, concept_spotting
        from bike_export.model.towers import encode_frames, temporal

        mean, std = [0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711]
        with tempfile.TemporaryDirectory() as folder, torch.inference_mode():
            start = time.perf_counter()
            subprocess.run(["ffmpeg", "-v", "error", "-i", clip, "-q:v", "2", f"{folder}/img_%05d.jpg"], check=True)
            written = time.perf_counter()
            files = sorted(pathlib.Path(folder).iterdir())
            images = [Image.open(files[i]) for i in uniform_indices(len(files), WINDOW)]
            pixels = np.stack([prepare(image, 256, 224, mean, std) for image in images])
            frames = temporal(self.model, encode_frames(self.model, torch.from_numpy(pixels))[None])[0]
            scores = concept_spotting(
                frames, torch.from_numpy(np.asarray(self.words)), torch.from_numpy(np.asarray(self.sentences)), tau=TAU
            )
            torch.softmax(scores, -1).topk(5)
            return time.perf_counter() - start, time.perf_counter() - written


def bike_edge(binary, bundle, clip, threads):
    """Returns the seconds of bike-edge's process, and those for loading."""
    command = [binary, "classify", clip, "--bundle", bundle, "--lambda", "1", "--threads", threads, "--json"]
    start = time.perf_counter()
    out = subprocess.run(list(map(str, command)), check=True, capture_output=True, text=True).stdout
    return time.perf_counter() - start, json.loads(out)["timing_ms"]["load"] / 1e3


def reference_process(checkpoint, labels, clip, threads):
    """Returns the seconds of the reference's whole process, and those for the categories' text."""
    command = [sys.executable, __file__, clip, "--binary", "-", "--threads", threads, "--once", checkpoint, labels]
    start = time.perf_counter()
    out = subprocess.run(list(map(str, command)), check=True, capture_output=True, text=True).stdout
    return time.perf_counter() - start, float(out)


def once(checkpoint, labels, clip, threads):
    """Runs the reference from the start for one clip: the child process of `reference_process`."""
    with open(labels) as file:
        names = [row["name"] for row in csv.DictReader(file)]
    reference = Reference(checkpoint, names, threads)
    reference.run(clip)
    print(reference.text_s)


def without_header(bundle, folder):
    """Returns the same bundle with a manifest without the header."""
    out = folder / "plain"
    shutil.rmtree(out, ignore_errors=True)
    shutil.copytree(bundle, out, ignore=shutil.ignore_patterns("temporal.onnx"))
    text = (out / "bundle.toml").read_text().replace('header = "transf"', 'header = "none"')
    before, _, after = text.partition('[files."temporal.onnx"]')
    (out / "bundle.toml").write_text(before + after.partition("\n\n")[2])
    return out


def steps(binary, bundles, threads):
    """Prints the cost of a step of `watch`, in frames encoded."""
    print("| step of `watch`, T = 8, K = 400 | encode, ms | header and spotting, ms | step, in encodes |")
    print("|---" * 4 + "|")
    for name, bundle in bundles.items():
        command = [binary, "bench", "--bundle", bundle, "--threads", threads, "--runs", 30, "--json"]
        done = subprocess.run(list(map(str, command)), check=True, capture_output=True, text=True)
        stages = json.loads(done.stdout)["stages"]
        encode, spotting = stages["encode"]["median_ms"], stages["spotting"]["median_ms"]
        print(f"| {name} | {encode:.1f} | {spotting:.2f} | {1 + spotting / encode:.3f} |", flush=True)


def main():
    """Prints both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clips", nargs="+", type=pathlib.Path, metavar="CLIP", help="videos to time")
    parser.add_argument("--binary", required=True, type=pathlib.Path, help="the bike-edge program")
    parser.add_argument("--arch", default="B/32", help="default: %(default)s")
    parser.add_argument("--threads", type=int, default=2, help="default: %(default)s")
    parser.add_argument("--rounds", type=int, default=5, help="default: %(default)s")
    parser.add_argument(
        "--keep",
        type=pathlib.Path,
        metavar="FOLDER",
        help="folder for the checkpoint and the bundle, to reuse them (default: temporary)",
    )
    parser.add_argument("--once", nargs=2, metavar=("CHECKPOINT", "LABELS"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.once:
        return once(*options.once, options.clips[0], options.threads)
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.keep or pathlib.Path(temporary)
        folder.mkdir(exist_ok=True)
        checkpoint, bundle, names = export(folder, options.arch)
        reference = Reference(checkpoint, names, options.threads)
        print(
            "| clip | reference's process, s | of it text | bike-edge's process, s | of it loading | ratio "
            "| ratio without text | only the clip: reference, s | without writing frames | bike-edge, s | ratio "
            "| ratio without writing |"
        )
        print("|---" * 12 + "|")
        for clip in options.clips:
            rounds = [
                (*reference.run(clip), *bike_edge(options.binary, bundle, clip, options.threads))
                for _ in range(options.rounds)
            ]
            written, read, process_s, load = (statistics.median(column) for column in zip(*rounds, strict=True))
            whole, text = reference_process(checkpoint, folder / "labels.csv", clip, options.threads)
            clip_s = process_s - load
            cells = [
                clip.name,
                f"{whole:.1f}",
                f"{text:.1f}",
                f"{process_s:.2f}",
                f"{load:.2f}",
                f"{whole / process_s:.0f}",
                f"{(whole - text) / process_s:.1f}",
                f"{written:.2f}",
                f"{read:.2f}",
                f"{clip_s:.2f}",
                f"{written / clip_s:.1f}",
                f"{read / clip_s:.1f}",
            ]
            print("| " + " | ".join(cells) + " |", flush=True)
        print()
        steps(options.binary, {"with the header": bundle, "without": without_header(bundle, folder)}, 1)


if __name__ == "__main__":
    main()
