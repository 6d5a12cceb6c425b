"""Makes embedding tables: rows of length 1, int8 with one scale per row, and safetensors files of them."""

import json
from pathlib import Path

import numpy as np

from .problem import Problem

ROW_TYPES = {"int8": "i8", "fp16": "f16", "fp32": "f32"}  # of tables, for each precision of the graphs
SAFETENSORS_TYPES = {"float32": "F32", "float16": "F16", "int8": "I8", "uint32": "U32"}


def unit_rows(x: np.ndarray) -> np.ndarray:
    """Returns the rows of x [..., D] scaled to length 1, as float32. Refuses zero rows, which have no direction."""
    x = np.asarray(x, np.float64)
    length = np.linalg.norm(x, axis=-1, keepdims=True)
    if not np.isfinite(length).all() or (length < 1e-12).any():
        raise Problem(
            "embeddings: one is zero or not finite and has no direction; the checkpoint may be damaged, copy it again"
        )
    return (x / length).astype(np.float32)


def quantise_rows(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Quantises rows x [..., D] f32 to integers [..., D] i8 and scales [...] f32, with row ~ scale * integers.

    Symmetric: the largest component of a row becomes 127. The scale restores the exact length of the row, because
    readers expect rows of length 1.
    """
    x = np.asarray(x, np.float32)
    peak = np.maximum(np.abs(x).max(-1, keepdims=True), 1e-12)
    integers = np.rint(x * (127.0 / peak)).astype(np.int8)
    length = np.linalg.norm(x.astype(np.float64), axis=-1)
    length_q = np.linalg.norm(integers.astype(np.float64), axis=-1)
    return integers, (length / np.maximum(length_q, 1e-12)).astype(np.float32)


def dequantise_rows(integers: np.ndarray, scale: np.ndarray) -> np.ndarray:
    """Inverts `quantise_rows`: returns rows [..., D] f32."""
    return integers.astype(np.float32) * scale[..., None].astype(np.float32)


def round_trip(rows: np.ndarray, dtype: str) -> np.ndarray:
    """Returns rows after storing them in a table of this type and reading them back."""
    if dtype == "i8":
        return dequantise_rows(*quantise_rows(rows))
    return rows.astype(np.float16).astype(np.float32) if dtype == "f16" else rows


def quantise_numbers(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Quantises x [..., D] f32 to integers [..., D] i8 and scales [...] f32. A row's largest number becomes 127."""
    scale = (np.maximum(np.abs(x).max(-1, keepdims=True), 1e-12) / 127).astype(np.float32)
    return np.clip(np.rint(x / scale), -127, 127).astype(np.int8), scale[..., 0]


def round_trip_numbers(x: np.ndarray, dtype: str) -> np.ndarray:
    """Returns rows of any length after storing them in a table of this type and reading them back."""
    return dequantise_rows(*quantise_numbers(x)) if dtype == "i8" else round_trip(x, dtype)


def add_numbers(tensors: dict[str, np.ndarray], name: str, x: np.ndarray, dtype: str) -> None:
    """Adds rows of any length [..., D] to `tensors` as `name`, stored as "f32", "f16" or "i8" (with `name`_scale)."""
    if dtype == "i8":
        tensors[name], tensors[f"{name}_scale"] = quantise_numbers(x)
    else:
        tensors[name] = x.astype({"f16": np.float16, "f32": np.float32}[dtype])


def add_table(tensors: dict[str, np.ndarray], name: str, rows: np.ndarray, dtype: str) -> None:
    """Adds rows of length 1 [..., D] to `tensors` as `name`, stored as "f32", "f16" or "i8" (with `name`_scale)."""
    rows = unit_rows(rows)
    if dtype == "i8":
        tensors[name], tensors[f"{name}_scale"] = quantise_rows(rows)
    elif dtype in ("f16", "f32"):
        tensors[name] = rows.astype({"f16": np.float16, "f32": np.float32}[dtype])
    else:
        raise ValueError(f"table type {dtype!r} is not one of f32, f16, i8")


def write_safetensors(path: Path, tensors: dict[str, np.ndarray]) -> None:
    """Writes tensors at multiples of 8 bytes, so that a memory-mapped file can be used in place.

    The format allows no gaps. Tensors whose size is not a multiple of 8 come last, larger element types first, so that
    these are aligned to their elements.
    """
    order = sorted(tensors, key=lambda n: (tensors[n].nbytes % 8 != 0, -tensors[n].itemsize, n))
    header, at = {}, 0
    for name in order:
        t = tensors[name]
        if str(t.dtype) not in SAFETENSORS_TYPES:
            raise ValueError(f"{name}: a table cannot have the type {t.dtype}")
        header[name] = {
            "dtype": SAFETENSORS_TYPES[str(t.dtype)],
            "shape": list(t.shape),
            "data_offsets": [at, at + t.nbytes],
        }
        at += t.nbytes
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as f:
        f.write(len(text).to_bytes(8, "little"))
        f.write(text)
        for name in order:
            f.write(np.ascontiguousarray(tensors[name]).tobytes())
