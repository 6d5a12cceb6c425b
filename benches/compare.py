#!/usr/bin/env python3
"""Time bike-edge and onnxruntime on the same files, in turns, so that whatever else the machine does hits both.

    compare.py FILE.onnx... --ours TARGET/release/deps/network-HASH [--threads 1,2] [--kernel NAME] [--rounds 12]

For each file and number of threads: median and 95th percentile in ms of both, the ratio ours / onnxruntime (median of
the rounds' ratios, with the quartiles), resident and peak memory, seconds from start to the first answer, and how well
the answers agree. `--reference FORM` times onnxruntime on another form of the file instead (NAME.FORM.onnx).
"""
import argparse
import os
import pathlib
import statistics
import subprocess
import sys
import time


def serve(path, threads):
    """The other side of `Runner` for onnxruntime."""
    began = time.perf_counter()
    import numpy as np
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    imported = time.perf_counter()
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    item = session.get_inputs()[0]
    x = np.random.default_rng(0).uniform(-1, 1, item.shape).astype(np.float32)
    session.run(None, {item.name: x})
    print("ready", time.perf_counter() - imported, "import", imported - began, flush=True)
    for line in sys.stdin:
        word, _, rest = line.strip().partition(" ")
        if word == "run":
            times = []
            for _ in range(int(rest)):
                began = time.perf_counter()
                session.run(None, {item.name: x})
                times.append(1e3 * (time.perf_counter() - began))
            print(*(f"{t:.4f}" for t in times), flush=True)
        elif word == "output":
            y = session.run(None, {item.name: np.fromfile(rest, "<f4").reshape(item.shape)})[0]
            print(*y.ravel().tolist(), flush=True)
        else:
            status = dict(line.split(":", 1) for line in open("/proc/self/status"))
            print(*(status[key].split()[0] for key in ["VmRSS", "VmHWM"]), flush=True)


class Runner:
    """A child process that runs one network when told to."""

    def __init__(self, command, cores):
        self.child = subprocess.Popen(["taskset", "-c", cores, *command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        line = self.child.stdout.readline()
        if not line:
            sys.exit(f"{command} did not start")
        self.ready = line.strip()
        self.load_s = float(line.split()[1])

    def ask(self, line):
        self.child.stdin.write(line + "\n")
        self.child.stdin.flush()
        return [float(x) for x in self.child.stdout.readline().split()]

    def close(self):
        self.child.stdin.close()
        self.child.wait()


def cosine(a, b):
    dot = sum(x * y for x, y in zip(a, b))
    return dot / (sum(x * x for x in a) * sum(x * x for x in b)) ** 0.5


def percentile(values, share):
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def compare(path, threads, options):
    cores = ",".join(str(c) for c in sorted(os.sched_getaffinity(0))[:threads])
    ours = [options.ours, str(path), "--threads", str(threads)]
    if path.name.startswith("header"):
        ours += ["--window", "8", "--width", "512"]
    if options.kernel:
        ours += ["--kernel", options.kernel]
    if options.no_pruning:
        ours += ["--no-pruning"]
    if options.full_precision:
        ours += ["--full-precision"]
    name = path.name.split(".")[0]
    other = path.with_name(f"{name}.{options.reference}.onnx") if options.reference else path
    runners = [Runner(ours, cores), Runner([sys.executable, __file__, "--serve", str(other), str(threads)], cores)]
    if options.verbose:
        print(runners[0].ready)
    once = max(0.5, statistics.median(runners[1].ask("run 3")))
    block = max(2, min(60, int(250 / once)))
    times, ratios = [[], []], []
    for runner in runners:
        runner.ask(f"run {block}")
    for _ in range(options.rounds):
        round_times = [runner.ask(f"run {block}") for runner in runners]
        for total, part in zip(times, round_times):
            total.extend(part)
        ratios.append(statistics.median(round_times[0]) / statistics.median(round_times[1]))
    agreement = ""
    example = path.with_name(f"{name}.input.f32")
    if example.exists():
        answers = [runner.ask(f"output {example}") for runner in runners]
        agreement = f"cosine {cosine(*answers):.6f}"
    quartiles = statistics.quantiles(ratios, n=4)
    print(f"{path.name:18} {threads} thread{'s' if threads > 1 else ' '} ratio {statistics.median(ratios):.3f} ({quartiles[0]:.3f}..{quartiles[2]:.3f})", agreement)
    for label, runner, values in zip(["bike-edge", "onnxruntime"], runners, times):
        resident, peak = runner.ask("memory")
        print(
            f"    {label:12} median {statistics.median(values):8.3f} ms  p95 {percentile(values, 0.95):8.3f}  best {min(values):8.3f}"
            f"  RSS {resident / 1024:6.0f} MB  peak {peak / 1024:6.0f}  load {runner.load_s:.2f} s"
        )
        runner.close()


def main():
    if sys.argv[1:2] == ["--serve"]:
        return serve(sys.argv[2], int(sys.argv[3]))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", type=pathlib.Path)
    parser.add_argument("--ours", required=True, help="the built `network` bench")
    parser.add_argument("--threads", default="1,2")
    parser.add_argument("--kernel")
    parser.add_argument("--no-pruning", action="store_true")
    parser.add_argument("--full-precision", action="store_true", help="no bfloat16")
    parser.add_argument("--reference", metavar="FORM")
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--verbose", action="store_true")
    options = parser.parse_args()
    for path in options.files:
        for threads in options.threads.split(","):
            compare(path, int(threads), options)


if __name__ == "__main__":
    main()
