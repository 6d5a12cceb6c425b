"""The tensors of a TorchScript archive, read without TorchScript.

Such an archive is a zip file: `data.pkl` builds the module's objects from tensors, `data/N` are their bytes, and
`code/` is the program. Only the first two are read, by an unpickler that knows tensors, lists and inert objects and
nothing else. `torch.jit.load` would compile and could run what `code/` says.
"""

import collections
import io
import math
import pickle
import zipfile
from pathlib import Path
from typing import Any

import torch

from .problem import BadCheckpoint

# Types that published CLIP archives hold.
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
    """Whether these members of a zip file are a TorchScript archive's: it has constants, torch.save's has none."""
    return any(n.count("/") == 1 and n.endswith("/constants.pkl") for n in names)


class Object:
    """An object of the archive: its fields, and no behaviour."""

    def __init__(self, *_: Any):
        self.fields: dict[str, Any] = {}

    def __setstate__(self, state: Any) -> None:
        if not isinstance(state, dict):
            raise pickle.UnpicklingError("an object whose state is not a dictionary")
        self.fields = state


class Storage:
    """One member `data/N`: its bytes, read when first wanted, and their type."""

    def __init__(self, archive: zipfile.ZipFile, member: str, dtype: torch.dtype, count: int):
        self.archive, self.member, self.dtype, self.count = archive, member, dtype, count
        self.flat: torch.Tensor | None = None

    def tensor(self, offset: int, size: tuple[int, ...], stride: tuple[int, ...]) -> torch.Tensor:
        """A view of the elements, checked against the bytes that are there."""
        numbers = [offset, *size, *stride]
        if len(size) != len(stride) or any(type(n) is not int or n < 0 for n in numbers):
            raise pickle.UnpicklingError(f"{self.member}: a tensor of size {size} and stride {stride}")
        if self.flat is None:
            itemsize = torch.empty((), dtype=self.dtype).element_size()
            if self.archive.getinfo(self.member).file_size != self.count * itemsize:
                raise pickle.UnpicklingError(f"{self.member}: not {self.count} elements of {self.dtype}")
            data = bytearray(self.archive.read(self.member))
            self.flat = torch.frombuffer(data, dtype=self.dtype) if data else torch.empty(0, dtype=self.dtype)
        last = offset + sum((n - 1) * s for n, s in zip(size, stride)) if math.prod(size) else offset - 1
        if last >= self.count or math.prod(size) > self.count:
            raise pickle.UnpicklingError(f"{self.member}: a tensor beyond its {self.count} elements")
        return torch.as_strided(self.flat, size, stride, offset)


class Reader(pickle.Unpickler):
    """An unpickler for `data.pkl` that can make tensors, lists of plain values, and inert objects."""

    def __init__(self, archive: zipfile.ZipFile, root: str):
        super().__init__(io.BytesIO(archive.read(f"{root}/data.pkl")), encoding="utf-8")
        self.archive, self.root = archive, root
        self.storages: dict[str, Storage] = {}

    def find_class(self, module: str, name: str) -> Any:
        if module.split(".")[0] == "__torch__":
            return Object
        if module == "torch" and name in STORAGES:
            return STORAGES[name]
        known = {
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
        if (module, name) not in known:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which is neither a tensor nor a list")
        return known[(module, name)]

    def persistent_load(self, pid: Any) -> Storage:
        if not (
            isinstance(pid, tuple)
            and len(pid) >= 5
            and pid[0] == "storage"
            and isinstance(pid[1], torch.dtype)
            and isinstance(pid[2], str)
            and type(pid[4]) is int
        ):
            raise pickle.UnpicklingError("a storage that is not described as one")
        _, dtype, key, _place, count = pid[:5]
        if key not in self.storages:
            self.storages[key] = Storage(self.archive, f"{self.root}/data/{key}", dtype, count)
        storage = self.storages[key]
        if (storage.dtype, storage.count) != (dtype, count):
            raise pickle.UnpicklingError(f"data/{key} is described in two ways")
        return storage


def _flatten(value: Object, prefix: str, into: dict[str, torch.Tensor], seen: set[int]) -> None:
    """Tensors of an object and of the objects in it, by dotted name, as a module's state is named."""
    if id(value) in seen or prefix.count(".") > MAX_DEPTH:
        raise pickle.UnpicklingError("objects that hold each other")
    seen.add(id(value))
    for name, field in value.fields.items():
        if isinstance(field, torch.Tensor):
            into[f"{prefix}{name}"] = field
        elif isinstance(field, Object):
            _flatten(field, f"{prefix}{name}.", into, seen)


def read(archive: zipfile.ZipFile, path: Path) -> dict[str, torch.Tensor]:
    """All tensors of the archive's module by their names."""
    members = [n for n in archive.namelist() if n.count("/") == 1 and n.endswith("/data.pkl")]
    if len(members) != 1:
        raise BadCheckpoint(f"{path}: a TorchScript archive with {len(members)} data.pkl")
    if archive.getinfo(members[0]).file_size > MAX_PICKLE:
        raise BadCheckpoint(f"{path}: data.pkl is larger than any CLIP's")
    into: dict[str, torch.Tensor] = {}
    try:
        module = Reader(archive, members[0].split("/")[0]).load()
        if not isinstance(module, Object):
            raise pickle.UnpicklingError("its data.pkl is not a module")
        _flatten(module, "", into, set())
    except (zipfile.BadZipFile, OSError):
        raise
    except Exception as e:  # a hostile pickle can fail anywhere
        raise BadCheckpoint(f"{path}: not a CLIP archive ({str(e) or type(e).__name__})") from e
    return into
