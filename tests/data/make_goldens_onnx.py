"""Writes tests/data/graphs/*.onnx and tests/data/goldens_onnx.json: small graphs and onnxruntime's outputs.

The graphs have plain f32 weights, weights stored as int8, uint8 and f16, a temporal header with symbolic T, and a
composer; the demo bundle's graphs are used too. Inputs come from a formula (`pattern`), which the tests repeat.

    python tests/data/make_goldens_onnx.py     # needs numpy, onnx, onnxruntime (see models/export)
"""

import hashlib
import json
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

HERE = Path(__file__).parent
DEMO = HERE.parent.parent / "models" / "demo"
D, S, K = 24, 32, 5


def pattern(shape: list[int], seed: int) -> np.ndarray:
    """Returns numbers from -1 to 1 that are exact in f32 and the same in every language."""
    i = np.arange(int(np.prod(shape)), dtype=np.uint64)
    mixed = ((i + np.uint64(seed)) * np.uint64(2654435761)) % np.uint64(2**32)
    return ((mixed >> np.uint64(16)).astype(np.float32) / np.float32(32768) - np.float32(1)).reshape(shape)


class Graph:
    """Collects the nodes and initialisers of a graph."""

    def __init__(self) -> None:
        self.nodes, self.constants = [], []

    def const(self, name: str, value: np.ndarray) -> str:
        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def op(self, kind: str, inputs: list[str], output: str, **attributes: object) -> str:
        self.nodes.append(helper.make_node(kind, inputs, [output], name=output, **attributes))
        return output

    def save(self, name: str, input_shape: list, output_shape: list) -> None:
        graph = helper.make_graph(
            self.nodes,
            name,
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, input_shape)],
            [helper.make_tensor_value_info("y", TensorProto.FLOAT, output_shape)],
            self.constants,
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        onnx.checker.check_model(model, full_check=True)
        onnx.save(model, str(HERE / "graphs" / f"{name}.onnx"))


def per_axis(g: Graph, name: str, w: np.ndarray, axis: int) -> str:
    """Stores a weight as int8 with a scale for each index of `axis`."""
    others = tuple(i for i in range(w.ndim) if i != axis)
    scale = (np.abs(w).max(others) / 127).astype(np.float32)
    shape = [1] * w.ndim
    shape[axis] = -1
    stored = np.clip(np.rint(w / scale.reshape(shape)), -127, 127).astype(np.int8)
    inputs = [
        g.const(f"{name}.i8", stored),
        g.const(f"{name}.scale", scale),
        g.const(f"{name}.zero", np.zeros(len(scale), np.int8)),
    ]
    return g.op("DequantizeLinear", inputs, name, axis=axis)


def per_tensor(g: Graph, name: str, w: np.ndarray) -> str:
    """Stores a weight as uint8 with one scale and zero point."""
    scale = np.float32((w.max() - w.min()) / 255)
    zero = np.uint8(np.rint(-w.min() / scale))
    stored = np.clip(np.rint(w / scale) + zero, 0, 255).astype(np.uint8)
    return g.op(
        "DequantizeLinear",
        [g.const(f"{name}.u8", stored), g.const(f"{name}.scale", scale), g.const(f"{name}.zero", zero)],
        name,
    )


def half(g: Graph, name: str, w: np.ndarray) -> str:
    """Stores a weight as f16 behind Cast."""
    return g.op("Cast", [g.const(f"{name}.f16", w.astype(np.float16))], name, to=TensorProto.FLOAT)


def visual(name: str, stored: bool) -> None:
    """Writes two convolutions, a pool and a linear layer, with f32 weights or weights of three smaller types."""
    rng, g = np.random.default_rng(7), Graph()
    w1, w2 = rng.normal(0, 0.3, (12, 3, 3, 3)), rng.normal(0, 0.2, (16, 12, 3, 3))
    w3, bias = rng.normal(0, 0.3, (16, D)), rng.normal(0, 0.1, D).astype(np.float32)
    w1, w2, w3 = (w.astype(np.float32) for w in (w1, w2, w3))
    a = per_axis(g, "w1", w1, 0) if stored else g.const("w1", w1)
    b = per_tensor(g, "w2", w2) if stored else g.const("w2", w2)
    c = half(g, "w3", w3) if stored else g.const("w3", w3)
    x = g.op("Conv", ["x", a], "c1", kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    x = g.op("Relu", [x], "r1")
    x = g.op("Conv", [x, b], "c2", kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1])
    x = g.op("Relu", [x], "r2")
    x = g.op("Flatten", [g.op("GlobalAveragePool", [x], "pool")], "flat", axis=1)
    g.op("Gemm", [x, c, g.const("bias", bias)], "y")
    g.save(name, [1, 3, S, S], [1, D])


def temporal() -> None:
    """Writes a residual attention block over T frames, T symbolic, as in BIKE's header."""
    rng, g = np.random.default_rng(8), Graph()

    def weight(name: str, *shape: int) -> str:
        return g.const(name, rng.normal(0, 0.25, shape).astype(np.float32))

    heads, width = 2, D // 2
    shape = g.op("Shape", ["x"], "shape")
    t = g.op("Slice", [shape, g.const("one", np.array([1])), g.const("two", np.array([2]))], "t")
    positions = g.op("Slice", [weight("positions", 77, D), g.const("zero", np.array([0])), t], "first")
    x = g.op("Add", ["x", positions], "placed")
    n = g.op("LayerNormalization", [x, weight("gain", D), weight("shift", D)], "norm", axis=-1, epsilon=1e-12)
    split = g.const("heads", np.array([1, -1, heads, width]))
    q, k, v = (g.op("Reshape", [g.op("MatMul", [n, weight(f"w{c}", D, D)], f"m{c}"), split], f"s{c}") for c in "qkv")
    q, v = (g.op("Transpose", [a], f"t{a}", perm=[0, 2, 1, 3]) for a in (q, v))
    k = g.op("Transpose", [k], "tk", perm=[0, 2, 3, 1])
    a = g.op("MatMul", [g.op("Mul", [q, g.const("scale", np.float32(width**-0.5))], "scaled"), k], "qk")
    o = g.op("MatMul", [g.op("Softmax", [a], "a", axis=-1), v], "av")
    o = g.op("Transpose", [o], "to", perm=[0, 2, 1, 3])
    o = g.op("Reshape", [o, g.const("joined", np.array([1, -1, D]))], "jo")
    x = g.op("Add", [x, g.op("MatMul", [o, weight("wo", D, D)], "mo")], "block")
    g.op("Add", [x, "x"], "y")
    g.save("temporal", [1, "T", D], [1, "T", D])


def composer() -> None:
    """Writes a two-layer perceptron on k phrases."""
    rng, g = np.random.default_rng(9), Graph()

    def weight(name: str, *shape: int) -> str:
        return g.const(name, rng.normal(0, 0.2, shape).astype(np.float32))

    x = g.op("Flatten", ["x"], "flat", axis=1)
    x = g.op("Relu", [g.op("Gemm", [x, weight("w1", K * D, 32), weight("b1", 32)], "g1")], "r")
    g.op("Gemm", [x, weight("w2", 32, D), weight("b2", D)], "y")
    g.save("composer", [1, K, D], [1, D])


def outputs_of(path: Path, shape: list[int], seeds: list[int]) -> list[list[float]]:
    """Returns onnxruntime's outputs for the inputs of the seeds."""
    # With optimisations, onnxruntime quantises the activations of a MatMul whose weights are int8 behind
    # DequantizeLinear, which differs from the operators' definition by 4e-3.
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    outputs = [session.run(None, {name: pattern(shape, seed)})[0] for seed in seeds]
    return [[float(f"{x:.8g}") for x in output.ravel()] for output in outputs]


def main() -> None:
    """Writes the graphs and the goldens."""
    (HERE / "graphs").mkdir(exist_ok=True)
    visual("visual", False)
    visual("visual_stored", True)
    temporal()
    composer()
    cases = []
    for path, kind, shapes in [
        (HERE / "graphs/visual.onnx", "visual", [[1, 3, S, S]]),
        (HERE / "graphs/visual_stored.onnx", "visual", [[1, 3, S, S]]),
        (HERE / "graphs/temporal.onnx", "temporal", [[1, 1, D], [1, 8, D], [1, 16, D]]),
        (HERE / "graphs/composer.onnx", "composer", [[1, K, D]]),
        (DEMO / "visual.onnx", "visual", [[1, 3, 224, 224]]),
        (DEMO / "composer.onnx", "composer", [[1, 5, 384]]),
    ]:
        for shape in shapes:
            cases.append(
                {
                    "graph": str(path.relative_to(HERE.parent.parent)),
                    "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
                    "kind": kind,
                    "shape": shape,
                    "seeds": [1, 1000],
                    "outputs": outputs_of(path, shape, [1, 1000]),
                }
            )
    text = ",\n".join(json.dumps(case) for case in cases)
    (HERE / "goldens_onnx.json").write_text(f"[\n{text}\n]\n", encoding="utf-8")


if __name__ == "__main__":
    main()
