"""Reads ONNX graphs that others made, and refuses what a bundle cannot contain. Nothing in a graph is run here."""

from collections.abc import Iterator
from pathlib import Path

import onnx
from onnx import AttributeProto, GraphProto, ModelProto, TensorProto, helper

from ..problem import Problem, naming, shorten

MAX_BYTES = 2 << 30  # of a graph: the limit of bike-edge, and of protobuf
OPSETS = range(9, 25)  # operator sets that bike-edge reads
RANDOM = ("Multinomial", "Bernoulli")
OPTIMISED = "which only the program that optimised the graph knows; use the plain fp32, fp16 or int8 graph of the model"


def read(path: Path) -> ModelProto:
    """Reads one graph in one file. Large files, other files' weights and special operators are refused by name."""
    with naming(path):
        size = path.stat().st_size
        if size >= MAX_BYTES:
            raise Problem(f"{path}: {size} bytes, and a graph has less than {MAX_BYTES}; use the fp16 or int8 graph")
        model = onnx.load_model_from_string(path.read_bytes())
        if not model.graph.node or not model.graph.output:
            raise Problem(f"{path}: not an ONNX graph, or incomplete; copy it again")
        _refuse_external_data(path, model.graph)
        _refuse_operators(path, model)
        try:
            # By its path, because the checker copies a model that it is given.
            onnx.checker.check_model(model if sort_nodes(model.graph) else str(path))
        except onnx.checker.ValidationError as error:
            reason = next(iter(str(error).splitlines()), "").replace(";", ",").rstrip(".")
            raise Problem(f"{path}: not a valid ONNX graph ({reason}); copy it again") from error
    # Some tools name the standard operator set twice, or others that no node uses.
    version = next(o.version for o in model.opset_import if o.domain in ("", "ai.onnx"))
    del model.opset_import[:]
    model.opset_import.append(helper.make_opsetid("", version))
    return model


def sort_nodes(graph: GraphProto) -> bool:
    """Sorts nodes so that each value is made before it is read, as ONNX requires. Returns whether they were unsorted.

    Some converters leave them unsorted, and onnxruntime accepts that. A cycle remains, for the checker to refuse.
    """
    maker = {name: at for at, node in enumerate(graph.node) for name in node.output if name}
    needs = [{maker[n] for n in node.input if n in maker} for node in graph.node]
    if all(before < at for at, before_all in enumerate(needs) for before in before_all):
        return False
    readers: dict[int, list[int]] = {}
    for at, before_all in enumerate(needs):
        for before in before_all:
            readers.setdefault(before, []).append(at)
    ready = [at for at, before_all in enumerate(needs) if not before_all]
    for at in ready:
        for reader in readers.get(at, []):
            needs[reader].discard(at)
            if not needs[reader]:
                ready.append(reader)
    if len(ready) == len(graph.node):
        nodes = [graph.node[at] for at in ready]
        copies = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
        del graph.node[:]
        graph.node.extend(copies)
    return True


def tensors(graph: GraphProto) -> Iterator[TensorProto]:
    """Yields the tensors of a graph: initialisers, and constants in the attributes of nodes."""
    yield from graph.initializer
    for attribute in (a for node in graph.node for a in node.attribute):
        if attribute.type == AttributeProto.TENSOR:
            yield attribute.t
        yield from attribute.tensors


def _refuse_external_data(path: Path, graph: GraphProto) -> None:
    for tensor in tensors(graph):
        if tensor.data_location == TensorProto.EXTERNAL:
            entries = {e.key: e.value for e in tensor.external_data}
            raise Problem(
                f"{path}: its weights are in another file ({Path(entries.get('location', '?')).name}), which is not "
                "read; join them with Python's `onnx.save(onnx.load(OLD), NEW)` and use the new file"
            )


def _refuse_operators(path: Path, model: ModelProto) -> None:
    graph = model.graph
    standard = [o.version for o in model.opset_import if o.domain in ("", "ai.onnx")]
    if not standard or standard[0] not in OPSETS:
        found = f"operator set {standard[0]}" if standard else "no standard operator set"
        raise Problem(f"{path}: {found}, and 9 to 24 are supported; export the graph with one of them, such as 17")
    if len(set(standard)) > 1:
        raise Problem(f"{path}: has the operator sets {shorten([str(v) for v in standard])}; export it with one, as 17")
    foreign = sorted({f"{n.domain}.{n.op_type}" for n in graph.node if n.domain not in ("", "ai.onnx")})
    if foreign:
        raise Problem(f"{path}: has the operators {shorten(foreign)}, {OPTIMISED}")
    if model.functions or graph.sparse_initializer or model.training_info:
        raise Problem(
            f"{path}: has local functions, sparse tensors or a training graph; export it with plain operators"
        )
    for node in graph.node:
        if any(a.type in (AttributeProto.GRAPH, AttributeProto.GRAPHS) for a in node.attribute):
            raise Problem(
                f"{path}: {node.op_type} ({node.name}) branches or loops, which is not supported; "
                "export the graph without control flow"
            )
        if node.op_type.startswith("Random") or node.op_type in RANDOM:
            raise Problem(f"{path}: {node.op_type} draws random numbers; export the graph for inference")
