"""Simplifies a graph whose inputs have fixed shapes: computes what depends on constants only, removes what is unused.

Exporters write shapes, masks and positions as operators, because batch and length may vary. Here they do not vary.
"""

from dataclasses import dataclass

import numpy as np
import onnx
import onnxruntime
from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper

from .norms import join_norms

SMALL = 1 << 22  # numbers of a constant that is computed here: those of the positions of an L/14 at 336 pixels are 2^19
ROUNDS = 20
# Weights that are stored small remain so.
NOT_COMPUTED = ("DequantizeLinear", "QuantizeLinear", "DynamicQuantizeLinear")
Shapes = dict[str, list[int]]


@dataclass
class Users:
    """Which node makes each value, and which nodes read it."""

    maker: dict[str, NodeProto]
    readers: dict[str, list[NodeProto]]

    @classmethod
    def of(cls, graph: GraphProto) -> "Users":
        """Returns those of a graph."""
        readers: dict[str, list[NodeProto]] = {}
        for node in graph.node:
            for name in node.input:
                readers.setdefault(name, []).append(node)
        return cls({name: node for node in graph.node for name in node.output}, readers)


def constants(graph: GraphProto) -> dict[str, TensorProto]:
    """Returns the initialisers by name."""
    return {t.name: t for t in graph.initializer}


def true_inputs(graph: GraphProto) -> list[onnx.ValueInfoProto]:
    """Returns the inputs without those that only repeat an initialiser, as old exporters list them."""
    known = {t.name for t in graph.initializer}
    return [i for i in graph.input if i.name not in known]


def replace_all(messages, new: list) -> None:
    """Replaces the content of a repeated field."""
    kept = list(new)
    del messages[:]
    messages.extend(kept)


def prune(graph: GraphProto) -> None:
    """Removes nodes, initialisers and inputs that no output needs."""
    needed = {o.name for o in graph.output}
    kept: list[NodeProto] = []
    for node in reversed(graph.node):
        if needed & set(node.output):
            kept.append(node)
            needed |= set(node.input)
    if len(kept) < len(graph.node):
        replace_all(graph.node, kept[::-1])
    for at in reversed([i for i, t in enumerate(graph.initializer) if t.name not in needed]):
        del graph.initializer[at]
    replace_all(graph.input, [i for i in true_inputs(graph) if i.name in needed])
    del graph.value_info[:]


def set_shape(value: onnx.ValueInfoProto, kind: int, shape: list[int]) -> None:
    """Gives an input or output a type and a fixed shape."""
    value.CopyFrom(helper.make_tensor_value_info(value.name, kind, shape))


def rename(graph: GraphProto, old: str, new: str) -> None:
    """Renames a value everywhere."""
    for node in graph.node:
        for names in (node.input, node.output):
            for at, name in enumerate(names):
                if name == old:
                    names[at] = new
    for value in (*graph.input, *graph.output, *graph.initializer):
        if value.name == old:
            value.name = new


def _inline_constants(graph: GraphProto) -> None:
    """Makes the constants in nodes initialisers."""
    kept = []
    for node in graph.node:
        if node.op_type != "Constant":
            kept.append(node)
            continue
        value = node.attribute[0]
        if value.type == AttributeProto.TENSOR:
            tensor = value.t
        else:
            kind = np.float32 if value.type in (AttributeProto.FLOAT, AttributeProto.FLOATS) else np.int64
            tensor = numpy_helper.from_array(np.array(helper.get_attribute_value(value), kind))
        tensor.name = node.output[0]
        graph.initializer.append(tensor)
    replace_all(graph.node, kept)


def _remove_identities(graph: GraphProto) -> None:
    """Lets the readers of a copy read its source. A copy that is an output remains."""
    outputs = {o.name for o in graph.output}
    source: dict[str, str] = {}
    kept = []
    for node in graph.node:
        for at, name in enumerate(node.input):
            node.input[at] = source.get(name, name)
        if node.op_type == "Identity" and node.output[0] not in outputs:
            source[node.output[0]] = node.input[0]
        else:
            kept.append(node)
    replace_all(graph.node, kept)


def _volume(tensor: TensorProto) -> int:
    return int(np.prod(tensor.dims, dtype=np.int64))


def infer(model: ModelProto) -> GraphProto:
    """Infers types and shapes. Large weights take part by their shapes only, so they are not copied."""
    skeleton = ModelProto()
    skeleton.ir_version = model.ir_version
    skeleton.opset_import.extend(model.opset_import)
    graph = skeleton.graph
    graph.name = "skeleton"
    graph.node.extend(model.graph.node)
    graph.input.extend(true_inputs(model.graph))
    graph.output.extend(onnx.ValueInfoProto(name=o.name) for o in model.graph.output)
    for tensor in model.graph.initializer:
        if _volume(tensor) > 4096:
            graph.input.append(helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims))
        else:
            graph.initializer.append(tensor)
    return onnx.shape_inference.infer_shapes(skeleton, data_prop=True).graph


def infer_shapes(model: ModelProto) -> Shapes:
    """Returns the values whose shape is known."""
    inferred = infer(model)
    shapes: Shapes = {t.name: list(t.dims) for t in model.graph.initializer}
    for value in (*inferred.value_info, *inferred.input, *inferred.output):
        dims = value.type.tensor_type.shape.dim
        if value.type.tensor_type.HasField("shape") and all(d.HasField("dim_value") for d in dims):
            shapes[value.name] = [d.dim_value for d in dims]
    return shapes


def _compute(model: ModelProto, nodes: list[NodeProto]) -> dict[str, np.ndarray]:
    """Runs nodes whose inputs are all constants, and returns their outputs."""
    part = ModelProto()
    part.ir_version = model.ir_version
    part.opset_import.extend(model.opset_import)
    part.graph.name = "constants"
    part.graph.node.extend(nodes)
    needed = {name for node in nodes for name in node.input}
    part.graph.initializer.extend(t for t in model.graph.initializer if t.name in needed)
    names = [name for node in nodes for name in node.output if name]
    part.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(part.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return dict(zip(names, session.run(names, {}), strict=True))


def _fold_once(model: ModelProto) -> bool:
    """Replaces shapes by their numbers and computes constants. Returns whether anything changed."""
    graph = model.graph
    shapes = infer_shapes(model)
    outputs = {o.name for o in graph.output}
    known = {t.name for t in graph.initializer if _volume(t) <= SMALL} | {""}
    computed: dict[str, np.ndarray] = {}
    nodes, kept = [], []
    for node in graph.node:
        if node.op_type == "Shape" and node.input[0] in shapes:
            ends = {a.name: a.i for a in node.attribute}
            part = shapes[node.input[0]][ends.get("start", 0) : ends.get("end")]
            computed[node.output[0]] = np.array(part, np.int64)
        elif (
            known.issuperset(node.input)
            and node.op_type not in NOT_COMPUTED
            and not outputs & set(node.output)
            and all(np.prod(shapes.get(name, [0]), dtype=np.int64) <= SMALL for name in node.output)
        ):
            nodes.append(node)
            known |= set(node.output)
        else:
            kept.append(node)
    if not nodes and not computed:
        return False
    if nodes:
        computed |= _compute(model, nodes)
    replace_all(graph.node, kept)
    read = {name for node in kept for name in node.input}
    graph.initializer.extend(numpy_helper.from_array(v, name) for name, v in computed.items() if name in read)
    return True


def _remove_casts(model: ModelProto) -> None:
    """Removes conversions to the type that a value has, which stand between operators that belong together."""
    graph = model.graph
    inferred = infer(model)
    types = {v.name: v.type.tensor_type.elem_type for v in (*inferred.value_info, *inferred.input, *inferred.output)}
    for node in graph.node:
        if node.op_type == "Cast" and types.get(node.input[0]) == helper.get_node_attr_value(node, "to"):
            node.op_type = "Identity"
            del node.attribute[:]
    _remove_identities(graph)


def simplify(model: ModelProto) -> Shapes:
    """Simplifies a graph with fixed input shapes in place, and returns the shapes of its values."""
    graph = model.graph
    _inline_constants(graph)
    _remove_identities(graph)
    prune(graph)
    for _ in range(ROUNDS):
        if not _fold_once(model):
            break
        prune(graph)
    _remove_casts(model)
    join_norms(model, {name: len(shape) for name, shape in infer_shapes(model).items()})
    prune(graph)
    return infer_shapes(model)
