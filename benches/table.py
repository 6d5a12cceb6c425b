#!/usr/bin/env python3
"""Measures bike-edge, onnxruntime and rten on the same networks in turns, and writes a table of the results.

    table.py FOLDER --ours NETWORK --rten RTEN [--write docs/measurements/performance.md] [--rounds 12] [--threads 1,2]

FOLDER has NAME.fp32.onnx and NAME.int8.onnx as make_vit.py writes them. For the demo model, bike-edge runs
models/demo/visual.onnx, and also its form with pointwise convolutions in dynamic int8. Times are medians (95th
percentile) in ms. Ratios are medians of each round's ratio to onnxruntime's int8 (for the demo model: to its fp32). The
page has one table for processors with VNNI and one for those without. On the latter, onnxruntime's default int8 kernels
saturate sums of two products, so its exact mode is timed too.
"""

import argparse
import datetime
import importlib.metadata
import os
import pathlib
import platform
import statistics
import subprocess

from runners import Runner, bike_edge, onnxruntime, percentile, take_turns

ROOT = pathlib.Path(__file__).resolve().parent.parent
SHAPES = {"b32": (1, 3, 224, 224), "b16": (1, 3, 224, 224), "header": (1, 8, 512)}
TITLES = {"b32": "ViT-B/32", "b16": "ViT-B/16", "header": "temporal header, T = 8", "demo": "demo model"}


def cpuinfo(key):
    """Returns the first value of a key in /proc/cpuinfo."""
    with open("/proc/cpuinfo") as file:
        return next(line.split(":")[1].strip() for line in file if line.startswith(key))


def flags():
    """Returns the relevant instruction sets of this processor."""
    available = cpuinfo("flags").split()
    return [flag for flag in ("avx2", "avx_vnni", "avx512_vnni", "avx512_bf16") if flag in available]


def has_vnni():
    """Returns whether this processor has VNNI."""
    return any("vnni" in flag for flag in flags())


def networks(folder, options):
    """Yields for each network the label and the start function of each program. Ratios refer to the last program."""
    for name, shape in SHAPES.items():
        int8, fp32 = folder / f"{name}.int8.onnx", folder / f"{name}.fp32.onnx"
        if int8.exists():
            yield (
                name,
                [
                    ("bike-edge int8", lambda n, f=int8: bike_edge(options.ours, f, n)),
                    ("rten int8", lambda n, f=int8, s=shape: Runner([options.rten, f, *s], n)),
                    ("onnxruntime fp32", lambda n, f=fp32: onnxruntime(f, n)),
                    *(
                        []
                        if has_vnni()
                        else [("onnxruntime int8, exact", lambda n, f=int8: onnxruntime(f, n, "exact"))]
                    ),
                    ("onnxruntime int8", lambda n, f=int8: onnxruntime(f, n)),
                ],
            )
    demo = ROOT / "models/demo/visual.onnx"
    yield (
        "demo",
        [
            ("bike-edge", lambda n: bike_edge(options.ours, demo, n)),
            ("bike-edge dynamic int8", lambda n: bike_edge(options.ours, folder / "demo.dynamic.onnx", n)),
            ("rten", lambda n: Runner([options.rten, demo, 1, 3, 224, 224], n)),
            ("onnxruntime static int8", lambda n: onnxruntime(folder / "demo.int8.onnx", n)),
            ("onnxruntime fp32", lambda n: onnxruntime(folder / "demo.fp32.onnx", n)),
        ],
    )


def rows(folder, options):
    """Measures and yields the rows of the table."""
    for name, programs in networks(folder, options):
        for threads in options.threads:
            runners = [start(threads) for _, start in programs]
            times, ratios = take_turns(runners, options.rounds)
            for (label, _), runner, values, ratio in zip(programs, runners, times, ratios, strict=True):
                resident, peak = runner.request("memory")
                median = f"{statistics.median(values):.2f} ({percentile(values, 0.95):.2f})"
                memory = f"{resident / 1024:.0f} ({peak / 1024:.0f})"
                cells = [TITLES[name], threads, label, median, f"{statistics.median(ratio):.2f}", memory]
                yield "| " + " | ".join(map(str, [*cells, f"{runner.load_s:.2f}"])) + " |"
                print(name, threads, label, median, f"{statistics.median(ratio):.3f}", flush=True)
                runner.close()


def machine():
    """Describes this machine and the measurement in a sentence."""
    model = cpuinfo("model name")
    rustc = subprocess.run(["rustc", "--version"], capture_output=True, text=True, check=True).stdout.split()[1]
    load = os.getloadavg()[0]
    return (
        f"Measured {datetime.date.today()} by `make bench-networks` on {model} ({', '.join(flags())}), "
        f"{os.cpu_count()} cores, {platform.system()} {platform.release().split('-')[0]}, Rust {rustc}, onnxruntime "
        f"{importlib.metadata.version('onnxruntime')}, rten 0.27.0; "
        f"{options.rounds} rounds, load average before the start {load:.1f}."
    )


def write(path, text):
    """Replaces the table for this kind of processor in a page."""
    old = path.read_text()
    part = "vnni" if has_vnni() else "avx2"
    begin, end = f"<!-- networks {part}: begin -->", f"<!-- networks {part}: end -->"
    before, rest = old.split(begin)
    after = rest.split(end)[1]
    path.write_text(f"{before}{begin}\n{text}\n{end}{after}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=pathlib.Path, help="folder of the networks")
    parser.add_argument("--ours", required=True, help="the built benchmark `network`")
    parser.add_argument("--rten", required=True, help="the built program of benches/rten")
    parser.add_argument("--write", type=pathlib.Path, help="page whose marked table is replaced (default: only print)")
    parser.add_argument(
        "--threads", type=lambda text: [int(n) for n in text.split(",")], default=[1, 2], help="default: 1,2"
    )
    parser.add_argument("--rounds", type=int, default=12, help="default: %(default)s")
    options = parser.parse_args()
    description = machine()
    header = "| network | threads | program | ms per run (p95) | ratio | RSS (peak), MB | load, s |\n|" + "---|" * 7
    text = "\n".join([description, "", header, *rows(options.folder, options)])
    print(text)
    if options.write:
        write(options.write, text)
