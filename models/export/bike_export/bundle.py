"""Writes a bundle into a temporary folder, which is renamed to its place when the bundle is complete."""

import hashlib
import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from .problem import Problem
from .tables import write_safetensors

FORMAT = 1


def sha256(path: Path) -> str:
    """Returns the SHA-256 of a file as 64 hexadecimal digits."""
    digest = hashlib.sha256()
    with open(path, "rb") as f:
        while block := f.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def refuse_existing(out: Path, force: bool) -> None:
    """Refuses a path that is in use. `force` allows replacing a bundle, and never anything else."""
    if not out.exists() and not out.is_symlink():
        return
    if not force:
        raise Problem(f"--out {out}: exists already; choose another folder, or add --force to replace the bundle")
    if not out.is_dir() or (any(out.iterdir()) and not (out / "bundle.toml").is_file()):
        raise Problem(f"--out {out}: exists and is not a bundle; --force replaces only bundles, choose another folder")


def toml_value(value: Any) -> str:
    """Returns a TOML literal for a string, bool, integer, float, or a list of those."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)  # JSON's string escapes are TOML's
    if isinstance(value, (int, np.integer)):
        return str(int(value))
    if isinstance(value, (float, np.floating)):
        text = repr(float(value))
        return text if any(c in text for c in ".en") else text + ".0"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(toml_value(v) for v in value) + "]"
    raise TypeError(f"no TOML literal for {type(value).__name__}")


class BundleWriter:
    """Collects the files of one bundle. The bundle appears at `out` only when `finish` is called, and then as a whole.

    >>> with BundleWriter(Path("models/demo")) as b:
    ...     b.names("categories.txt", names)
    ...     b.tables("categories.safetensors", tensors)
    ...     b.finish(head, model=..., preprocess=..., defaults=..., quality=...)
    """

    def __init__(self, out: Path):
        self.out = Path(out).resolve()
        self.out.parent.mkdir(parents=True, exist_ok=True)
        self.folder = Path(tempfile.mkdtemp(prefix=f".{self.out.name}-", dir=self.out.parent))
        self.listed: list[str] = []

    def __enter__(self) -> "BundleWriter":
        return self

    def __exit__(self, *error: object) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)

    def path(self, name: str, *, listed: bool = True) -> Path:
        """Returns where to write file `name`. The manifest names listed files with size and hash."""
        if listed and name not in self.listed:
            self.listed.append(name)
        return self.folder / name

    def names(self, name: str, lines: list[str]) -> None:
        """Writes a list of names, one per line: not empty, no duplicates, no line breaks inside."""
        earlier: set[str] = set()
        for line in lines:
            if not line.strip() or line != line.strip() or "\n" in line or "\r" in line:
                raise ValueError(f"{name}: {line!r} cannot be a line of a list")
            if line in earlier:
                raise ValueError(f"{name}: {line!r} occurs twice")
            earlier.add(line)
        self.path(name).write_text("\n".join(lines) + "\n", encoding="utf-8")

    def tables(self, name: str, tensors: dict[str, np.ndarray]) -> None:
        """Writes a safetensors file of tables (see tables.py)."""
        for key, t in tensors.items():
            if t.dtype != np.int8 and not np.isfinite(t).all():
                raise ValueError(f"{name}: {key} is not finite")
        write_safetensors(self.path(name), tensors)

    def finish(self, head: dict[str, Any], **sections: dict[str, Any]) -> int:
        """Writes bundle.toml and moves the bundle to its place. Returns the size of all files in bytes."""
        lines = [f"format = {FORMAT}"] + [f"{k} = {toml_value(v)}" for k, v in head.items()]
        for section, values in sections.items():
            if values:
                lines += ["", f"[{section}]"] + [f"{k} = {toml_value(v)}" for k, v in values.items()]
        for name in sorted(self.listed):
            file = self.folder / name
            lines += [
                "",
                f"[files.{toml_value(name)}]",
                f"bytes = {file.stat().st_size}",
                f"sha256 = {toml_value(sha256(file))}",
            ]
        self.path("bundle.toml", listed=False).write_text("\n".join(lines) + "\n", encoding="utf-8")
        self.folder.chmod(0o755)
        size = sum(f.stat().st_size for f in self.folder.iterdir())
        if self.out.exists():
            old = self.folder.with_name(self.folder.name + "-old")
            self.out.rename(old)
            self.folder.rename(self.out)
            shutil.rmtree(old)
        else:
            self.folder.rename(self.out)
        return size
