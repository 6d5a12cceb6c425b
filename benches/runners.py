"""Programs that run one network when told to, and take turns at it.

    take_turns(runners, rounds)     so that whatever else the machine does hits all of them

`python runners.py FILE.onnx THREADS [exact]` is onnxruntime's side, exact where sums of int8 products must not saturate; benches/network.rs is ours and benches/rten the third.
All speak one protocol: `run N` answers N times in ms, `output FILE.f32` the network's answer, `memory` resident and peak
kB; the first line is `ready LOAD_SECONDS`.
"""
import os
import statistics
import subprocess
import sys
import time

def serve(path, threads, exact):
    """The other side of `Runner` for onnxruntime."""
    began = time.perf_counter()
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
    """A child process that runs one network on the first `threads` cores when told to."""

    def __init__(self, command, threads):
        cores = ",".join(str(core) for core in sorted(os.sched_getaffinity(0))[:threads])
        environment = dict(os.environ, RTEN_NUM_THREADS=str(threads))
        self.child = subprocess.Popen(
            ["taskset", "-c", cores, *map(str, command)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment,
        )
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


def bike_edge(program, path, threads, *flags):
    """Our side; a file named header... is a temporal header of 8 frames."""
    header = ["--window", 8, "--width", 512] if path.name.startswith("header") else []
    return Runner([program, path, "--threads", threads, *header, *flags], threads)


def onnxruntime(path, threads, *words):
    return Runner([sys.executable, __file__, path, threads, *words], threads)


def take_turns(runners, rounds, block_ms=250):
    """Times in ms for each runner, and for each round the ratios of its median to the last runner's."""
    once = max(0.5, statistics.median(runners[-1].ask("run 3")))
    block = max(2, min(60, int(block_ms / once)))
    times, ratios = [[] for _ in runners], [[] for _ in runners]
    for runner in runners:
        runner.ask(f"run {block}")
    for _ in range(rounds):
        parts = [runner.ask(f"run {block}") for runner in runners]
        base = statistics.median(parts[-1])
        for total, ratio, part in zip(times, ratios, parts):
            total.extend(part)
            ratio.append(statistics.median(part) / base)
    return times, ratios


def percentile(values, share):
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


if __name__ == "__main__":
    serve(sys.argv[1], int(sys.argv[2]), sys.argv[3:] == ["exact"])
