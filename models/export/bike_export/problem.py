"""Problems that the user can solve, and the sentences that describe them.

`main` prints a `Problem` and exits with 1. `describe` is the only place that turns the errors of Python, torch,
safetensors, YAML and ONNX into such sentences.
"""

import errno
import json
import pickle
import tomllib
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import yaml
from google.protobuf.message import DecodeError
from onnx.checker import ValidationError
from PIL import UnidentifiedImageError
from safetensors import SafetensorError

OUT_OF_MEMORY = "memory: not enough for this model; close other programs, or use --threads 1 and a smaller lexicon"
FILE_SYSTEM = {
    errno.ENOENT: "no such file or folder; check the path",
    errno.EACCES: "permission denied; check who may read and write it",
    errno.EPERM: "operation not permitted; check who may read and write it",
    errno.EROFS: "the file system is read-only; choose another folder",
    errno.EISDIR: "is a folder, not a file; name a file in it",
    errno.ENOTDIR: "a part of the path is a file, not a folder; check the path",
    errno.EEXIST: "exists already; choose another name",
    errno.ENOSPC: "no space left on the disk; free some space or choose another folder",
    errno.EDQUOT: "the disk quota is used up; free some space or choose another folder",
    errno.EFBIG: "the file is too large for this file system or its size limit; choose another folder",
    errno.ENAMETOOLONG: "the path is too long; choose a shorter one",
    errno.EIO: "input or output error; check the disk",
}
# What torch prints when it cannot allocate memory: on the CPU it raises RuntimeError, not MemoryError.
ALLOCATION_FAILED = ("DefaultCPUAllocator", "can't allocate memory", "not enough memory")


class Problem(ValueError):
    """A problem that the user can solve. The message is one sentence: `<what>: <problem>; <remedy>`."""


def describe(error: BaseException, where: str | Path) -> str | None:
    """Returns the sentence for an error, or None if the error is a defect of this program.

    `where` is the file or option that was in use. The file that an error itself names is preferred.
    """
    if isinstance(error, Problem):
        return str(error)
    if isinstance(error, MemoryError) or any(text in str(error) for text in ALLOCATION_FAILED):
        return OUT_OF_MEMORY
    if isinstance(error, UnidentifiedImageError):
        return f"{where}: not a picture in a supported format; use JPEG, PNG, BMP, WebP or GIF"
    if isinstance(error, OSError):
        reason = FILE_SYSTEM.get(error.errno or 0, f"{_first_line(error)}; check the file")
        return f"{error.filename or where}: {reason}"
    if isinstance(error, ImportError):
        return f"Python package {error.name}: not installed; run `make export-env`, and use the Python in .venv"
    formats = {
        UnicodeDecodeError: "not UTF-8 text; save it as UTF-8",
        json.JSONDecodeError: "not valid JSON; copy it again from its source",
        tomllib.TOMLDecodeError: f"not valid TOML ({_first_line(error)}); export the bundle again",
        yaml.YAMLError: f"not valid YAML{_yaml_place(error)}; correct that line",
        SafetensorError: "a damaged or incomplete safetensors file; copy it again",
        zipfile.BadZipFile: "a damaged or incomplete zip file; copy it again",
        pickle.UnpicklingError: "not a file of tensors; use the checkpoint as it was published",
        EOFError: "incomplete; copy it again",
        DecodeError: "not an ONNX graph, or incomplete; copy it again",
        ValidationError: "not a valid ONNX graph; export the bundle again",
    }
    if type(error).__module__.startswith("onnxruntime"):
        return f"{where}: onnxruntime cannot run this graph; export the bundle again"
    return next((f"{where}: {text}" for kind, text in formats.items() if isinstance(error, kind)), None)


@contextmanager
def naming(path: str | Path) -> Iterator[None]:
    """Turns the errors of reading or writing `path` into Problems that name it."""
    try:
        yield
    except Problem:
        raise
    except Exception as error:
        if (sentence := describe(error, path)) is None:
            raise
        raise Problem(sentence) from error


def shorten(names: list[str], limit: int = 6) -> str:
    """Joins the first few of many names."""
    shown = ", ".join(names[:limit])
    return shown if len(names) <= limit else f"{shown} and {len(names) - limit} more"


def _first_line(error: BaseException) -> str:
    text = getattr(error, "strerror", None) or str(error)
    return text.splitlines()[0] if text else type(error).__name__


def _yaml_place(error: BaseException) -> str:
    mark = getattr(error, "problem_mark", None)
    return f" (line {mark.line + 1})" if mark else ""
