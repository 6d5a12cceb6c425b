"""Turns the text tower of a model hub into text.onnx of a bundle, which has a row for each position."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from ..checkpoint.shape import CONTEXT, VOCABULARY
from ..problem import Problem
from . import products
from .adapt import (
    FLOATS,
    IMAGE_OUTPUTS,
    INTEGERS,
    TEXT_OUTPUTS,
    USE_CHECKPOINT,
    Tower,
    choose_output,
    dimensions,
    element_type,
    embedding_width,
    new_input,
    new_output,
    precision_of,
    shown,
    simplified,
)
from .simplify import Shapes, Users, constants, prune, replace_all, set_shape, true_inputs

SPARE_TOKENS = 256  # rows that padding may add to a token table
# Operators after pooling that compute each row independently, if they reduce the last axis.
ROW_WISE = (
    *("MatMul", "Gemm", "Add", "Sub", "Mul", "Div", "Pow", "Sqrt", "Abs", "Max", "Clip", "Cast", "Expand", "Identity"),
    *("ReduceL2", "ReduceMean", "ReduceSum", "ReduceSumSquare", "LayerNormalization", "LpNormalization"),
)
VIEWS = ("Reshape", "Flatten", "Squeeze", "Unsqueeze")


def set_text_inputs(path: Path, model: ModelProto) -> None:
    """Fixes the tokens to [1, 77], and makes mask and positions constants. The mask can be: the tower is causal."""
    graph = model.graph
    tokens = None
    for value in true_inputs(graph):
        dims = dimensions(value)
        if element_type(value) in FLOATS and len(dims) == 4:
            raise Problem(f"{path}: reads pictures ({shown(value)}), not tokens; give --text the text tower")
        name = value.name.lower()
        constant = np.ones((1, CONTEXT)) if "mask" in name else None
        constant = np.arange(CONTEXT)[None] if "position" in name else constant
        numeric = element_type(value) in (*INTEGERS, *FLOATS, TensorProto.BOOL)
        if len(dims) != 2 or not numeric or (constant is None and element_type(value) not in INTEGERS):
            raise Problem(f"{path}: its input is {shown(value)} and not tokens [1, 77]; use the text tower of a CLIP")
        if dims[0] not in (None, 1) or dims[1] not in (None, CONTEXT):
            raise Problem(f"{path}: its input is {shown(value)}, and tokens are [1, 77]; use another graph or model")
        if constant is not None:
            kind = helper.tensor_dtype_to_np_dtype(element_type(value))
            graph.initializer.append(numpy_helper.from_array(constant.astype(kind), value.name))
        elif tokens is not None:
            raise Problem(f"{path}: reads {tokens.name} and {value.name}; use the text tower of a CLIP")
        else:
            tokens = value
    if tokens is None:
        raise Problem(f"{path}: reads no tokens; use the text tower of a CLIP")
    set_shape(tokens, element_type(tokens), [1, CONTEXT])
    replace_all(graph.input, [tokens])


def check_vocabulary(path: Path, model: ModelProto) -> None:
    """Refuses a text tower whose token table is not of CLIP's vocabulary."""
    known = constants(model.graph)
    looked_up = [n for n in model.graph.node if n.op_type == "Gather" and n.input[0] in known]
    tables = [known[n.input[0]].dims[0] for n in looked_up if n.input[1] not in known]
    rows = max(tables, default=0)
    if not VOCABULARY <= rows < VOCABULARY + SPARE_TOKENS:
        raise Problem(f"{path}: has {rows} tokens, and only CLIP's {VOCABULARY} are supported; use another model")


@dataclass
class Pooling:
    """Where a text tower chooses the row of the end mark: the rows of all positions, and the chosen row."""

    rows: str
    row: str
    width: int


def find_pooling(path: Path, model: ModelProto, shapes: Shapes) -> Pooling:
    """Finds the look-up of one of 77 rows by an index that depends on the tokens."""
    graph = model.graph
    known = constants(graph)
    users = Users.of(graph)
    for node in reversed(graph.node):
        if not node.op_type.startswith("Gather") or node.input[0] in known or node.input[1] in known:
            continue
        shape, chosen = shapes.get(node.input[0], []), shapes.get(node.output[0], [])
        width = shape[-1] if shape else 0
        if shape not in ([1, CONTEXT, width], [CONTEXT, width]) or int(np.prod(chosen)) != width:
            continue
        row = node.output[0]
        while len(readers := users.readers.get(row, [])) == 1 and readers[0].op_type in VIEWS:
            row = readers[0].output[0]
        if shapes.get(row, [])[-1:] == [width]:
            return Pooling(node.input[0], row, width)
    raise Problem(f"{path}: the row of the end mark is not chosen by a Gather operator; {USE_CHECKPOINT}")


def tail_of(path: Path, model: ModelProto, shapes: Shapes, pooling: Pooling) -> list[NodeProto]:
    """Returns the nodes between the chosen row and the output. Each must compute rows independently."""
    depends = {pooling.row}
    tail = []
    for node in model.graph.node:
        if not depends & set(node.input):
            continue
        same = shapes.get(node.input[0]) == shapes.get(node.output[0]) is not None
        if node.op_type in VIEWS and same:
            node.op_type = "Identity"
            del node.input[1:], node.attribute[:]
        if node.op_type not in ROW_WISE:
            raise Problem(f"{path}: {node.op_type} after the row of the end mark is not supported; {USE_CHECKPOINT}")
        tail.append(node)
        depends |= set(node.output)
    return tail


def adapt_text(path: Path, model: ModelProto) -> tuple[Tower, str]:
    """Returns text.onnx, tokens [1, 77] i64 -> words [1, 77, D] f32, and the given output. Changes `model`.

    The tower chooses the row of the end mark and projects it. Here all rows are projected: the nodes after the choice
    receive the rows [77, W] in place of the one [1, W].
    """
    graph = model.graph
    chosen = choose_output(path, model, TEXT_OUTPUTS, IMAGE_OUTPUTS)
    set_text_inputs(path, model)
    precision = precision_of(model)
    inner = element_type(graph.output[0])
    shapes = simplified(path, model)
    width = embedding_width(path, model, shapes)
    check_vocabulary(path, model)
    pooling = find_pooling(path, model, shapes)
    # A row's projection in int8 would take its scale from all rows, so it is computed in f32.
    depends = {pooling.row}
    for node in list(graph.node):
        if depends & set(node.input):
            depends |= set(node.output)
            if node.op_type == "MatMulInteger":
                users = Users.of(graph)
                if product := products.find(graph, users, node):
                    products.replace(graph, users, product)
    products.make_symmetric(graph)
    prune(graph)
    tail_of(path, model, shapes, pooling)
    rows = "words.rows"
    sizes = {"words.rows.shape": [CONTEXT, pooling.width], "words.shape": [1, CONTEXT, width]}
    graph.initializer.extend(numpy_helper.from_array(np.array(v, np.int64), k) for k, v in sizes.items())
    for node in graph.node:
        for at, name in enumerate(node.input):
            if name == pooling.row:
                node.input[at] = rows
    output = graph.output[0].name
    output = rows if output == pooling.row else output
    nodes = list(graph.node)
    maker = max(at for at, node in enumerate(nodes) if pooling.rows in node.output)
    nodes.insert(maker + 1, helper.make_node("Reshape", [pooling.rows, "words.rows.shape"], [rows], name=rows))
    nodes.append(helper.make_node("Reshape", [output, "words.shape"], ["words.all"], name="words.all"))
    replace_all(graph.node, nodes)
    new_output(model, "words.all", "words", inner, [1, CONTEXT, width])
    new_input(model, "tokens", TensorProto.INT64, [1, CONTEXT])
    return Tower(model, width, precision), chosen
