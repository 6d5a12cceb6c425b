"""Runs one network in several programs, which take turns.

    take_turns(runners, rounds)     so that other load on the machine affects all of them

`python runners.py FILE.onnx THREADS [exact]` is the program for onnxruntime; with `exact`, sums of int8 products do not
saturate. benches/network.rs is the program for bike-edge and benches/rten that for rten. All use one protocol: they
print `ready LOAD_SECONDS`, and then answer `run N` with N times in ms, `output FILE.f32` with the network's output, and
`memory` with resident and peak kB.
"""

import os
import statistics
import subprocess
import sys
import time


def serve(path, threads, exact):
    """Answers the requests of `Runner` with onnxruntime."""
    start = time.perf_counter()
    import numpy as np
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    if exact:
        options.add_session_config_entry("session.x64quantprecision", "1")
    imported = time.perf_counter()
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    item = session.get_inputs()[0]
    x = np.random.default_rng(0).uniform(-1, 1, item.shape).astype(np.float32)
    session.run(None, {item.name: x})
    print("ready", time.perf_counter() - imported, "import", imported - start, flush=True)
    for line in sys.stdin:
        request, _, argument = line.strip().partition(" ")
        if request == "run":
            times = []
            for _ in range(int(argument)):
                start = time.perf_counter()
                session.run(None, {item.name: x})
                times.append(1e3 * (time.perf_counter() - start))
            print(*(f"{t:.4f}" for t in times), flush=True)
        elif request == "output":
            y = session.run(None, {item.name: np.fromfile(argument, "<f4").reshape(item.shape)})[0]
            print(*y.ravel().tolist(), flush=True)
        else:
            with open("/proc/self/status") as file:
                status = dict(line.split(":", 1) for line in file)
            print(*(status[key].split()[0] for key in ["VmRSS", "VmHWM"]), flush=True)


class Runner:
    """A child process that runs one network on the first `threads` cores, on request."""

    def __init__(self, command, threads):
        cores = ",".join(str(core) for core in sorted(os.sched_getaffinity(0))[:threads])
        environment = dict(os.environ, RTEN_NUM_THREADS=str(threads))
        self.child = subprocess.Popen(
            ["taskset", "-c", cores, *map(str, command)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        line = self.child.stdout.readline()
        if not line:
            sys.exit(f"{command} did not start")
        self.load_s = float(line.split()[1])

    def request(self, line):
        """Sends a request and returns the numbers of the answer."""
        self.child.stdin.write(line + "\n")
        self.child.stdin.flush()
        return [float(x) for x in self.child.stdout.readline().split()]

    def close(self):
        """Ends the process."""
        self.child.stdin.close()
        self.child.wait()


def bike_edge(program, path, threads, *flags):
    """Starts bike-edge. A file named header... is a temporal header of 8 frames."""
    header = ["--window", 8, "--width", 512] if path.name.startswith("header") else []
    return Runner([program, path, "--threads", threads, *header, *flags], threads)


def onnxruntime(path, threads, *modes):
    """Starts onnxruntime."""
    return Runner([sys.executable, __file__, path, threads, *modes], threads)


def take_turns(runners, rounds, block_ms=250):
    """Returns the times of each runner in ms, and for each round the ratio of its median to that of the last runner."""
    once = max(0.5, statistics.median(runners[-1].request("run 3")))
    block = max(2, min(60, int(block_ms / once)))
    times, ratios = [[] for _ in runners], [[] for _ in runners]
    for runner in runners:
        runner.request(f"run {block}")
    for _ in range(rounds):
        parts = [runner.request(f"run {block}") for runner in runners]
        base = statistics.median(parts[-1])
        for total, ratio, part in zip(times, ratios, parts, strict=True):
            total.extend(part)
            ratio.append(statistics.median(part) / base)
    return times, ratios


def percentile(values, share):
    """Returns a percentile by rank; `share` is from 0 to 1."""
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


if __name__ == "__main__":
    serve(sys.argv[1], int(sys.argv[2]), sys.argv[3:] == ["exact"])
