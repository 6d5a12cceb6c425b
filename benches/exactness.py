#!/usr/bin/env python3
"""Measures how near bike-edge's outputs are to onnxruntime's on the same int8 file, over several different inputs.

    exactness.py FOLDER NAME... --ours TARGET/release/deps/network-HASH

FOLDER has NAME.int8.onnx and NAME.fp32.onnx (see make_vit.py). onnxruntime computes exact integer sums here. Its
default kernels do not on x86 processors without VNNI, and their error is printed too. Each comparison is the cosine
of the outputs, and of the outputs minus their mean over the inputs. As a yardstick, onnxruntime is also compared with
itself on inputs changed by a millionth: an int8 network amplifies rounding, because a number near the middle of two
integers may round to either.
"""

import argparse
import pathlib
import subprocess
import tempfile

import numpy as np
import onnxruntime


def cosine(a, b):
    """Returns the cosine of two vectors."""
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


def session(path, exact=True):
    """Opens a network in onnxruntime, with exact integer sums or with the default kernels."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    if exact:
        options.add_session_config_entry("session.x64quantprecision", "1")
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def inputs(shape, count):
    """Yields inputs that differ in strength and pattern, so that outputs differ."""
    for i in range(count):
        noise = np.random.default_rng(50 + i).standard_normal(shape) * (0.5 + 0.2 * i)
        yield (noise + 0.3 * i * np.sin(np.arange(shape[-1]) / (5 + 7 * i))).astype("<f4")


def bike_edge(command, xs):
    """Returns bike-edge's outputs for the inputs."""
    child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    child.stdout.readline()
    outputs = []
    with tempfile.NamedTemporaryFile(suffix=".f32") as file:
        for x in xs:
            x.tofile(file.name)
            child.stdin.write(f"output {file.name}\n")
            child.stdin.flush()
            outputs.append(np.array(child.stdout.readline().split(), dtype=np.float32))
    child.stdin.close()
    child.wait()
    return outputs


def print_cosines(name, title, found, expected):
    """Prints mean and smallest cosine of matching outputs, plain and centred."""
    mean = np.mean(expected, 0)
    plain = [cosine(a, b) for a, b in zip(found, expected, strict=True)]
    centred = [cosine(a - mean, b - mean) for a, b in zip(found, expected, strict=True)]
    print(
        f"{name:8} {title:48} cosine {np.mean(plain):.6f} (smallest {min(plain):.6f})  "
        f"centred {np.mean(centred):.6f} (smallest {min(centred):.6f})"
    )


def run(opened, xs):
    """Returns onnxruntime's outputs for the inputs."""
    name = opened.get_inputs()[0].name
    return [opened.run(None, {name: x})[0].ravel() for x in xs]


def main():
    """Prints the comparisons for each network."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=pathlib.Path, help="folder of the networks")
    parser.add_argument("names", nargs="+", metavar="NAME", help="names of networks, such as b32")
    parser.add_argument("--ours", required=True, help="the built benchmark `network`")
    parser.add_argument("--inputs", type=int, default=8, help="number of inputs (default: %(default)s)")
    options = parser.parse_args()
    for name in options.names:
        path = options.folder / f"{name}.int8.onnx"
        int8, fp32 = session(path), session(options.folder / f"{name}.fp32.onnx")
        item = int8.get_inputs()[0]
        xs = list(inputs(item.shape, options.inputs))
        expected, exact = run(int8, xs), run(fp32, xs)
        command = [options.ours, str(path)]
        if len(item.shape) == 3:
            command += ["--window", str(item.shape[1]), "--width", str(item.shape[2])]
        full = bike_edge([*command, "--no-pruning", "--full-precision"], xs)
        fast = bike_edge(command, xs)
        print_cosines(name, "bike-edge / onnxruntime int8", full, expected)
        print_cosines(name, "bike-edge with pruning and bf16 / onnxruntime int8", fast, expected)
        print_cosines(
            name,
            "onnxruntime, input changed by 1e-6 / itself",
            run(int8, [x * np.float32(1 + 1e-6) for x in xs]),
            expected,
        )
        print_cosines(name, "onnxruntime int8 / fp32", expected, exact)
        default = run(session(path, exact=False), xs)
        print_cosines(name, "onnxruntime int8, default kernels / exact", default, expected)
        print_cosines(name, "onnxruntime int8, default kernels / fp32", default, exact)
        print_cosines(name, "bike-edge / fp32", full, exact)
        print_cosines(name, "bike-edge with pruning and bf16 / fp32", fast, exact)


if __name__ == "__main__":
    main()
