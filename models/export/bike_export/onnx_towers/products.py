"""Finds dynamic integer products of the form that onnxruntime's quantiser writes, and gives them a better form.

x - DynamicQuantizeLinear - MatMulInteger or ConvInteger - Cast - Mul; the other factor of Mul is the scale of x times
the scale of the weights. A product in f32 is more exact: it does not round x. Weights with a zero point become
symmetric i8 with one scale per column, as bike-edge's kernels need them.
"""

from dataclasses import dataclass

import numpy as np
from onnx import GraphProto, NodeProto, helper, numpy_helper

from ..graphs.builder import quantise_columns
from .simplify import Users, constants, replace_all


@dataclass
class IntegerProduct:
    """One integer product: the value that it quantises, the names of its weights, and the value that it makes."""

    node: NodeProto
    x: str
    weight: str
    scale: str
    zero: str | None
    output: str

    def weights(self, graph: GraphProto) -> np.ndarray:
        """Returns the weights of a MatMulInteger in f32. There is one scale, or one for each column."""
        known = constants(graph)
        weight, scale = (numpy_helper.to_array(known[n]).astype(np.float32) for n in (self.weight, self.scale))
        zero = numpy_helper.to_array(known[self.zero]).astype(np.float32) if self.zero else np.float32(0)
        scale, zero = (x if x.size > 1 else x.reshape(()) for x in (scale, np.asarray(zero)))
        return (weight - zero) * scale


def find(graph: GraphProto, users: Users, node: NodeProto) -> IntegerProduct | None:
    """Returns the product of a MatMulInteger or ConvInteger with constant weights, if the nodes around it fit."""
    known = constants(graph)
    quantiser = users.maker.get(node.input[0])
    if quantiser is None or quantiser.op_type != "DynamicQuantizeLinear" or node.input[1] not in known:
        return None
    at = node
    for kind in ("Cast", "Mul"):
        readers = users.readers.get(at.output[0], [])
        if len(readers) != 1 or readers[0].op_type != kind:
            return None
        at, before = readers[0], at
    scales = users.maker.get(next((n for n in at.input if n != before.output[0]), ""))
    if scales is None or scales.op_type != "Mul" or quantiser.output[1] not in scales.input:
        return None
    scale = next((n for n in scales.input if n != quantiser.output[1]), "")
    zero = node.input[3] if len(node.input) > 3 and node.input[3] else None
    if scale not in known or (zero and zero not in known):
        return None
    return IntegerProduct(node, quantiser.input[0], node.input[1], scale, zero, at.output[0])


def replace(graph: GraphProto, users: Users, product: IntegerProduct) -> None:
    """Replaces a product by MatMul or Conv in f32. What is then unused must be pruned."""
    name = f"{product.output}.weight"
    new = []
    if product.node.op_type == "ConvInteger":
        # Stored in i8 as before, because a kernel of f32 is four times as large.
        new.append(_stored_kernel(graph, product, name))
        new.append(helper.make_node("Conv", [product.x, name], [product.output], name=product.output))
        new[-1].attribute.extend(product.node.attribute)
    else:
        weight = np.ascontiguousarray(product.weights(graph), np.float32)
        graph.initializer.append(numpy_helper.from_array(weight, name))
        new.append(helper.make_node("MatMul", [product.x, name], [product.output], name=product.output))
    last = users.maker[product.output].output[0]
    replace_all(graph.node, [n for node in graph.node for n in (new if last in node.output else [node])])


def _stored_kernel(graph: GraphProto, product: IntegerProduct, name: str) -> NodeProto:
    """Returns the DequantizeLinear of a kernel. u8 numbers and their zero points move by 128 to i8."""
    known = constants(graph)
    integers, scale = (numpy_helper.to_array(known[n]) for n in (product.weight, product.scale))
    zero = numpy_helper.to_array(known[product.zero]) if product.zero else np.zeros((), integers.dtype)
    shift = 128 if integers.dtype == np.uint8 else 0
    channels = len(integers)
    parts = {
        "i8": (integers.astype(np.int16) - shift).astype(np.int8),
        "scale": np.broadcast_to(scale.reshape(-1), channels).astype(np.float32),
        "zero": np.broadcast_to((zero.astype(np.int16) - shift).astype(np.int8).reshape(-1), channels),
    }
    names = [f"{name}.{part}" for part in parts]
    values = zip(parts.values(), names, strict=True)
    graph.initializer.extend(numpy_helper.from_array(np.ascontiguousarray(v), n) for v, n in values)
    return helper.make_node("DequantizeLinear", names, [name], name=name, axis=0)


def make_symmetric(graph: GraphProto) -> int:
    """Gives all weights of MatMulInteger the zero point 0 in i8. Returns how many were changed.

    u8 weights with the zero point 128 only move. Others are quantised again, which rounds them once more.
    """
    users, known, changed = Users.of(graph), constants(graph), 0
    for node in [n for n in graph.node if n.op_type == "MatMulInteger"]:
        product = find(graph, users, node)
        if product is None:
            continue
        weight = numpy_helper.to_array(known[product.weight])
        zero = numpy_helper.to_array(known[product.zero]) if product.zero else np.zeros((), weight.dtype)
        if weight.dtype == np.int8 and not zero.any():
            continue
        scale = numpy_helper.to_array(known[product.scale])
        if weight.dtype == np.uint8 and (zero == 128).all():
            integers = (weight.astype(np.int16) - 128).astype(np.int8)
        else:
            integers, scale = quantise_columns(product.weights(graph))
        # The names belong to this node: the same weights may also be read elsewhere.
        names = [f"{node.output[0]}.{part}" for part in ("weight", "zero", "scales")]
        new = (integers, np.zeros((), np.int8), np.asarray(scale, np.float32))
        graph.initializer.extend(
            numpy_helper.from_array(np.ascontiguousarray(v), n) for v, n in zip(new, names, strict=True)
        )
        _replace_scale(graph, users, product, names[2])
        inputs = [node.input[0], names[0], node.input[2] if len(node.input) > 2 else "", names[1]]
        del node.input[:]
        node.input.extend(inputs)
        changed += 1
    return changed


def _replace_scale(graph: GraphProto, users: Users, product: IntegerProduct, scale: str) -> None:
    """Gives the Mul of the two scales another scale of weights."""
    last = users.maker[product.output]
    scales = next(users.maker[n] for n in last.input if users.maker[n].op_type == "Mul")
    for at, name in enumerate(scales.input):
        if name == product.scale:
            scales.input[at] = scale
