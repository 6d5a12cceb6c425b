"""Reads an existing bundle, and checks that a checkpoint is the one that it was made from."""

import tomllib
from pathlib import Path

import onnx

from ..bundle import sha256
from ..checkpoint import Checkpoint
from ..problem import Problem, naming

REQUIRED = {
    "": ("name", "version", "licence", "provenance"),
    "model": ("embedding_dim", "window", "header", "interaction", "tau", "logit_scale", "lambda"),
    "preprocess": ("resize", "crop", "mean", "std"),
    "files": ("visual.onnx", "categories.txt", "categories.safetensors"),
}


def read_manifest(bundle: Path) -> dict:
    """Returns bundle.toml, after a check of the required keys and of the hashes of all files."""
    path = bundle / "bundle.toml"
    with naming(path):
        manifest = tomllib.loads(path.read_text(encoding="utf-8"))
    for section, keys in REQUIRED.items():
        values = manifest.get(section, {}) if section else manifest
        missing = [key for key in keys if key not in values]
        if missing:
            where = f" in [{section}]" if section else ""
            raise Problem(f"{path}: {', '.join(missing)} missing{where}; export the bundle again")
    for name, entry in manifest["files"].items():
        file = bundle / name
        if Path(name).name != name or not file.is_file() or sha256(file) != entry.get("sha256"):
            raise Problem(f"{file}: missing, or not the file that bundle.toml lists; export the bundle again")
    return manifest


def read_graph(path: Path) -> onnx.ModelProto:
    """Reads a graph."""
    with naming(path):
        return onnx.load(str(path), load_external_data=False)


def precision_of(graph: Path) -> str:
    """Returns the precision in which a graph was written, judging by its content."""
    model = read_graph(graph)
    if any(n.op_type == "MatMulInteger" for n in model.graph.node):
        return "int8"
    halves = sum(t.data_type == onnx.TensorProto.FLOAT16 for t in model.graph.initializer)
    return "fp16" if halves > len(model.graph.initializer) / 2 else "fp32"


def refuse_other_checkpoint(bundle: Path, c: Checkpoint, graph: str = "visual.onnx") -> None:
    """Refuses a checkpoint from which the bundle's graph was not made, because its texts would not fit the graph."""
    properties = {p.key: p.value for p in read_graph(bundle / graph).metadata_props}
    source = properties.get("source_sha256")
    if source != c.sha256:
        raise Problem(
            f"{c.path}: not the checkpoint that {bundle} was made from (its sha256 is {c.sha256[:16]}, and {graph} "
            f"names {str(source)[:16]}); use that checkpoint"
        )


def refuse_other_heads(bundle: Path, bundle_has_heads: bool, checkpoint_has_heads: bool) -> None:
    """Refuses to mix a bundle with trained attribute heads and a checkpoint without them, and the reverse."""
    if bundle_has_heads and not checkpoint_has_heads:
        raise Problem(f"{bundle}: was made with trained attribute heads; add --attribute-checkpoint FILE")
    if checkpoint_has_heads and not bundle_has_heads:
        raise Problem(f"{bundle}: was made without trained attribute heads; leave --attribute-checkpoint out")
