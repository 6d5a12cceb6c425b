"""Checks a bundle against docs/bundle.md. An independent implementation, without code of the writer of bundles."""

import hashlib
import tomllib
from pathlib import Path

import numpy as np

from .problem import Problem, naming

KEYS = {
    "": {
        "format",
        "name",
        "version",
        "licence",
        "provenance",
        "model",
        "preprocess",
        "defaults",
        "quality",
        "files",
        "text",
    },
    "model": {
        "embedding_dim",
        "attribute_dim",
        "window",
        "header",
        "interaction",
        "tau",
        "logit_scale",
        "lambda",
        "attributes_top_k",
        "attribute_encoder",
        "attribute_source",
        "attribute_scores",
        "prompts",
    },
    "preprocess": {"resize", "crop", "mean", "std"},
    "defaults": {"stride_s", "background"},
    "text": {"tokenizer", "pooling", "attribute_prompt"},
}
REQUIRED_FILES = ("visual.onnx", "categories.txt", "categories.safetensors")
REQUIRED_KEYS = (("model", "embedding_dim"), ("preprocess", "crop"))
FULLY_CHECKED = 1 << 29  # bytes; shapes inside larger graphs are not inferred


def check_bundle(folder: Path) -> list[str]:
    """Returns the problems of the bundle in `folder`, one per line; an empty list if it is valid."""
    try:
        with naming(folder / "bundle.toml"):
            manifest = tomllib.loads((folder / "bundle.toml").read_text(encoding="utf-8"))
        return check_manifest(folder, manifest) or check_contents(folder, manifest)
    except Problem as problem:
        return [str(problem)]


def check_manifest(folder: Path, manifest: dict) -> list[str]:
    """Checks keys, and names, sizes and hashes of the listed files."""
    problems: list[str] = []
    for section, keys in KEYS.items():
        values = manifest if not section else manifest.get(section, {})
        if not isinstance(values, dict):
            return [f"bundle.toml: {section} is not a section"]
        problems += [f"bundle.toml: unknown key {section}.{k}" for k in sorted(values.keys() - keys)]
    if manifest.get("format") != 1:
        problems.append(f"bundle.toml: format {manifest.get('format')}, not 1")
    problems += [
        f"bundle.toml: {section}.{key} is missing or not an integer"
        for section, key in REQUIRED_KEYS
        if type(manifest.get(section, {}).get(key)) is not int
    ]
    files = manifest.get("files", {})
    problems += [f"{n}: not listed" for n in REQUIRED_FILES if n not in files]
    for name, entry in files.items():
        path = folder / name
        if not isinstance(entry, dict) or not {"bytes", "sha256"} <= entry.keys():
            problems.append(f"bundle.toml: files.{name} needs bytes and sha256")
        elif Path(name).name != name or not path.is_file():
            problems.append(f"{name}: missing, or not a plain file name")
        elif path.stat().st_size != entry["bytes"]:
            problems.append(f"{name}: {path.stat().st_size} bytes, not {entry['bytes']}")
        elif hashlib.sha256(path.read_bytes()).hexdigest() != entry["sha256"]:
            problems.append(f"{name}: its sha256 is not the listed one")
    return problems


def check_contents(folder: Path, manifest: dict) -> list[str]:
    """Checks graphs, lists and tables of a bundle whose manifest is valid."""
    problems: list[str] = []
    files, model = manifest["files"], manifest["model"]
    d, size = model["embedding_dim"], manifest["preprocess"]["crop"]
    problems += check_graph(folder / "visual.onnx", [1, 3, size, size], [1, d])
    if "temporal.onnx" in files:
        problems += check_graph(folder / "temporal.onnx", [1, None, d], [1, None, d])
    if "composer.onnx" in files:
        problems += check_graph(folder / "composer.onnx", [1, model.get("attributes_top_k"), d], [1, d])
    if "attribute_visual.onnx" in files:
        problems += check_graph(folder / "attribute_visual.onnx", [1, 3, size, size], [1, model.get("attribute_dim")])
    if "text.onnx" in files:
        packed = manifest.get("text", {}).get("pooling") == "mean"
        shapes = ([3, None], [1, None, d]) if packed else ([1, 77], [1, 77, d])
        problems += check_graph(folder / "text.onnx", *shapes)
        problems += [] if "tokenizer.txt" in files else ["tokenizer.txt: not listed, and text.onnx needs it"]
        problems += [] if model.get("prompts") else ["bundle.toml: no model.prompts, and text.onnx needs them"]
    for head in ("sentence_head.onnx", "query_head.onnx"):
        if head in files:
            problems += check_graph(folder / head, [1, d], [1, d])
    categories = read_names(folder / "categories.txt", problems)
    table = folder / "categories.safetensors"
    problems += check_tables(table, len(categories), {"category": d, "word": d}, {"category", "word"})
    if "lexicon.txt" in files:
        phrases = read_names(folder / "lexicon.txt", problems)
        depths = {"retrieval": model.get("attribute_dim"), "sentence": d, "word": d}
        problems += check_tables(folder / "lexicon.safetensors", len(phrases), depths, {"retrieval"})
    background = set(manifest.get("defaults", {}).get("background", []))
    phrases = read_names(folder / "lexicon.txt", []) if "lexicon.txt" in files else []
    missing = set() if "text.onnx" in files else background - {*categories, *phrases}
    return problems + [f"bundle.toml: background {n!r} is no category or phrase" for n in sorted(missing)]


def read_names(path: Path, problems: list[str]) -> list[str]:
    """Returns the lines of a list, and adds a problem if there are empty or repeated ones."""
    with naming(path):
        names = path.read_text(encoding="utf-8").removesuffix("\n").split("\n")
    if len(set(names)) != len(names) or not all(n.strip() for n in names):
        problems.append(f"{path.name}: empty or repeated lines")
    return names


def check_graph(path: Path, input_shape: list[int | None], output_shape: list[int | None]) -> list[str]:
    """Checks for one input and one output of these shapes (None: any), standard operators, and no external data."""
    import onnx

    with naming(path):
        model = onnx.load(str(path), load_external_data=False)
    problems = []
    try:
        # By its path, because the checker copies a model that it is given, and shape inference does too.
        onnx.checker.check_model(str(path), full_check=path.stat().st_size < FULLY_CHECKED)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        problems.append(f"{path.name}: {error}")
    if any(t.data_location == onnx.TensorProto.EXTERNAL for t in model.graph.initializer):
        problems.append(f"{path.name}: external data")
    if any(n.domain not in ("", "ai.onnx") for n in model.graph.node):
        problems.append(f"{path.name}: an operator of an unknown domain")
    for values, shape in ((model.graph.input, input_shape), (model.graph.output, output_shape)):
        found = [[d.dim_value or None for d in v.type.tensor_type.shape.dim] for v in values]
        one_of_this_rank = len(found) == 1 and len(found[0]) == len(shape)
        if not one_of_this_rank or any(s not in (None, n) for s, n in zip(shape, found[0], strict=True)):
            problems.append(f"{path.name}: shape {found}, not {shape}")
    return problems


def check_tables(path: Path, rows: int, depths: dict[str, int | None], required: set[str]) -> list[str]:
    """Checks shapes, finite values, rows of length 1, and word tables."""
    from safetensors.numpy import load_file

    with naming(path):
        tensors = load_file(str(path))
    problems = [f"{path.name}: no {n}" for n in sorted(required - tensors.keys())]
    for name, depth in depths.items():
        if name not in tensors:
            continue
        t = tensors[name]
        mixed = name == "word" and "word_mix" in tensors
        if (len(t) != rows and not mixed) or t.shape[-1] != depth:
            problems.append(f"{path.name}: {name} is {t.shape}")
            continue
        x = as_floats(tensors, name)
        if not np.isfinite(x).all() or np.abs(np.linalg.norm(x, axis=-1) - 1).max() > 0.01:
            problems.append(f"{path.name}: {name} has rows that are not of length 1")
    if "word" not in tensors:
        return problems
    check_words = check_mixed_words if "word_mix" in tensors else check_weighted_words
    return problems + [f"{path.name}: {problem}" for problem in check_words(tensors, rows)]


def as_floats(tensors: dict[str, np.ndarray], name: str) -> np.ndarray:
    """Returns a table as f64, integers multiplied by their scales."""
    t = tensors[name].astype(np.float64)
    return t * tensors[f"{name}_scale"][..., None] if tensors[name].dtype == np.int8 else t


def check_weighted_words(tensors: dict[str, np.ndarray], rows: int) -> list[str]:
    """Checks words that each represent text positions by a weight."""
    if "word_weight" not in tensors:
        return ["no word_weight"]
    weight = tensors["word_weight"].astype(np.float64)
    if weight.shape != tensors["word"].shape[:2] or tensors["word_weight"].dtype != np.float32:
        return [f"word_weight is {weight.dtype} {weight.shape}"]
    if weight.min() < 0 or np.ptp(weight.sum(1)) > 1e-3 * weight.sum(1).max():
        return ["word_weight is negative or has unequal sums"]
    return []


def check_mixed_words(tensors: dict[str, np.ndarray], rows: int) -> list[str]:
    """Checks words that are mixed from rows."""
    missing = {"word_rows", "position_word"} - tensors.keys()
    if missing:
        return [f"no {name}" for name in sorted(missing)]
    word, mix, common, count = (tensors[n] for n in ("word", "word_mix", "position_word", "word_rows"))
    if word.ndim != 2 or mix.shape != (len(word), len(common)) or common.shape[1:] != word.shape[1:]:
        return [f"word is {word.shape}, word_mix {mix.shape} and position_word {common.shape}"]
    if count.dtype != np.uint32 or count.shape != (rows,) or count.min() < 1 or count.sum(dtype=np.int64) != len(word):
        return [f"word_rows does not divide {len(word)} rows among {rows} texts"]
    return [f"{n} is not finite" for n in ("word_mix", "position_word") if not np.isfinite(as_floats(tensors, n)).all()]
