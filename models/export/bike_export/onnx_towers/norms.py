"""Joins the nine operators that older exporters write for a LayerNorm, for which bike-edge has one fast operator."""

from onnx import GraphProto, ModelProto, NodeProto, helper, numpy_helper

JOINING_OPSETS = range(13, 17)  # from 13 to 17 no operator of a transformer changes what it computes
OPSET = 17  # the first with LayerNormalization


class _Graph:
    """A graph with the maker and the readers of each value."""

    def __init__(self, graph: GraphProto):
        self.known = {t.name: t for t in graph.initializer}
        self.maker = {name: node for node in graph.node for name in node.output}
        self.readers: dict[str, list[NodeProto]] = {}
        for node in graph.node:
            for name in node.input:
                self.readers.setdefault(name, []).append(node)

    def number(self, name: str) -> float | None:
        """Returns a constant of one number."""
        tensor = self.known.get(name)
        if tensor is None or [d for d in tensor.dims if d != 1]:
            return None
        return float(numpy_helper.to_array(tensor).reshape(-1)[0])

    def made_by(self, name: str, kind: str) -> NodeProto | None:
        """Returns the node that makes a value, if it is of this kind."""
        node = self.maker.get(name)
        return node if node is not None and node.op_type == kind else None

    def only_reader(self, name: str, kind: str) -> NodeProto | None:
        """Returns the only node that reads a value, if it is of this kind."""
        readers = self.readers.get(name, [])
        return readers[0] if len(readers) == 1 and readers[0].op_type == kind else None

    def vector(self, node: NodeProto, other: str) -> str | None:
        """Returns the operand of a node beside `other`, if it is a constant vector."""
        operands = [n for n in node.input if n != other]
        tensor = self.known.get(operands[0]) if len(operands) == 1 else None
        return operands[0] if tensor is not None and len(tensor.dims) == 1 else None


def _mean_of_last_axis(g: _Graph, name: str, rank: int) -> str | None:
    """Returns what a value is the mean of, along the last axis and with this axis kept."""
    node = g.made_by(name, "ReduceMean")
    if node is None or len(node.input) != 1:
        return None
    attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    return node.input[0] if attributes.get("axes") in ([-1], [rank - 1]) and attributes.get("keepdims", 1) else None


def _join(g: _Graph, division: NodeProto, rank: int) -> tuple[NodeProto, NodeProto] | None:
    """Returns the LayerNormalization for the LayerNorm around a Div, and the last node that it replaces."""
    difference = g.made_by(division.input[0], "Sub")
    root = g.made_by(division.input[1], "Sqrt")
    added = g.made_by(root.input[0], "Add") if root is not None else None
    if difference is None or added is None:
        return None
    x = difference.input[0]
    epsilon = next((v for n in added.input if (v := g.number(n)) is not None), None)
    squared = next((m for n in added.input if (m := _mean_of_last_axis(g, n, rank))), "")
    square = g.maker.get(squared)
    if epsilon is None or square is None or _mean_of_last_axis(g, difference.input[1], rank) != x:
        return None
    of_two = square.op_type == "Pow" and g.number(square.input[1]) == 2
    itself = square.op_type == "Mul" and square.input[0] == square.input[1]
    if not (of_two or itself) or square.input[0] != difference.output[0]:
        return None
    scaled = g.only_reader(division.output[0], "Mul")
    weight = g.vector(scaled, division.output[0]) if scaled is not None else None
    moved = g.only_reader(scaled.output[0], "Add") if scaled is not None and weight else None
    bias = g.vector(moved, scaled.output[0]) if moved is not None else None
    if moved is None or not bias:
        return None
    name = moved.output[0]
    return helper.make_node("LayerNormalization", [x, weight, bias], [name], name=name, axis=-1, epsilon=epsilon), moved


def join_norms(model: ModelProto, ranks: dict[str, int]) -> int:
    """Joins the LayerNorms of a graph, and returns their number. What is then unused must be pruned."""
    opset = next(o for o in model.opset_import if o.domain in ("", "ai.onnx"))
    if opset.version not in JOINING_OPSETS:
        return 0
    g = _Graph(model.graph)
    joined: dict[str, NodeProto] = {}
    for node in model.graph.node:
        if node.op_type == "Div" and (found := _join(g, node, ranks.get(node.output[0], 0))):
            joined[found[1].output[0]] = found[0]
    if joined:
        nodes = [joined.get(node.output[0], node) for node in model.graph.node]
        copies = [type(node).FromString(node.SerializeToString()) for node in nodes]
        del model.graph.node[:]
        model.graph.node.extend(copies)
        opset.version = OPSET
        model.ir_version = max(model.ir_version, 8)
    return len(joined)
