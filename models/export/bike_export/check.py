"""An independent reading of docs/bundle.md: says what is wrong with a bundle. It shares no code with the writer."""

import hashlib
import tomllib
from pathlib import Path

import numpy as np

KEYS = {
    "": {"format", "name", "version", "licence", "provenance", "model", "preprocess", "defaults", "quality", "files"},
    "model": {"embedding_dim", "attribute_dim", "window", "header", "interaction", "tau", "logit_scale", "lambda",
              "attributes_top_k", "attribute_encoder", "attribute_source", "attribute_scores", "prompts"},
    "preprocess": {"resize", "crop", "mean", "std"},
    "defaults": {"stride_s", "background"},
}
FULLY_CHECKED = 1 << 29  # bytes; shapes inside larger graphs are not inferred
NEEDED = ("visual.onnx", "categories.txt", "categories.safetensors")


def check_bundle(folder: Path) -> list[str]:
    """Problems of the bundle in `folder`, one a line; none if it is valid."""
    problems: list[str] = []
    try:
        manifest = tomllib.loads((folder / "bundle.toml").read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        return [f"bundle.toml: {error}"]
    for section, keys in KEYS.items():
        values = manifest if not section else manifest.get(section, {})
        problems += [f"bundle.toml: unknown key {section}.{k}" for k in values.keys() - keys]
    if manifest.get("format") != 1:
        problems.append(f"bundle.toml: format {manifest.get('format')}, not 1")
    files = manifest.get("files", {})
    problems += [f"{n}: not listed" for n in NEEDED if n not in files]
    for name, entry in files.items():
        path = folder / name
        if Path(name).name != name or not path.is_file():
            problems.append(f"{name}: missing, or not a plain name")
        elif path.stat().st_size != entry["bytes"]:
            problems.append(f"{name}: {path.stat().st_size} bytes, not {entry['bytes']}")
        elif hashlib.sha256(path.read_bytes()).hexdigest() != entry["sha256"]:
            problems.append(f"{name}: another sha256 than listed")
    if problems:
        return problems
    model = manifest["model"]
    d, size = model["embedding_dim"], manifest["preprocess"]["crop"]
    problems += check_graph(folder / "visual.onnx", [1, 3, size, size], [1, d])
    if "temporal.onnx" in files:
        problems += check_graph(folder / "temporal.onnx", [1, None, d], [1, None, d])
    if "composer.onnx" in files:
        problems += check_graph(folder / "composer.onnx", [1, model["attributes_top_k"], d], [1, d])
    if "attribute_visual.onnx" in files:
        problems += check_graph(folder / "attribute_visual.onnx", [1, 3, size, size], [1, model["attribute_dim"]])
    if "text.onnx" in files:
        problems += check_graph(folder / "text.onnx", [1, 77], [1, 77, d])
        problems += [] if "tokenizer.txt" in files else ["tokenizer.txt: not listed, and text.onnx needs it"]
        problems += [] if model.get("prompts") else ["bundle.toml: no model.prompts, and text.onnx needs them"]
    for head in ("sentence_head.onnx", "query_head.onnx"):
        if head in files:
            problems += check_graph(folder / head, [1, d], [1, d])
    categories = read_names(folder / "categories.txt", problems)
    problems += check_tables(folder / "categories.safetensors", len(categories), {"category": d, "word": d}, {"category", "word"})
    if "lexicon.txt" in files:
        phrases = read_names(folder / "lexicon.txt", problems)
        depths = {"retrieval": model["attribute_dim"], "sentence": d, "word": d}
        problems += check_tables(folder / "lexicon.safetensors", len(phrases), depths, {"retrieval"})
    missing = set(manifest.get("defaults", {}).get("background", [])) - set(categories)
    return problems + [f"bundle.toml: background {n!r} is not a category" for n in sorted(missing)]


def read_names(path: Path, problems: list[str]) -> list[str]:
    """Lines of a list; blank and double ones are problems."""
    names = path.read_text(encoding="utf-8").removesuffix("\n").split("\n")
    if len(set(names)) != len(names) or not all(n.strip() for n in names):
        problems.append(f"{path.name}: blank lines or doubles")
    return names


def check_graph(path: Path, given: list[int | None], taken: list[int | None]) -> list[str]:
    """One input and one output of these shapes (None: anything), standard operators, nothing outside the file."""
    import onnx

    model = onnx.load(str(path), load_external_data=False)
    problems = []
    try:
        # By its path: a model that is handed over is copied, and so is one whose shapes are inferred.
        onnx.checker.check_model(str(path), full_check=path.stat().st_size < FULLY_CHECKED)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        problems.append(f"{path.name}: {error}")
    if any(t.data_location == onnx.TensorProto.EXTERNAL for t in model.graph.initializer):
        problems.append(f"{path.name}: external data")
    if any(n.domain not in ("", "ai.onnx") for n in model.graph.node):
        problems.append(f"{path.name}: an operator of an unknown domain")
    for values, shape in ((model.graph.input, given), (model.graph.output, taken)):
        got = [[d.dim_value or None for d in v.type.tensor_type.shape.dim] for v in values]
        if len(got) != 1 or len(got[0]) != len(shape) or any(s not in (None, g) for s, g in zip(shape, got[0])):
            problems.append(f"{path.name}: shape {got}, not {shape}")
    return problems


def check_tables(path: Path, rows: int, depths: dict[str, int], needed: set[str]) -> list[str]:
    """Shapes, finite values, rows of length 1, and word tables."""
    from safetensors.numpy import load_file

    tensors = load_file(str(path))
    problems = [f"{path.name}: no {n}" for n in needed - tensors.keys()]
    for name, depth in depths.items():
        if name not in tensors:
            continue
        t = tensors[name]
        mixed = name == "word" and "word_mix" in tensors
        if (len(t) != rows and not mixed) or t.shape[-1] != depth:
            problems.append(f"{path.name}: {name} is {t.shape}")
            continue
        x = as_numbers(tensors, name)
        if not np.isfinite(x).all() or np.abs(np.linalg.norm(x, axis=-1) - 1).max() > 0.01:
            problems.append(f"{path.name}: {name} has rows that are not of length 1")
    if "word" not in tensors:
        return problems
    found = check_mixed if "word_mix" in tensors else check_weights
    return problems + [f"{path.name}: {problem}" for problem in found(tensors, rows)]


def as_numbers(tensors: dict[str, np.ndarray], name: str) -> np.ndarray:
    """A table as f64, int8 ones with their scales."""
    t = tensors[name].astype(np.float64)
    return t * tensors[f"{name}_scale"][..., None] if tensors[name].dtype == np.int8 else t


def check_weights(tensors: dict[str, np.ndarray], rows: int) -> list[str]:
    """Words that stand for positions, by their weights."""
    if "word_weight" not in tensors:
        return ["no word_weight"]
    weight = tensors["word_weight"].astype(np.float64)
    if weight.shape != tensors["word"].shape[:2] or tensors["word_weight"].dtype != np.float32:
        return [f"word_weight is {weight.dtype} {weight.shape}"]
    if weight.min() < 0 or np.ptp(weight.sum(1)) > 1e-3 * weight.sum(1).max():
        return ["word_weight is negative or has unequal sums"]
    return []


def check_mixed(tensors: dict[str, np.ndarray], rows: int) -> list[str]:
    """Words that are mixed from rows."""
    missing = {"word_rows", "position_word"} - tensors.keys()
    if missing:
        return [f"no {name}" for name in sorted(missing)]
    word, mix, common, count = (tensors[n] for n in ("word", "word_mix", "position_word", "word_rows"))
    if word.ndim != 2 or mix.shape != (len(word), len(common)) or common.shape[1:] != word.shape[1:]:
        return [f"word is {word.shape}, word_mix {mix.shape} and position_word {common.shape}"]
    if count.dtype != np.uint32 or count.shape != (rows,) or count.min() < 1 or count.sum(dtype=np.int64) != len(word):
        return [f"word_rows does not share out {len(word)} rows to {rows} texts"]
    return [f"{n} is not finite" for n in ("word_mix", "position_word") if not np.isfinite(as_numbers(tensors, n)).all()]
