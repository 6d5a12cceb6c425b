#!/usr/bin/env python3
"""Time bike-edge and onnxruntime on the same files, in turns, so that whatever else the machine does hits both.

    compare.py FILE.onnx... --ours TARGET/release/deps/network-HASH [--threads 1,2] [--kernel NAME] [--rounds 12]

For each file and number of threads: median and 95th percentile in ms of both, the ratio ours / onnxruntime (median of
the rounds' ratios, with the quartiles), resident and peak memory, seconds from start to the first answer, and how well
the answers agree. `--reference FORM` times onnxruntime on another form of the file instead (NAME.FORM.onnx).
"""
import argparse
import pathlib
import statistics

from runners import bike_edge, onnxruntime, percentile, take_turns


def cosine(a, b):
    dot = sum(x * y for x, y in zip(a, b))
    return dot / (sum(x * x for x in a) * sum(x * x for x in b)) ** 0.5


def compare(path, threads, options):
    flags = ["--kernel", options.kernel] if options.kernel else []
    flags += ["--no-pruning"] if options.no_pruning else []
    flags += ["--full-precision"] if options.full_precision else []
    name = path.name.split(".")[0]
    other = path.with_name(f"{name}.{options.reference}.onnx") if options.reference else path
    runners = [bike_edge(options.ours, path, threads, *flags), onnxruntime(other, threads)]
    times, ratios = take_turns(runners, options.rounds)
    agreement = ""
    example = path.with_name(f"{name}.input.f32")
    if example.exists():
        answers = [runner.ask(f"output {example}") for runner in runners]
        agreement = f"cosine {cosine(*answers):.6f}"
    quartiles = statistics.quantiles(ratios[0], n=4)
    print(f"{path.name:18} {threads} thread{'s' if threads > 1 else ' '} ratio {statistics.median(ratios[0]):.3f} ({quartiles[0]:.3f}..{quartiles[2]:.3f})", agreement)
    for label, runner, values in zip(["bike-edge", "onnxruntime"], runners, times):
        resident, peak = runner.ask("memory")
        print(
            f"    {label:12} median {statistics.median(values):8.3f} ms  p95 {percentile(values, 0.95):8.3f}  best {min(values):8.3f}"
            f"  RSS {resident / 1024:6.0f} MB  peak {peak / 1024:6.0f}  load {runner.load_s:.2f} s"
        )
        runner.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", type=pathlib.Path)
    parser.add_argument("--ours", required=True, help="the built `network` bench")
    parser.add_argument("--threads", default="1,2")
    parser.add_argument("--kernel")
    parser.add_argument("--no-pruning", action="store_true")
    parser.add_argument("--full-precision", action="store_true", help="no bfloat16")
    parser.add_argument("--reference", metavar="FORM")
    parser.add_argument("--rounds", type=int, default=12)
    options = parser.parse_args()
    for path in options.files:
        for threads in options.threads.split(","):
            compare(path, int(threads), options)


if __name__ == "__main__":
    main()
