#!/usr/bin/env python3
"""Times bike-edge and onnxruntime on the same files, in turns, so that other load on the machine affects both.

    compare.py FILE.onnx... --ours TARGET/release/deps/network-HASH [--threads 1,2] [--kernel NAME] [--rounds 12]

Prints for each file and number of threads: median and 95th percentile of both in ms, the ratio bike-edge / onnxruntime
(median and quartiles of the rounds' ratios), resident and peak memory, seconds from start to the first output, and the
cosine of the outputs. `--reference FORM` times onnxruntime on another form of the file (NAME.FORM.onnx).
"""

import argparse
import pathlib
import statistics

from runners import bike_edge, onnxruntime, percentile, take_turns


def cosine(a, b):
    """Returns the cosine of two vectors."""
    dot = sum(x * y for x, y in zip(a, b, strict=True))
    return dot / (sum(x * x for x in a) * sum(x * x for x in b)) ** 0.5


def compare(path, threads, options):
    """Prints the comparison on one file with one number of threads."""
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
        agreement = f"cosine {cosine(*(runner.request(f'output {example}') for runner in runners)):.6f}"
    quartiles = statistics.quantiles(ratios[0], n=4)
    ratio = f"ratio {statistics.median(ratios[0]):.3f} ({quartiles[0]:.3f}..{quartiles[2]:.3f})"
    print(f"{path.name:18} {threads} thread{'s' if threads > 1 else ' '} {ratio}", agreement)
    for label, runner, values in zip(["bike-edge", "onnxruntime"], runners, times, strict=True):
        resident, peak = runner.request("memory")
        print(
            f"    {label:12} median {statistics.median(values):8.3f} ms  p95 {percentile(values, 0.95):8.3f}  "
            f"best {min(values):8.3f}"
            f"  RSS {resident / 1024:6.0f} MB  peak {peak / 1024:6.0f}  load {runner.load_s:.2f} s"
        )
        runner.close()


def main():
    """Compares each file with each number of threads."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", type=pathlib.Path, help="networks, NAME.FORM.onnx")
    parser.add_argument("--ours", required=True, help="the built benchmark `network`")
    parser.add_argument("--threads", default="1,2", help="numbers of threads (default: %(default)s)")
    parser.add_argument("--kernel", help="kernels to use (default: the fastest that the processor has)")
    parser.add_argument("--no-pruning", action="store_true", help="compute all tokens (default: prune)")
    parser.add_argument(
        "--full-precision", action="store_true", help="do not use bfloat16 (default: where the processor has it)"
    )
    parser.add_argument(
        "--reference", metavar="FORM", help="form for onnxruntime, such as fp32 (default: the same file)"
    )
    parser.add_argument("--rounds", type=int, default=12, help="default: %(default)s")
    options = parser.parse_args()
    for path in options.files:
        for threads in options.threads.split(","):
            compare(path, int(threads), options)


if __name__ == "__main__":
    main()
