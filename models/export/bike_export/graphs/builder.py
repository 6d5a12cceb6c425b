"""Builds an ONNX graph in one of these precisions.

- fp32: f32 throughout.
- fp16: f16 throughout, with f32 at the input and the output (LayerNorm accumulates in f32, as ONNX defines it).
- int8: each Linear quantises its input at run time (DynamicQuantizeLinear, u8, one scale per tensor) and multiplies
  by i8 weights with one scale per output channel; everything else is f32. Weights are symmetric: zero point 0.
- weights8: f32 arithmetic with the weights of Linears stored as int8 behind DequantizeLinear, for small graphs.
"""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from ..tables import quantise_numbers

OPSET, IR_VERSION = 17, 8  # 17 is the first opset with LayerNormalization as one op
PRECISIONS = ("int8", "fp32", "fp16")
FULLY_CHECKED = 1 << 29  # bytes; larger graphs are checked without inferring shapes
TYPES = {"f32": TensorProto.FLOAT, "i64": TensorProto.INT64}


def quantise_columns(weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Quantises weight [in, out] f32 to integers i8 in -127..127 and scales [out] f32, weight ~ integers * scale."""
    integers, scale = quantise_numbers(weight.T)
    return integers.T, scale


class Graph:
    """The nodes and initialisers of one graph. Every node has the name of its output."""

    def __init__(self, precision: str):
        if precision not in (*PRECISIONS, "weights8"):
            raise ValueError(f"precision {precision!r} is not one of {', '.join(PRECISIONS)}")
        self.precision = precision
        self.real = np.float16 if precision == "fp16" else np.float32
        # Filled node by node, because building it from lists at the end copies it twice, a gigabyte each for an L/14.
        self.model = helper.make_model(
            onnx.GraphProto(),
            opset_imports=[helper.make_opsetid("", OPSET)],
            ir_version=IR_VERSION,
            producer_name="bike_export",
        )
        self.constants: set[str] = set()  # names of initialisers

    def constant(self, name: str, value: np.ndarray) -> str:
        """Adds an initialiser unless the name exists, and returns the name. A name always has the same value."""
        if name not in self.constants:
            self.constants.add(name)
            self.model.graph.initializer.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def number(self, name: str, value: np.ndarray | float) -> str:
        """Adds an initialiser of real numbers in the graph's own type."""
        return self.constant(name, np.asarray(value, self.real))

    def sizes(self, name: str, value: list[int]) -> str:
        """Adds an initialiser of integers, such as a shape."""
        return self.constant(name, np.asarray(value, np.int64))

    def op(self, kind: str, inputs: list[str], output: str, **attributes: object) -> str:
        """Adds a node with one output."""
        self.model.graph.node.append(helper.make_node(kind, inputs, [output], name=output, **attributes))
        return output

    def ops(self, kind: str, inputs: list[str], outputs: list[str], **attributes: object) -> list[str]:
        """Adds a node with several outputs."""
        self.model.graph.node.append(helper.make_node(kind, inputs, outputs, name=outputs[0], **attributes))
        return outputs

    def cast_in(self, x: str) -> str:
        """Converts the graph's input to the graph's own type."""
        return self.op("Cast", [x], f"{x}.f16", to=TensorProto.FLOAT16) if self.precision == "fp16" else x

    def out(self, x: str, output: str) -> str:
        """Makes x the graph's output, in f32."""
        if self.precision == "fp16":
            return self.op("Cast", [x], output, to=TensorProto.FLOAT)
        return self.op("Identity", [x], output)

    def quantised(self, x: str) -> list[str]:
        """Quantises x to u8 at run time. Returns [q, scale, zero point]."""
        return self.ops("DynamicQuantizeLinear", [x], [f"{x}.q", f"{x}.scale", f"{x}.zero"])

    @staticmethod
    def stored(weight: np.ndarray) -> np.ndarray:
        """Returns weight [in, out] after storing it as weights8 and reading it back."""
        integers, scale = quantise_columns(weight)
        return integers.astype(np.float32) * scale

    def linear(self, x: str, name: str, weight: np.ndarray, bias: np.ndarray | None = None) -> str:
        """Writes x [..., in] times weight [in, out], plus bias [out]."""
        if self.precision == "int8":
            integers, scale = quantise_columns(weight)
            q, x_scale, zero = self.quantised(x)
            # Each weight has its own zero point, because onnxruntime's kernels without VNNI fail on a shared one.
            weight_zero = self.constant(f"{name}.weight.zero", np.int8(0))
            weight = self.constant(f"{name}.weight", integers)
            y = self.op("MatMulInteger", [q, weight, zero, weight_zero], f"{name}.i32")
            y = self.op("Cast", [y], f"{name}.cast", to=TensorProto.FLOAT)
            scales = self.op("Mul", [x_scale, self.constant(f"{name}.scale", scale)], f"{name}.scales")
            y = self.op("Mul", [y, scales], f"{name}.matmul")
        elif self.precision == "weights8":
            integers, scale = quantise_columns(weight)
            inputs = [
                self.constant(f"{name}.i8", integers),
                self.constant(f"{name}.scale", scale),
                self.constant(f"{name}.zero", np.zeros(len(scale), np.int8)),
            ]
            y = self.op("MatMul", [x, self.op("DequantizeLinear", inputs, f"{name}.weight", axis=1)], f"{name}.matmul")
        else:
            y = self.op("MatMul", [x, self.number(f"{name}.weight", weight)], f"{name}.matmul")
        return y if bias is None else self.op("Add", [y, self.number(f"{name}.bias", bias)], f"{name}.add")

    def norm(self, x: str, name: str, weight: np.ndarray, bias: np.ndarray, epsilon: float) -> str:
        """Writes LayerNorm over the last axis."""
        inputs = [x, self.number(f"{name}.weight", weight), self.number(f"{name}.bias", bias)]
        return self.op("LayerNormalization", inputs, name, axis=-1, epsilon=epsilon)

    def activate(self, x: str, name: str, activation: str) -> str:
        """Writes QuickGELU, or GELU by the error function."""
        if activation == "quickgelu":
            scaled = self.op("Mul", [x, self.number("quickgelu.alpha", 1.702)], f"{name}.scaled")
            return self.op("Mul", [x, self.op("Sigmoid", [scaled], f"{name}.sigmoid")], name)
        root = self.op("Mul", [x, self.number("gelu.root", 0.5**0.5)], f"{name}.root")
        one = self.op("Add", [self.op("Erf", [root], f"{name}.erf"), self.number("one", 1.0)], f"{name}.one")
        return self.op("Mul", [self.op("Mul", [x, one], f"{name}.full"), self.number("half", 0.5)], name)

    def save(
        self,
        path: Path,
        name: str,
        input_spec: tuple[str, str, list[int]],
        output_spec: tuple[str, list[int]],
        properties: dict[str, str],
    ) -> None:
        """Writes and checks the model. The specs are name, type and shape; the output is always f32."""
        graph = self.model.graph
        graph.name = name
        graph.input.append(helper.make_tensor_value_info(input_spec[0], TYPES[input_spec[1]], input_spec[2]))
        graph.output.append(helper.make_tensor_value_info(output_spec[0], TensorProto.FLOAT, output_spec[1]))
        helper.set_model_props(self.model, dict(sorted(properties.items())))
        onnx.save(self.model, str(path))
        large = self.model.ByteSize() >= FULLY_CHECKED
        self.model.Clear()
        # Checked by its path, because the checker copies a model that it is given. Shape inference always copies it.
        onnx.checker.check_model(str(path), full_check=not large)
