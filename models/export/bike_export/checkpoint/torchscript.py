"""Reads the tensors of a TorchScript archive without TorchScript.

Such an archive is a zip file: `data.pkl` builds the module's objects from tensors, `data/N` are their bytes, and
`code/` is the program. Only the first two are read, by an unpickler that accepts tensors, lists and inert objects and
nothing else. `torch.jit.load` would compile the program and could run it.
"""

import collections
import io
import math
import pickle
import zipfile
from pathlib import Path
from typing import Any

import torch

from ..problem import Problem

# Element types in published CLIP archives.
STORAGES = {
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "DoubleStorage": torch.float64,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
}
MAX_PICKLE = 64 << 20
MAX_DEPTH = 64


def is_archive(names: list[str]) -> bool:
    """Returns whether a zip file is a TorchScript archive: it has constants, and a file of torch.save has none."""
    return any(n.count("/") == 1 and n.endswith("/constants.pkl") for n in names)


class Object:
    """An object of the archive, with fields but without behaviour."""

    def __init__(self, *_: Any):
        self.fields: dict[str, Any] = {}

    def __setstate__(self, state: Any) -> None:
        if not isinstance(state, dict):
            raise pickle.UnpicklingError("an object has a state that is not a dictionary")
        self.fields = state


class Storage:
    """One member `data/N`: its bytes, read at the first use, and their type."""

    def __init__(self, archive: zipfile.ZipFile, member: str, dtype: torch.dtype, count: int):
        self.archive, self.member, self.dtype, self.count = archive, member, dtype, count
        self.flat: torch.Tensor | None = None

    def tensor(self, offset: int, size: tuple[int, ...], stride: tuple[int, ...]) -> torch.Tensor:
        """Returns a view of the elements, checked against the bytes in the archive."""
        numbers = [offset, *size, *stride]
        if len(size) != len(stride) or any(type(n) is not int or n < 0 for n in numbers):
            raise pickle.UnpicklingError(f"{self.member} has a tensor of size {size} and stride {stride}")
        if self.flat is None:
            itemsize = torch.empty((), dtype=self.dtype).element_size()
            if self.archive.getinfo(self.member).file_size != self.count * itemsize:
                raise pickle.UnpicklingError(f"{self.member} does not have {self.count} elements of {self.dtype}")
            data = bytearray(self.archive.read(self.member))
            self.flat = torch.frombuffer(data, dtype=self.dtype) if data else torch.empty(0, dtype=self.dtype)
        last = offset + sum((n - 1) * s for n, s in zip(size, stride, strict=True)) if math.prod(size) else offset - 1
        if last >= self.count or math.prod(size) > self.count:
            raise pickle.UnpicklingError(f"{self.member} has a tensor beyond its {self.count} elements")
        return torch.as_strided(self.flat, size, stride, offset)


class Reader(pickle.Unpickler):
    """An unpickler for `data.pkl` that makes only tensors, lists of plain values, and inert objects."""

    def __init__(self, archive: zipfile.ZipFile, root: str):
        super().__init__(io.BytesIO(archive.read(f"{root}/data.pkl")), encoding="utf-8")
        self.archive, self.root = archive, root
        self.storages: dict[str, Storage] = {}

    def find_class(self, module: str, name: str) -> Any:
        """Returns one of the allowed classes, or refuses the pickle."""
        if module.split(".")[0] == "__torch__":
            return Object
        if module == "torch" and name in STORAGES:
            return STORAGES[name]
        allowed = {
            ("collections", "OrderedDict"): collections.OrderedDict,
            ("torch._utils", "_rebuild_tensor_v2"): lambda storage, offset, size, stride, *_: storage.tensor(
                offset, tuple(size), tuple(stride)
            ),
            ("torch._utils", "_rebuild_parameter"): lambda tensor, *_: tensor,
            ("torch.jit._pickle", "restore_type_tag"): lambda value, _type: value,
            **{
                ("torch.jit._pickle", f"build_{kind}list"): lambda values: list(values)
                for kind in ("int", "double", "bool", "tensor")
            },
        }
        if (module, name) not in allowed:
            raise pickle.UnpicklingError(f"it contains {module}.{name}, which is neither a tensor nor a list")
        return allowed[(module, name)]

    def persistent_load(self, pid: Any) -> Storage:
        """Returns the storage of a tensor."""
        if not (
            isinstance(pid, tuple)
            and len(pid) >= 5
            and pid[0] == "storage"
            and isinstance(pid[1], torch.dtype)
            and isinstance(pid[2], str)
            and type(pid[4]) is int
        ):
            raise pickle.UnpicklingError("it has a storage without a valid description")
        _, dtype, key, _place, count = pid[:5]
        if key not in self.storages:
            self.storages[key] = Storage(self.archive, f"{self.root}/data/{key}", dtype, count)
        storage = self.storages[key]
        if (storage.dtype, storage.count) != (dtype, count):
            raise pickle.UnpicklingError(f"it describes data/{key} in two ways")
        return storage


def _flatten(value: Object, prefix: str, tensors: dict[str, torch.Tensor], visited: set[int]) -> None:
    """Adds the tensors of an object and of the objects in it, by dotted name, as a module's state is named."""
    if id(value) in visited or prefix.count(".") > MAX_DEPTH:
        raise pickle.UnpicklingError("its objects contain each other")
    visited.add(id(value))
    for name, field in value.fields.items():
        if isinstance(field, torch.Tensor):
            tensors[f"{prefix}{name}"] = field
        elif isinstance(field, Object):
            _flatten(field, f"{prefix}{name}.", tensors, visited)


def read(archive: zipfile.ZipFile, path: Path) -> dict[str, torch.Tensor]:
    """Returns all tensors of the archive's module by name."""
    members = [n for n in archive.namelist() if n.count("/") == 1 and n.endswith("/data.pkl")]
    if len(members) != 1:
        raise Problem(f"{path}: a TorchScript archive with {len(members)} data.pkl, not 1; copy it again")
    if archive.getinfo(members[0]).file_size > MAX_PICKLE:
        raise Problem(f"{path}: data.pkl is larger than that of any CLIP; use a CLIP archive")
    tensors: dict[str, torch.Tensor] = {}
    try:
        module = Reader(archive, members[0].split("/")[0]).load()
        if not isinstance(module, Object):
            raise pickle.UnpicklingError("its data.pkl is not a module")
        _flatten(module, "", tensors, set())
    except (zipfile.BadZipFile, OSError):
        raise
    except Exception as e:  # a hostile pickle can fail anywhere
        raise Problem(
            f"{path}: not a CLIP archive ({str(e) or type(e).__name__}); use the archive as it was published"
        ) from e
    return tensors
