"""Chooses, checks and names the inputs and outputs of a graph. Shared by the adaptation of both towers."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from onnx import ModelProto, TensorProto, ValueInfoProto, helper

from ..problem import Problem, shorten
from .simplify import Shapes, prune, rename, replace_all, simplify, true_inputs

IMAGE_OUTPUTS = ("image_embeds", "image_embeddings", "image_embedding", "image_features")
TEXT_OUTPUTS = ("text_embeds", "text_embeddings", "text_embedding", "text_features")
NOT_PROJECTED = ("last_hidden_state", "pooler_output", "hidden_states")
FLOATS = (TensorProto.FLOAT, TensorProto.FLOAT16)
INTEGERS = (TensorProto.INT64, TensorProto.INT32)
MAX_WIDTH, MAX_SIDE = 4096, 1024  # the limits of bike-edge
USE_CHECKPOINT = "export from the checkpoint of the model instead"


@dataclass
class Tower:
    """An adapted graph, and what is known about it."""

    model: ModelProto
    width: int  # D
    precision: str  # fp32 | fp16 | int8


def dimensions(value: ValueInfoProto) -> list[int | None]:
    """Returns the dimensions of an input or output; None is a symbolic one."""
    return [d.dim_value if d.HasField("dim_value") else None for d in value.type.tensor_type.shape.dim]


def shown(value: ValueInfoProto) -> str:
    """Describes an input or output for people."""
    dims = value.type.tensor_type.shape.dim
    return f"{value.name} [{', '.join(str(d.dim_value or d.dim_param or '?') for d in dims)}]"


def element_type(value: ValueInfoProto) -> int:
    """Returns the type of an input's or output's numbers."""
    return value.type.tensor_type.elem_type


def choose_output(path: Path, model: ModelProto, names: tuple[str, ...], others: tuple[str, ...]) -> str:
    """Keeps the output with the embedding, by its name or else the only one that can be it, and returns its name."""
    outputs = list(model.graph.output)
    named = [o for name in names for o in outputs if o.name == name]
    by_shape = [
        o
        for o in outputs
        if element_type(o) in FLOATS
        and len(dimensions(o)) == 2
        and o.name not in (*NOT_PROJECTED, *others)
        and not o.name.startswith("logits")
    ]
    if not named and any(o.name in others for o in outputs):
        raise Problem(
            f"{path}: has {others[0]} and no {names[0]}; give --visual the image tower and --text the text tower"
        )
    if not named and len(by_shape) != 1:
        found = shorten([shown(o) for o in outputs])
        raise Problem(f"{path}: no output {names[0]} of the shape [1, D], only {found}; use the graph with projection")
    replace_all(model.graph.output, (named or by_shape)[:1])
    prune(model.graph)
    return model.graph.output[0].name


def precision_of(model: ModelProto) -> str:
    """Returns the precision of a graph, judging by its content."""
    if any(n.op_type in ("MatMulInteger", "ConvInteger") for n in model.graph.node):
        return "int8"
    numbers = {kind: 0 for kind in FLOATS}
    for tensor in model.graph.initializer:
        if tensor.data_type in numbers:
            numbers[tensor.data_type] += int(np.prod(tensor.dims, dtype=np.int64))
    return "fp16" if numbers[TensorProto.FLOAT16] > numbers[TensorProto.FLOAT] else "fp32"


def new_input(model: ModelProto, name: str, kind: int, shape: list[int]) -> None:
    """Gives the only input the bundle's name, type and shape. Another type inside is converted."""
    graph = model.graph
    old = true_inputs(graph)[0]
    inner = element_type(old)
    if any(name in (*n.input, *n.output) for n in graph.node) and old.name != name:
        rename(graph, name, f"{name}.inner")
    if inner == kind:
        rename(graph, old.name, name)
    else:
        cast = f"{name}.cast"
        rename(graph, old.name, cast)
        graph.node.insert(0, helper.make_node("Cast", [name], [cast], name=cast, to=inner))
    replace_all(graph.input, [helper.make_tensor_value_info(name, kind, shape)])


def new_output(model: ModelProto, old: str, name: str, inner: int, shape: list[int]) -> None:
    """Gives a value the bundle's name and makes it the only output, in f32."""
    graph = model.graph
    if old != name and any(name in (*n.input, *n.output) for n in graph.node):
        rename(graph, name, f"{name}.inner")
    if inner == TensorProto.FLOAT:
        rename(graph, old, name)
    else:
        if old == name:
            rename(graph, old, f"{name}.f16")
            old = f"{name}.f16"
        graph.node.append(helper.make_node("Cast", [old], [name], name=name, to=TensorProto.FLOAT))
    replace_all(graph.output, [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)])
    prune(graph)


def embedding_width(path: Path, model: ModelProto, shapes: Shapes) -> int:
    """Returns D of the only output [1, D]."""
    output = model.graph.output[0]
    shape = shapes.get(output.name)
    if shape is None:
        given = true_inputs(model.graph)[0]
        raise Problem(f"{path}: its shapes do not fit together for {shown(given)}; use the size of the model")
    if len(shape) != 2 or shape[0] != 1 or not 1 <= shape[1] <= MAX_WIDTH:
        raise Problem(
            f"{path}: its output is {output.name} {shape} and not [1, D]; use the graph of the model with projection"
        )
    return shape[1]


def simplified(path: Path, model: ModelProto) -> Shapes:
    """Simplifies a graph. What onnxruntime or shape inference cannot compute is a problem of the graph."""
    try:
        return simplify(model)
    except Problem:
        raise
    except Exception as error:
        if not type(error).__module__.startswith(("onnx", "onnxruntime")):
            raise
        reason = str(error).splitlines()[0].replace(";", ",")[:160]
        raise Problem(f"{path}: its shapes do not fit together ({reason}); use another graph of the model") from error
