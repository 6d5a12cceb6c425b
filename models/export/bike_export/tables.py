"""Embedding tables: unit rows, int8 with one scale a row, and the safetensors file they lie in."""

import json
from pathlib import Path

import numpy as np

ROW_TYPES = {"int8": "i8", "fp16": "f16", "fp32": "f32"}  # of tables, by the precision of the graphs
SAFETENSORS_TYPES = {"float32": "F32", "float16": "F16", "int8": "I8", "uint32": "U32"}


def unit_rows(x: np.ndarray) -> np.ndarray:
    """Rows of x [..., D] scaled to length 1, as float32. A zero row is an error: it has no direction."""
    x = np.asarray(x, np.float64)
    length = np.linalg.norm(x, axis=-1, keepdims=True)
    if not np.isfinite(length).all() or (length < 1e-12).any():
        raise ValueError("a row is zero or not finite, so it cannot be normalised")
    return (x / length).astype(np.float32)


def quantise_rows(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """x [..., D] f32 to integers [..., D] i8 and scales [...] f32, with row ~ scale * integers.

    Symmetric, the largest component of a row becoming 127. The scale is then set so that the row that is read
    back has exactly the length of the row that went in, since readers expect unit rows.
    """
    x = np.asarray(x, np.float32)
    peak = np.maximum(np.abs(x).max(-1, keepdims=True), 1e-12)
    integers = np.rint(x * (127.0 / peak)).astype(np.int8)
    length = np.linalg.norm(x.astype(np.float64), axis=-1)
    length_q = np.linalg.norm(integers.astype(np.float64), axis=-1)
    return integers, (length / np.maximum(length_q, 1e-12)).astype(np.float32)


def dequantise_rows(integers: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """The inverse of `quantise_rows`: [..., D] f32."""
    return integers.astype(np.float32) * scale[..., None].astype(np.float32)


def round_trip(rows: np.ndarray, dtype: str) -> np.ndarray:
    """Rows as they are read back from a table of this type."""
    if dtype == "i8":
        return dequantise_rows(*quantise_rows(rows))
    return rows.astype(np.float16).astype(np.float32) if dtype == "f16" else rows


def quantise_numbers(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """x [..., D] f32 to integers [..., D] i8 and scales [...] f32: symmetric, the largest of a row becoming 127."""
    scale = (np.maximum(np.abs(x).max(-1, keepdims=True), 1e-12) / 127).astype(np.float32)
    return np.clip(np.rint(x / scale), -127, 127).astype(np.int8), scale[..., 0]


def round_trip_numbers(x: np.ndarray, dtype: str) -> np.ndarray:
    """Rows of any length as they are read back from a table of this type."""
    return dequantise_rows(*quantise_numbers(x)) if dtype == "i8" else round_trip(x, dtype)


def add_numbers(tensors: dict[str, np.ndarray], name: str, x: np.ndarray, dtype: str) -> None:
    """Puts rows of any length [..., D] into `tensors` under `name`, stored as "f32", "f16" or "i8"."""
    if dtype == "i8":
        tensors[name], tensors[f"{name}_scale"] = quantise_numbers(x)
    else:
        tensors[name] = x.astype({"f16": np.float16, "f32": np.float32}[dtype])


def add_table(tensors: dict[str, np.ndarray], name: str, rows: np.ndarray, dtype: str) -> None:
    """Puts unit rows [..., D] into `tensors` under `name`, stored as "f32", "f16" or "i8" (with `name`_scale)."""
    rows = unit_rows(rows)
    if dtype == "i8":
        tensors[name], tensors[f"{name}_scale"] = quantise_rows(rows)
    elif dtype in ("f16", "f32"):
        tensors[name] = rows.astype({"f16": np.float16, "f32": np.float32}[dtype])
    else:
        raise ValueError(f"table type {dtype!r}: one of f32, f16, i8")


def write_safetensors(path: Path, tensors: dict[str, np.ndarray]) -> None:
    """Writes tensors so that each one lies on a multiple of 8 bytes, and so can be used where it is mapped.

    The format allows no gaps, so tensors whose size is not a multiple of 8 go last, larger element types first:
    those are aligned to their elements at least.
    """
    order = sorted(tensors, key=lambda n: (tensors[n].nbytes % 8 != 0, -tensors[n].itemsize, n))
    header, at = {}, 0
    for name in order:
        t = tensors[name]
        if str(t.dtype) not in SAFETENSORS_TYPES:
            raise ValueError(f"{name}: a table cannot be {t.dtype}")
        header[name] = {"dtype": SAFETENSORS_TYPES[str(t.dtype)], "shape": list(t.shape),
                        "data_offsets": [at, at + t.nbytes]}
        at += t.nbytes
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as f:
        f.write(len(text).to_bytes(8, "little"))
        f.write(text)
        for name in order:
            f.write(np.ascontiguousarray(tensors[name]).tobytes())
