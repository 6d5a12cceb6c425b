"""Writes visual.onnx of the demo model: plain ONNX, weights in int8 or f16, arithmetic in f32.

A reader converts the weights to f32 once. Most of the weights are in the last blocks, the classifier and the bridge,
where int8 (per output channel, symmetric) changes little. The early convolutions have few weights and are sensitive, so
they are in f16. Top-1 agreement with f32 over the 400 Kinetics names: all int8 .845, all f16 .994, this mixture .979.
"""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from .efficientnet import SIZE, Conv, Lite0

OPSET = 17
INT8_FROM_BLOCK = 13  # of 0..15; the depthwise convolutions stay f16 there too


class GraphBuilder:
    """Collects the nodes and initialisers of one graph."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.initialisers: list[onnx.TensorProto] = []

    def constant(self, name: str, value: np.ndarray) -> str:
        """Adds an initialiser without conversion."""
        self.initialisers.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def int8(self, name: str, value: np.ndarray, axis: int) -> str:
        """Adds an f32 constant, stored as int8 with one scale for each index of `axis`."""
        moved = np.moveaxis(value, axis, 0).reshape(value.shape[axis], -1)
        scale = np.maximum(np.abs(moved).max(1), 1e-12).astype(np.float32) / np.float32(127)
        shape = [1] * value.ndim
        shape[axis] = -1
        stored = np.clip(np.rint(value / scale.reshape(shape)), -127, 127).astype(np.int8)
        inputs = [
            self.constant(f"{name}.i8", stored),
            self.constant(f"{name}.scale", scale),
            self.constant(f"{name}.zero", np.zeros(len(scale), np.int8)),
        ]
        return self.op("DequantizeLinear", inputs, name, axis=axis)

    def f16(self, name: str, value: np.ndarray) -> str:
        """Adds an f32 constant, stored as f16."""
        stored = self.constant(f"{name}.f16", value.astype(np.float16))
        return self.op("Cast", [stored], name, to=TensorProto.FLOAT)

    def op(self, kind: str, inputs: list[str], output: str, **attributes: object) -> str:
        """Adds a node with one output, whose name it has."""
        self.nodes.append(helper.make_node(kind, inputs, [output], name=output, **attributes))
        return output

    def save(
        self,
        path: Path,
        name: str,
        input_spec: tuple[str, list[int]],
        output_spec: tuple[str, list[int]],
        properties: dict[str, str],
    ) -> None:
        """Checks and writes the model with one f32 input and one f32 output, each a name and a shape."""
        graph = helper.make_graph(
            self.nodes,
            name,
            [helper.make_tensor_value_info(input_spec[0], TensorProto.FLOAT, input_spec[1])],
            [helper.make_tensor_value_info(output_spec[0], TensorProto.FLOAT, output_spec[1])],
            self.initialisers,
        )
        model = helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=8, producer_name="bike_export"
        )
        helper.set_model_props(model, properties)
        onnx.checker.check_model(model, full_check=True)
        onnx.save(model, str(path))


def is_int8(conv: Conv) -> bool:
    """Returns whether a convolution's weights are stored as int8; otherwise they are f16."""
    block = conv.name.split(".")[0]
    late = block == "head" or (block.startswith("block") and int(block.removeprefix("block")) >= INT8_FROM_BLOCK)
    return late and conv.groups == 1


def write_visual(path: Path, net: Lite0, bridge: np.ndarray, temperature: float, properties: dict[str, str]) -> None:
    """Writes visual.onnx: frame [1, 3, 224, 224] -> embedding [1, D] = softmax(logits / temperature) @ bridge."""
    g = GraphBuilder()
    low, high = g.constant("zero", np.float32(0)), g.constant("six", np.float32(6))
    outputs = {"": "frame"}
    x = "frame"
    for conv in net.convs:
        name = f"{conv.name}.weight"
        weight = g.int8(name, conv.weight, 0) if is_int8(conv) else g.f16(name, conv.weight)
        inputs = [x, weight, g.constant(f"{conv.name}.bias", conv.bias)]
        kernel = conv.weight.shape[-1]
        x = g.op(
            "Conv",
            inputs,
            f"{conv.name}.conv",
            kernel_shape=[kernel, kernel],
            group=conv.groups,
            strides=[conv.stride, conv.stride],
            pads=list(conv.pads),
        )
        if conv.relu6:
            x = g.op("Clip", [x, low, high], f"{conv.name}.relu6")
        if conv.add_from is not None:
            x = g.op("Add", [x, outputs[conv.add_from]], f"{conv.name}.add")
        outputs[conv.name] = x
    x = g.op("GlobalAveragePool", [x], "pool")
    x = g.op("Flatten", [x], "features", axis=1)
    # The classifier's weights include the temperature, so that the graph needs no division.
    weight = (net.fc_weight / temperature).T.astype(np.float32)
    x = g.op("MatMul", [x, g.int8("classifier.weight", weight, 1)], "classifier.matmul")
    x = g.op("Add", [x, g.constant("classifier.bias", (net.fc_bias / temperature).astype(np.float32))], "logits")
    x = g.op("Softmax", [x], "probabilities", axis=-1)
    g.op("MatMul", [x, g.int8("bridge", bridge.astype(np.float32), 1)], "embedding")
    g.save(path, "demo_visual", ("frame", [1, 3, SIZE, SIZE]), ("embedding", [1, bridge.shape[1]]), properties)
