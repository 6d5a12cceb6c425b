"""What kind of file it is, and the values in it, without running anything from it."""

import json
import pickle
import zipfile
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from . import torchscript
from .problem import BadCheckpoint

TORCHSCRIPT = "TorchScript archive"


def read(path: Path) -> tuple[str, Any]:
    """The container's name and what it holds: a dictionary of tensors, or of dictionaries of tensors."""
    try:
        with open(path, "rb") as f:
            head = f.read(9)
    except OSError as e:
        raise BadCheckpoint(f"{path}: {e.strerror}") from e
    if head[:4] == b"PK\x03\x04":
        return _zip(path)
    if len(head) == 9 and head[8:] == b"{" and int.from_bytes(head[:8], "little") < path.stat().st_size:
        return "safetensors", _safetensors(path)
    if head[:1] == b"\x80":
        return "torch.save (before PyTorch 1.6)", _torch(path)
    raise BadCheckpoint(
        f"{path}: neither a PyTorch file (zip) nor safetensors; is it whole? (first bytes: {head[:4].hex() or 'none'})"
    )


def _zip(path: Path) -> tuple[str, Any]:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            if torchscript.is_archive(names):
                return TORCHSCRIPT, torchscript.read(archive, path)
    except (zipfile.BadZipFile, EOFError, OSError) as e:
        raise BadCheckpoint(f"{path}: a damaged or cut-off zip file ({e}); fetch it again") from e
    if not any(n.endswith("/data.pkl") for n in names):
        raise BadCheckpoint(f"{path}: a zip file, but not one that torch.save made (it has no data.pkl)")
    return "torch.save", _torch(path)


def _torch(path: Path) -> Any:
    """Tensors and plain values only: torch's own restricted reader refuses everything else."""
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as e:
        reason = str(e).split("Please file an issue")[0].split("WeightsUnpickler error:")[-1].strip().splitlines()[0]
        raise BadCheckpoint(f"{path}: holds more than tensors and plain values, and is not run ({reason})") from e
    except Exception as e:  # a hostile or damaged file can fail anywhere in the reader
        raise BadCheckpoint(
            f"{path}: cannot be read ({type(e).__name__}: {str(e).splitlines()[0] if str(e) else 'no reason'})"
        ) from e


def _safetensors(path: Path) -> dict[str, torch.Tensor]:
    try:
        return load_file(path)
    except (SafetensorError, OSError, ValueError) as e:
        raise BadCheckpoint(f"{path}: damaged safetensors ({e})") from e


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a file."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as e:
        raise BadCheckpoint(f"{path}: {e}") from e
    if not isinstance(value, dict):
        raise BadCheckpoint(f"{path}: not a JSON object")
    return value


def read_folder(folder: Path) -> tuple[str, dict[str, torch.Tensor]]:
    """The weights of a model folder: safetensors before bin, whole or in parts named by an index."""
    for stem in (
        "model.safetensors",
        "open_clip_model.safetensors",
        "pytorch_model.bin",
        "open_clip_pytorch_model.bin",
    ):
        if (folder / stem).is_file():
            kind, value = read(folder / stem)
            return f"{stem} ({kind})", value
        if (folder / f"{stem}.index.json").is_file():
            parts = sorted(set(read_json(folder / f"{stem}.index.json").get("weight_map", {}).values()))
            if not parts or any(not isinstance(p, str) or Path(p).name != p for p in parts):
                raise BadCheckpoint(f"{folder}: {stem}.index.json does not name files beside it")
            whole: dict[str, torch.Tensor] = {}
            for part in parts:
                whole.update(read(folder / part)[1])
            return f"{stem}, {len(parts)} parts", whole
    raise BadCheckpoint(f"{folder}: no model.safetensors or pytorch_model.bin in this folder")
