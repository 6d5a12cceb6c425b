#!/usr/bin/env python3
"""Writes networks of CLIP's shapes with random weights, to measure speed and exactness, which need no real weights.

    make_vit.py OUT_DIR b32 b16 header ...

For each shape it writes NAME.fp32.onnx and NAME.int8.onnx with the same weights: as f32 MatMul, and as dynamic int8
linear layers (DynamicQuantizeLinear, MatMulInteger, Cast, Mul, Add) as the exporter writes them. Attention, norms,
softmax and the patch embedding are f32 in both. `tiny-mobile` is a mobile network with ConvInteger as its pointwise
convolutions in int8. `demo` writes the demo model in three other forms: weights in f32; pointwise convolutions in
dynamic int8; and quantised statically by onnxruntime (QOperator, calibrated on noise, to measure only its speed).
`--golden` also writes an input and onnxruntime's outputs as raw little-endian f32: NAME.input.f32, NAME.fp32.f32,
NAME.int8.f32.
"""

import argparse
import pathlib
from dataclasses import dataclass

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


@dataclass
class Shape:
    """The sizes of a frame encoder (`image` > 0) or of a temporal header (`image` = 0, `tokens` frames)."""

    image: int
    patch: int
    width: int
    layers: int
    heads: int
    out: int
    tokens: int = 0
    gelu: bool = False  # GELU by the error function instead of QuickGELU


SHAPES = {
    "b32": Shape(224, 32, 768, 12, 12, 512),
    "b16": Shape(224, 16, 768, 12, 12, 512),
    "l14": Shape(224, 14, 1024, 24, 16, 768),
    "header": Shape(0, 0, 512, 6, 8, 512, tokens=8),
    "tiny": Shape(32, 8, 64, 2, 2, 32),
    "tiny-header": Shape(0, 0, 64, 2, 2, 64, tokens=5),
    "tiny-gelu": Shape(32, 8, 64, 2, 2, 32, gelu=True),
    "tiny-mobile": Shape(48, 1, 16, 2, 0, 32),
}


class Graph:
    """The nodes and initialisers of one ONNX graph."""

    def __init__(self, int8, seed):
        self.nodes, self.weights, self.int8, self.count = [], [], int8, 0
        self.random = np.random.default_rng(seed)

    def normal(self, *shape):
        """Draws normal numbers in f32."""
        return self.random.standard_normal(shape).astype(np.float32)

    def weight(self, name, value):
        """Adds an initialiser and returns its name."""
        self.weights.append(numpy_helper.from_array(np.asarray(value, order="C"), name))
        return name

    def op(self, kind, *inputs, outputs=1, **attributes):
        """Adds a node and returns its output's name, or a list of names if there are several outputs."""
        self.count += 1
        names = [f"{kind}_{self.count}" + (f".{i}" if outputs > 1 else "") for i in range(outputs)]
        self.nodes.append(helper.make_node(kind, list(inputs), names, name=f"{kind}_{self.count}", **attributes))
        return names[0] if outputs == 1 else names

    def linear(self, name, x, k, n, spread, bias=True):
        """Writes x @ W + b with random W [k, n], whose columns differ in scale like trained ones."""
        w = self.random.standard_normal((k, n)).astype(np.float32) * np.float32(spread)
        w *= self.random.uniform(0.5, 1.5, (1, n)).astype(np.float32)
        b = self.random.standard_normal(n).astype(np.float32) * np.float32(0.1) if bias else None
        if not self.int8:
            y = self.op("MatMul", x, self.weight(f"{name}.weight", w))
        else:
            scale = np.maximum(np.abs(w).max(0), 1e-12) / np.float32(127)
            q = np.clip(np.rint(w / scale), -127, 127).astype(np.int8)
            a, a_scale, a_zero = self.quantise(x)
            y = self.op("MatMulInteger", a, self.weight(f"{name}.weight", q), a_zero)
            y = self.op("Cast", y, to=TensorProto.FLOAT)
            y = self.op("Mul", y, self.op("Mul", a_scale, self.weight(f"{name}.scale", scale.astype(np.float32))))
        return self.op("Add", y, self.weight(f"{name}.bias", b)) if bias else y

    def pointwise(self, name, x, k, n, bounded):
        """Writes a pointwise convolution with random weights, followed by ReLU6 if `bounded`."""
        w = self.random.standard_normal((n, k, 1, 1)).astype(np.float32) * np.float32(k**-0.5)
        w *= self.random.uniform(0.5, 1.5, (n, 1, 1, 1)).astype(np.float32)
        b = self.random.standard_normal(n).astype(np.float32) * np.float32(0.1)
        y = self.int8_convolution(name, x, w, b) if self.int8 else self.convolution(name, x, w, b)
        return self.bounded(y) if bounded else y

    def convolution(self, name, x, w, b, **attributes):
        """Writes an f32 convolution with w [O, I, kh, kw]."""
        size = list(w.shape[2:])
        return self.op(
            "Conv", x, self.weight(f"{name}.weight", w), self.weight(f"{name}.bias", b), kernel_shape=size, **attributes
        )

    def int8_convolution(self, name, x, w, b):
        """Writes a pointwise convolution in dynamic int8 with one scale per output channel, w [O, I, 1, 1]."""
        scale = np.maximum(np.abs(w).reshape(len(w), -1).max(1), 1e-12).astype(np.float32).reshape(
            1, -1, 1, 1
        ) / np.float32(127)
        q = np.clip(np.rint(w / scale.reshape(-1, 1, 1, 1)), -127, 127).astype(np.int8)
        a, a_scale, a_zero = self.quantise(x)
        y = self.op("ConvInteger", a, self.weight(f"{name}.weight", q), a_zero, kernel_shape=[1, 1])
        y = self.op("Cast", y, to=TensorProto.FLOAT)
        y = self.op("Mul", y, self.op("Mul", a_scale, self.weight(f"{name}.scale", scale)))
        return self.op("Add", y, self.weight(f"{name}.bias", b.reshape(1, -1, 1, 1)))

    def bounded(self, x):
        """Writes ReLU6."""
        low, high = (self.weight(f"bound.{self.count}.{v}", np.array(v, np.float32)) for v in (0, 6))
        return self.op("Clip", x, low, high)

    def quantise(self, x):
        return self.op("DynamicQuantizeLinear", x, outputs=3)

    def quick_gelu(self, name, x):
        gate = self.op("Sigmoid", self.op("Mul", x, self.weight(name, np.array(1.702, np.float32))))
        return self.op("Mul", x, gate)

    def gelu(self, name, x):
        root, one, half = (self.weight(f"{name}.{v:.2f}", np.array(v, np.float32)) for v in (0.5**0.5, 1, 0.5))
        gate = self.op("Add", self.op("Erf", self.op("Mul", x, root)), one)
        return self.op("Mul", self.op("Mul", x, gate), half)

    def norm(self, name, x, width):
        """Writes LayerNorm with random gain and offset."""
        gain = 1 + 0.1 * self.random.standard_normal(width).astype(np.float32)
        offset = 0.1 * self.random.standard_normal(width).astype(np.float32)
        return self.op(
            "LayerNormalization",
            x,
            self.weight(f"{name}.weight", gain),
            self.weight(f"{name}.bias", offset),
            axis=-1,
            epsilon=1e-5,
        )

    def block(self, name, x, tokens, s):
        """Writes a pre-norm residual attention block as in CLIP's model.py."""
        head = s.width // s.heads
        shape = self.weight(f"{name}.split", np.array([1, tokens, s.heads, head], np.int64))
        joined = self.weight(f"{name}.join", np.array([1, tokens, s.width], np.int64))
        y = self.linear(f"{name}.in_proj", self.norm(f"{name}.ln_1", x, s.width), s.width, 3 * s.width, s.width**-0.5)
        q, k, v = self.op("Split", y, outputs=3, axis=2)
        q = self.op("Transpose", self.op("Reshape", q, shape), perm=[0, 2, 1, 3])
        k = self.op("Transpose", self.op("Reshape", k, shape), perm=[0, 2, 3, 1])
        v = self.op("Transpose", self.op("Reshape", v, shape), perm=[0, 2, 1, 3])
        q = self.op("Mul", q, self.weight(f"{name}.attn_scale", np.array(head**-0.5, np.float32)))
        p = self.op("Softmax", self.op("MatMul", q, k), axis=-1)
        y = self.op("Reshape", self.op("Transpose", self.op("MatMul", p, v), perm=[0, 2, 1, 3]), joined)
        x = self.op("Add", x, self.linear(f"{name}.out_proj", y, s.width, s.width, s.width**-0.5))
        y = self.linear(f"{name}.c_fc", self.norm(f"{name}.ln_2", x, s.width), s.width, 4 * s.width, s.width**-0.5)
        y = self.gelu(f"{name}.gelu", y) if s.gelu else self.quick_gelu(f"{name}.gelu", y)
        return self.op("Add", x, self.linear(f"{name}.c_proj", y, 4 * s.width, s.width, (4 * s.width) ** -0.5))

    def model(self, inputs, outputs):
        graph = helper.make_graph(self.nodes, "vit", inputs, outputs, self.weights)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        onnx.checker.check_model(model)
        return model


def frame_encoder(s, int8, seed=0):
    """[1, 3, S, S] -> [1, D]."""
    g = Graph(int8, seed)
    side = s.image // s.patch
    tokens = side * side + 1
    draw = g.normal
    conv = g.weight("conv1.weight", draw(s.width, 3, s.patch, s.patch) * np.float32((3 * s.patch**2) ** -0.5))
    x = g.op("Conv", "pixels", conv, kernel_shape=[s.patch] * 2, strides=[s.patch] * 2)
    x = g.op("Reshape", x, g.weight("flat", np.array([1, s.width, side * side], np.int64)))
    x = g.op("Transpose", x, perm=[0, 2, 1])
    x = g.op("Concat", g.weight("class_embedding", draw(1, 1, s.width)), x, axis=1)
    x = g.op("Add", x, g.weight("positional_embedding", draw(1, tokens, s.width) * np.float32(0.3)))
    x = g.norm("ln_pre", x, s.width)
    for i in range(s.layers):
        x = g.block(f"block{i}", x, tokens, s)
    x = g.op("Gather", x, g.weight("class_token", np.array(0, np.int64)), axis=1)
    x = g.linear("proj", g.norm("ln_post", x, s.width), s.width, s.out, s.width**-0.5, bias=False)
    g.nodes.append(helper.make_node("Identity", [x], ["embedding"]))
    return g.model(
        [helper.make_tensor_value_info("pixels", TensorProto.FLOAT, [1, 3, s.image, s.image])],
        [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, [1, s.out])],
    )


def mobile(s, int8, seed=0):
    """Returns a mobile network, [1, 3, S, S] -> [1, D]: inverted residuals as in MobileNetV2 and EfficientNet-Lite."""
    g = Graph(int8, seed)
    draw = g.normal
    inner = 72
    x = g.bounded(
        g.convolution(
            "stem", "pixels", draw(s.width, 3, 3, 3) * np.float32(0.4), draw(s.width), strides=[2, 2], pads=[1, 1, 1, 1]
        )
    )
    for i in range(s.layers):
        y = g.pointwise(f"expand{i}", x, s.width, inner, True)
        y = g.bounded(
            g.convolution(
                f"depthwise{i}", y, draw(inner, 1, 3, 3) * np.float32(0.4), draw(inner), group=inner, pads=[1, 1, 1, 1]
            )
        )
        x = g.op("Add", g.pointwise(f"project{i}", y, inner, s.width, False), x)
    x = g.op("Flatten", g.op("GlobalAveragePool", g.pointwise("head", x, s.width, 40, True)), axis=1)
    x = g.linear("proj", x, 40, s.out, 40**-0.5)
    g.nodes.append(helper.make_node("Identity", [x], ["embedding"]))
    return g.model(
        [helper.make_tensor_value_info("pixels", TensorProto.FLOAT, [1, 3, s.image, s.image])],
        [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, [1, s.out])],
    )


def temporal_header(s, int8, seed=0):
    """Returns BIKE's Transf header, [1, T, D] -> [1, T, D]: positions, blocks and the outer residual."""
    g = Graph(int8, seed)
    position = g.weight(
        "positions", g.random.standard_normal((1, s.tokens, s.width)).astype(np.float32) * np.float32(0.3)
    )
    x = g.op("Add", "frames", position)
    for i in range(s.layers):
        x = g.block(f"block{i}", x, s.tokens, s)
    x = g.op("Add", x, "frames")
    g.nodes.append(helper.make_node("Identity", [x], ["embedding"]))
    return g.model(
        [helper.make_tensor_value_info("frames", TensorProto.FLOAT, [1, s.tokens, s.width])],
        [helper.make_tensor_value_info("embedding", TensorProto.FLOAT, [1, s.tokens, s.width])],
    )


def demo(folder):
    """Writes the forms of models/demo/visual.onnx, whose weights are stored as int8 or f16."""
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    model = onnx.load(pathlib.Path(__file__).resolve().parent.parent / "models/demo/visual.onnx")
    stored = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    nodes = []
    for node in model.graph.node:
        if node.input[0] not in stored or node.op_type not in ("DequantizeLinear", "Cast"):
            nodes.append(node)
            continue
        values = stored[node.input[0]].astype(np.float32)
        if node.op_type == "DequantizeLinear":
            axis = next((a.i for a in node.attribute if a.name == "axis"), 1)
            scale = stored[node.input[1]]
            shape = [-1 if i == axis else 1 for i in range(values.ndim)] if scale.ndim else []
            values = values * scale.reshape(shape)
        model.graph.initializer.append(numpy_helper.from_array(values.astype(np.float32), node.output[0]))
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    used = {name for node in nodes for name in node.input}
    weights = [tensor for tensor in model.graph.initializer if tensor.name in used]
    del model.graph.initializer[:]
    model.graph.initializer.extend(weights)
    onnx.checker.check_model(model)
    plain = folder / "demo.fp32.onnx"
    onnx.save(model, plain)
    onnx.save(with_int8_pointwise(model), folder / "demo.dynamic.onnx")

    class Noise(CalibrationDataReader):
        def __init__(self):
            random = np.random.default_rng(3)
            item = model.graph.input[0]
            shape = [dim.dim_value for dim in item.type.tensor_type.shape.dim]
            self.frames = iter([{item.name: random.standard_normal(shape).astype(np.float32)} for _ in range(4)])

        def get_next(self):
            return next(self.frames, None)

    quantize_static(
        plain,
        folder / "demo.int8.onnx",
        Noise(),
        quant_format=QuantFormat.QOperator,
        per_channel=True,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        op_types_to_quantize=["Conv", "Add", "Clip"],
    )
    print(plain, plain.stat().st_size)


def with_int8_pointwise(model):
    """Returns a copy whose pointwise convolutions are in dynamic int8."""
    copy = onnx.ModelProto.FromString(model.SerializeToString())
    values = {tensor.name: numpy_helper.to_array(tensor) for tensor in copy.graph.initializer}
    g, replaced = Graph(True, 0), {}
    for node in copy.graph.node:
        node.input[:] = [replaced.get(name, name) for name in node.input]
        group = next((a.i for a in node.attribute if a.name == "group"), 1)
        if node.op_type == "Conv" and group == 1 and values[node.input[1]].shape[2:] == (1, 1):
            replaced[node.output[0]] = g.int8_convolution(
                node.output[0], node.input[0], *(values[name] for name in node.input[1:])
            )
        else:
            g.nodes.append(node)
    used = {name for node in g.nodes for name in node.input}
    weights = [tensor for tensor in copy.graph.initializer if tensor.name in used]
    graph = helper.make_graph(g.nodes, "demo", copy.graph.input, copy.graph.output, [*weights, *g.weights])
    copy.graph.CopyFrom(graph)
    onnx.checker.check_model(copy)
    return copy


def main():
    """Writes the named networks."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=pathlib.Path, help="folder for the networks")
    parser.add_argument("names", nargs="+", metavar="NAME", help=", ".join([*SHAPES, "demo"]))
    parser.add_argument(
        "--golden", action="store_true", help="also write an input and onnxruntime's outputs (default: no)"
    )
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    for name in options.names:
        if name == "demo":
            demo(options.folder)
            continue
        shape = SHAPES[name]
        make = mobile if shape.heads == 0 else frame_encoder if shape.image else temporal_header
        for form in ["fp32", "int8"]:
            path = options.folder / f"{name}.{form}.onnx"
            path.write_bytes(make(shape, form == "int8").SerializeToString())
            if options.golden:
                golden(path)
            print(path, path.stat().st_size)


def golden(path):
    """Writes a fixed random input and onnxruntime's output for it beside the network."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    # Without this option, onnxruntime saturates sums of products on processors without VNNI.
    options.add_session_config_entry("session.x64quantprecision", "1")
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    item = session.get_inputs()[0]
    x = np.random.default_rng(7).standard_normal(item.shape).astype("<f4")
    x.tofile(path.with_name(path.name.split(".")[0] + ".input.f32"))
    session.run(None, {item.name: x})[0].astype("<f4").tofile(path.with_suffix(".f32"))


if __name__ == "__main__":
    main()
