#!/usr/bin/env python3
"""How close bike-edge's answers are to onnxruntime's on the same int8 file, over several different inputs.

    exactness.py FOLDER NAME... --ours TARGET/release/deps/network-HASH

FOLDER holds NAME.int8.onnx and NAME.fp32.onnx (make_vit.py). onnxruntime is asked for exact integer sums, which its usual
kernels are not on x86 chips without VNNI; how far off those are is said too. Every comparison is given as cosine of whole answers and
with the mean over the inputs taken off. As a yardstick onnxruntime is also compared with itself on inputs changed by a
millionth: an int8 network amplifies any rounding, because a number next to the middle of two integers may fall to
either side.
"""
import argparse
import pathlib
import subprocess
import tempfile

import numpy as np
import onnxruntime


def cosine(a, b):
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


def session(path, exact=True):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    if exact:
        options.add_session_config_entry("session.x64quantprecision", "1")
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def inputs(shape, count):
    """Inputs that differ in strength and pattern, so that answers do."""
    for i in range(count):
        noise = np.random.default_rng(50 + i).standard_normal(shape) * (0.5 + 0.2 * i)
        yield (noise + 0.3 * i * np.sin(np.arange(shape[-1]) / (5 + 7 * i))).astype("<f4")


def ours(command, xs):
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    child.stdout.readline()
    answers = []
    with tempfile.NamedTemporaryFile(suffix=".f32") as file:
        for x in xs:
            x.tofile(file.name)
            child.stdin.write(f"output {file.name}\n")
            child.stdin.flush()
            answers.append(np.array(child.stdout.readline().split(), dtype=np.float32))
    child.stdin.close()
    child.wait()
    return answers


def say(name, what, found, expected):
    mean = np.mean(expected, 0)
    plain = [cosine(a, b) for a, b in zip(found, expected)]
    centred = [cosine(a - mean, b - mean) for a, b in zip(found, expected)]
    print(f"{name:8} {what:48} cosine {np.mean(plain):.6f} (least {min(plain):.6f})  centred {np.mean(centred):.6f} (least {min(centred):.6f})")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("names", nargs="+", metavar="NAME")
    parser.add_argument("--ours", required=True, help="the built `network` bench")
    parser.add_argument("--inputs", type=int, default=8)
    options = parser.parse_args()
    for name in options.names:
        path = options.folder / f"{name}.int8.onnx"
        int8, fp32 = session(path), session(options.folder / f"{name}.fp32.onnx")
        item = int8.get_inputs()[0]
        xs = list(inputs(item.shape, options.inputs))
        run = lambda s, xs: [s.run(None, {item.name: x})[0].ravel() for x in xs]
        theirs, exact = run(int8, xs), run(fp32, xs)
        command = [options.ours, str(path)]
        if len(item.shape) == 3:
            command += ["--window", str(item.shape[1]), "--width", str(item.shape[2])]
        full = ours([*command, "--no-pruning", "--full-precision"], xs)
        fast = ours(command, xs)
        say(name, "ours / onnxruntime int8", full, theirs)
        say(name, "ours with pruning and bf16 / onnxruntime int8", fast, theirs)
        say(name, "onnxruntime, input changed by 1e-6 / itself", run(int8, [x * np.float32(1 + 1e-6) for x in xs]), theirs)
        say(name, "onnxruntime int8 / fp32", theirs, exact)
        usual = run(session(path, exact=False), xs)
        say(name, "onnxruntime int8, its usual kernels / exact", usual, theirs)
        say(name, "onnxruntime int8, its usual kernels / fp32", usual, exact)
        say(name, "ours / fp32", full, exact)
        say(name, "ours with pruning and bf16 / fp32", fast, exact)


if __name__ == "__main__":
    main()
