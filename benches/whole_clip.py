#!/usr/bin/env python3
"""Time a whole clip: `bike-edge classify` against the steps of BIKE's reference in PyTorch, in turns.

    whole_clip.py CLIP... --binary TARGET/release/bike-edge [--arch B/32] [--threads 2] [--rounds 5] [--keep FOLDER]

A checkpoint with random weights in BIKE's format (speed does not depend on them) is exported to int8 with 400
categories. The reference's way is the published one: ffmpeg writes all frames as JPEG files, T of them are read, resized
and cropped by Pillow, and PyTorch (f32) encodes them, runs the temporal header and spots concepts.

Whole processes are compared, as a person runs them: Python, torch and the checkpoint loaded, the categories' text encoded,
as the reference does at every start, and the clip; on the other side `bike-edge classify`. Then the clip alone: on both
sides what comes after all is loaded.

A second table says what a step of `watch` costs beside encoding its one new frame, by `bike-edge bench`: the temporal header
and concept spotting, with the header and, by another manifest over the same files, without.
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
    """A random checkpoint and its int8 bundle."""
    phrases = [line.strip() for path in sorted((ROOT / "models/lexicon").glob("*.txt")) for line in open(path)]
    phrases = list(dict.fromkeys(p for p in phrases if p and not p.startswith("#")))
    labels = folder / "labels.csv"
    labels.write_text("id,name\n" + "".join(f'{i},"{name}"\n' for i, name in enumerate(phrases[:CATEGORIES])))
    checkpoint, bundle = folder / "random.pt", folder / "bundle"
    if bundle.exists():
        return checkpoint, bundle, phrases[:CATEGORIES]
    python = [sys.executable]
    make = [*python, EXPORT / "tests/random_checkpoints.py", "--arch", arch, "--format", "bike", "--header", checkpoint]
    subprocess.run(list(map(str, make)), check=True, stdout=subprocess.DEVNULL)
    made = [*python, "-m", "bike_export", checkpoint, "--labels", labels, "--window", WINDOW, "--out", bundle]
    subprocess.run(list(map(str, made)), check=True, cwd=EXPORT, stdout=subprocess.DEVNULL)
    return checkpoint, bundle, phrases[:CATEGORIES]


class Reference:
    """The published steps; see the module."""

    def __init__(self, checkpoint, names, threads):
        import torch
        from bike_export.checkpoint import load
        from bike_export.model.towers import encode_words
        from bike_export.text.tokenizer import tokenize

        torch.set_num_threads(threads)
        self.model = load(checkpoint)
        began = time.perf_counter()
        with torch.inference_mode():
            self.sentences, self.words = encode_words(self.model, tokenize([f"a video of a person {n}." for n in names], 77))
        self.text_s = time.perf_counter() - began

    def run(self, clip):
        """Seconds for all steps, and without writing the frames."""
        import numpy as np
        import torch
        from bike_export.model.frames import prepare, uniform_indices
        from bike_export.model.recognise import TAU, concept_spotting
        from bike_export.model.towers import encode_frames, temporal
        from PIL import Image

        mean, std = [0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711]
        with tempfile.TemporaryDirectory() as folder, torch.inference_mode():
            began = time.perf_counter()
            subprocess.run(["ffmpeg", "-v", "error", "-i", clip, "-q:v", "2", f"{folder}/img_%05d.jpg"], check=True)
            written = time.perf_counter()
            files = sorted(pathlib.Path(folder).iterdir())
            images = [Image.open(files[i]) for i in uniform_indices(len(files), WINDOW)]
            pixels = np.stack([prepare(image, 256, 224, mean, std) for image in images])
            frames = temporal(self.model, encode_frames(self.model, torch.from_numpy(pixels))[None])[0]
            scores = concept_spotting(frames, torch.from_numpy(np.asarray(self.words)), torch.from_numpy(np.asarray(self.sentences)), tau=TAU)
            torch.softmax(scores, -1).topk(5)
            return time.perf_counter() - began, time.perf_counter() - written


def ours(binary, bundle, clip, threads):
    """Seconds of the process, and of them for loading."""
    command = [binary, "classify", clip, "--bundle", bundle, "--lambda", "1", "--threads", threads, "--json"]
    began = time.perf_counter()
    out = subprocess.run(list(map(str, command)), check=True, capture_output=True, text=True).stdout
    return time.perf_counter() - began, json.loads(out)["timing_ms"]["load"] / 1e3


def reference_process(checkpoint, labels, clip, threads):
    """Seconds of the reference's whole process, and of them for the categories' text."""
    command = [sys.executable, __file__, clip, "--binary", "-", "--threads", threads, "--once", checkpoint, labels]
    began = time.perf_counter()
    out = subprocess.run(list(map(str, command)), check=True, capture_output=True, text=True).stdout
    return time.perf_counter() - began, float(out)


def once(checkpoint, labels, clip, threads):
    """What [`reference_process`] runs: all from the start for one clip."""
    names = [row["name"] for row in csv.DictReader(open(labels))]
    reference = Reference(checkpoint, names, threads)
    reference.run(clip)
    print(reference.text_s)


def without_header(bundle, folder):
    """The same bundle under a manifest that says there is no header."""
    out = folder / "plain"
    shutil.rmtree(out, ignore_errors=True)
    shutil.copytree(bundle, out, ignore=shutil.ignore_patterns("temporal.onnx"))
    text = (out / "bundle.toml").read_text().replace('header = "transf"', 'header = "none"')
    before, _, after = text.partition('[files."temporal.onnx"]')
    (out / "bundle.toml").write_text(before + after.partition("\n\n")[2])
    return out


def steps(binary, bundles, threads):
    """What a step of `watch` takes, in frames encoded."""
    print("| step of `watch`, T = 8, K = 400 | encode, ms | header and spotting, ms | step, in encodes |\n|---|---|---|---|")
    for name, bundle in bundles.items():
        command = [binary, "bench", "--bundle", bundle, "--threads", threads, "--runs", 30, "--json"]
        stages = json.loads(subprocess.run(list(map(str, command)), check=True, capture_output=True, text=True).stdout)["stages"]
        encode, spotting = stages["encode"]["median_ms"], stages["spotting"]["median_ms"]
        print(f"| {name} | {encode:.1f} | {spotting:.2f} | {1 + spotting / encode:.3f} |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clips", nargs="+", type=pathlib.Path, metavar="CLIP")
    parser.add_argument("--binary", required=True, type=pathlib.Path)
    parser.add_argument("--arch", default="B/32")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--keep", type=pathlib.Path, metavar="FOLDER", help="where checkpoint and bundle stay for the next time")
    parser.add_argument("--once", nargs=2, metavar=("CHECKPOINT", "LABELS"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.once:
        return once(*options.once, options.clips[0], options.threads)
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.keep or pathlib.Path(temporary)
        folder.mkdir(exist_ok=True)
        checkpoint, bundle, names = export(folder, options.arch)
        reference = Reference(checkpoint, names, options.threads)
        print("| clip | reference's process, s | of it text | bike-edge's process, s | of it loading | ratio | ratio without text "
              "| the clip alone: reference, s | without writing frames | bike-edge, s | ratio | ratio without writing |")
        print("|---" * 12 + "|")
        for clip in options.clips:
            run = lambda: (*reference.run(clip), *ours(options.binary, bundle, clip, options.threads))
            written, read, ours_s, load = (statistics.median(column) for column in zip(*[run() for _ in range(options.rounds)]))
            whole, text = reference_process(checkpoint, folder / "labels.csv", clip, options.threads)
            alone = ours_s - load
            print(f"| {clip.name} | {whole:.1f} | {text:.1f} | {ours_s:.2f} | {load:.2f} | {whole / ours_s:.0f} | {(whole - text) / ours_s:.1f} "
                  f"| {written:.2f} | {read:.2f} | {alone:.2f} | {written / alone:.1f} | {read / alone:.1f} |", flush=True)
        print()
        steps(options.binary, {"with the header": bundle, "without": without_header(bundle, folder)}, 1)


if __name__ == "__main__":
    main()
