"""Turns the image tower of a model hub into visual.onnx of a bundle."""

from pathlib import Path

from onnx import ModelProto, TensorProto, ValueInfoProto

from ..problem import Problem
from . import products
from .adapt import (
    FLOATS,
    IMAGE_OUTPUTS,
    INTEGERS,
    MAX_SIDE,
    TEXT_OUTPUTS,
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
from .simplify import Users, prune, set_shape, true_inputs


def check_image_input(path: Path, model: ModelProto) -> ValueInfoProto:
    """Returns the only input, pictures. Refuses graphs that read something else."""
    inputs = true_inputs(model.graph)
    if any(element_type(i) in INTEGERS for i in inputs):
        raise Problem(f"{path}: reads tokens ({shown(inputs[0])}), not pictures; give --visual the image tower")
    if len(inputs) != 1:
        raise Problem(f"{path}: has {len(inputs)} inputs and not one; use the image tower of a CLIP")
    image, dims = inputs[0], dimensions(inputs[0])
    if len(dims) != 4 or element_type(image) not in FLOATS:
        raise Problem(f"{path}: its input is {shown(image)} and not pictures [1, 3, S, S] of floats; use another graph")
    if dims[1] not in (None, 3):
        raise Problem(f"{path}: its input {shown(image)} does not have 3 channels first; use another graph")
    if dims[0] not in (None, 1):
        raise Problem(f"{path}: its input {shown(image)} has a fixed batch; export it with one picture or any number")
    if dims[2] != dims[3] and None not in dims[2:]:
        raise Problem(f"{path}: its input {shown(image)} is not square; use another model")
    return image


def side_of(path: Path, model: ModelProto, image: ValueInfoProto, configured: int | None, crop: int | None) -> int:
    """Returns the side S of the pictures: the graph's, or that of its position table, --crop or its configuration."""
    side = dimensions(image)[2] or dimensions(image)[3] or _side_of_positions(model)
    if side and crop and side != crop:
        raise Problem(f"--crop {crop}: {path} takes {side} x {side} pixels; leave the option out")
    side = side or crop or configured
    if not side:
        raise Problem(f"{path}: its input {shown(image)} has no fixed size; add --crop N, the model's size in pixels")
    if side > MAX_SIDE:
        raise Problem(f"{path}: takes {side} pixels, and a bundle at most {MAX_SIDE}; use another model")
    return side


def _side_of_positions(model: ModelProto) -> int | None:
    """Returns the side that fits the patch kernel [C, 3, P, P] and the position table [grid^2 + 1, C]."""
    known = [list(t.dims) for t in model.graph.initializer]
    sides = set()
    for channels, _, patch, _ in (d for d in known if len(d) == 4 and d[1] == 3 and d[2] == d[3]):
        for dims in known:
            grid = round(max(dims[-2] - 1, 0) ** 0.5) if len(dims) >= 2 else 0
            if len(dims) < 4 and dims[-1:] == [channels] and grid and grid**2 + 1 == dims[-2]:
                sides.add(grid * patch)
    return sides.pop() if len(sides) == 1 else None


def adapt_visual(path: Path, model: ModelProto, configured: int | None, crop: int | None) -> tuple[Tower, int, str]:
    """Returns visual.onnx, frame [1, 3, S, S] f32 -> embedding [1, D] f32, S, and the given output. Changes `model`."""
    chosen = choose_output(path, model, IMAGE_OUTPUTS, TEXT_OUTPUTS)
    image = check_image_input(path, model)
    side = side_of(path, model, image, configured, crop)
    precision = precision_of(model)
    inner = element_type(model.graph.output[0])
    set_shape(image, element_type(image), [1, 3, side, side])
    shapes = simplified(path, model)
    width = embedding_width(path, model, shapes)
    replace_integer_convolutions(path, model)
    new_input(model, "frame", TensorProto.FLOAT, [1, 3, side, side])
    new_output(model, model.graph.output[0].name, "embedding", inner, [1, width])
    return Tower(model, width, precision), side, chosen


def replace_integer_convolutions(path: Path, model: ModelProto) -> None:
    """Replaces ConvInteger by Conv in f32, because bike-edge computes only those of 1 x 1."""
    graph = model.graph
    for node in [n for n in graph.node if n.op_type == "ConvInteger"]:
        users = Users.of(graph)
        product = products.find(graph, users, node)
        if product is None:
            raise Problem(
                f"{path}: ConvInteger ({node.name}) is not used as onnxruntime's quantiser does; "
                "use the fp16 or fp32 graph of the model"
            )
        products.replace(graph, users, product)
    products.make_symmetric(graph)
    prune(graph)
