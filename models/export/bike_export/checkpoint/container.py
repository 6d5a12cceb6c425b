"""Detects the kind of a checkpoint file and reads the values in it, without running anything from the file."""

import json
import pickle
import re
import zipfile
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from ..problem import Problem, naming
from . import torchscript

TORCHSCRIPT = "TorchScript archive"
WEIGHT_FILES = (
    "model.safetensors",
    "open_clip_model.safetensors",
    "pytorch_model.bin",
    "open_clip_pytorch_model.bin",
)


def read(path: Path) -> tuple[str, Any]:
    """Returns the container's name and its content: a dictionary of tensors, or of dictionaries of tensors."""
    with naming(path):
        with open(path, "rb") as f:
            head = f.read(9)
        size = path.stat().st_size
    if head[:4] == b"PK\x03\x04":
        return _read_zip(path)
    if len(head) == 9 and head[8:] == b"{" and int.from_bytes(head[:8], "little") < size:
        with naming(path):
            return "safetensors", load_file(path)
    if head[:1] == b"\x80":
        return "torch.save (before PyTorch 1.6)", _read_torch(path)
    raise Problem(
        f"{path}: neither a PyTorch file (zip) nor safetensors (it starts with {head[:4].hex() or 'nothing'}); "
        "use the checkpoint as it was published"
    )


def _read_zip(path: Path) -> tuple[str, Any]:
    with naming(path), zipfile.ZipFile(path) as archive:
        check_stored(archive, path)
        names = archive.namelist()
        if torchscript.is_archive(names):
            return TORCHSCRIPT, torchscript.read(archive, path)
    if not any(n.endswith("/data.pkl") for n in names):
        raise Problem(f"{path}: a zip file, but not one of torch.save (it has no data.pkl); unpack it first")
    return "torch.save", _read_torch(path)


def check_stored(archive: zipfile.ZipFile, path: Path) -> None:
    """Refuses an archive whose reading would take more memory than its file.

    PyTorch compresses nothing but the program of a TorchScript archive, `NAME/code/`, which is not read here.
    """
    members = [member for member in archive.infolist() if member.filename.split("/")[1:2] != ["code"]]
    if any(member.compress_type != zipfile.ZIP_STORED for member in members):
        problem = "an archive with compressed tensors, which PyTorch does not write"
        raise Problem(f"{path}: {problem}; use the checkpoint as it was published")
    if sum(member.file_size for member in members) > path.stat().st_size:
        raise Problem(f"{path}: an archive whose members overlap; use the checkpoint as it was published")


def _read_torch(path: Path) -> Any:
    """Reads tensors and plain values. torch's restricted reader refuses everything else."""
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as e:
        # torch's message also advises how to run the file; only the name of what it asks for is of use here.
        code = re.search(r"GLOBAL ([\w.]+)", str(e))
        reason = f"code ({code[1]})" if code else "more than tensors and plain values"
        raise Problem(f"{path}: contains {reason}, which is not run; use a checkpoint of tensors only") from e
    except OSError:
        raise
    except Exception as e:  # a hostile or damaged file can fail anywhere in the reader
        raise Problem(f"{path}: a damaged or incomplete PyTorch file; copy it again") from e


def read_json(path: Path) -> dict[str, Any]:
    """Reads a JSON object from a file."""
    with naming(path):
        value = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(value, dict):
        raise Problem(f"{path}: not a JSON object; copy it again from its source")
    return value


def read_folder(folder: Path) -> tuple[str, dict[str, torch.Tensor]]:
    """Reads the weights of a model folder: safetensors before bin, in one file or in parts named by an index."""
    for stem in WEIGHT_FILES:
        if (folder / stem).is_file():
            kind, value = read(folder / stem)
            return f"{stem} ({kind})", value
        if (folder / f"{stem}.index.json").is_file():
            parts = sorted(set(read_json(folder / f"{stem}.index.json").get("weight_map", {}).values()))
            if not parts or any(not isinstance(p, str) or Path(p).name != p for p in parts):
                raise Problem(f"{folder / stem}.index.json: does not name files in its own folder; copy it again")
            whole: dict[str, torch.Tensor] = {}
            for part in parts:
                whole.update(read(folder / part)[1])
            return f"{stem}, {len(parts)} parts", whole
    raise Problem(f"{folder}: no weights in this folder; it needs one of {', '.join(WEIGHT_FILES)}")
