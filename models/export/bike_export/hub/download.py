"""Downloads the files of a commit into the cache of huggingface_hub, and checks them."""

import hashlib
import shutil
import warnings
from pathlib import Path

import huggingface_hub
from huggingface_hub import constants
from huggingface_hub.utils import tqdm as hub_tqdm

from ..bundle import sha256
from ..problem import Problem
from ..progress import log, progress_of
from .listing import TIMEOUT_S, Entry, Snapshot
from .sentences import ResetError, host, in_words, no_space, sentences

ATTEMPTS = 3
MAX_TEXT = 4 << 20  # bytes of a configuration, an index or a model card
MAX_WEIGHTS = 16 << 30  # bytes of all weights; a ViT-bigG/14 in f32 has 10 GB
constants.DOWNLOAD_CHUNK_SIZE = 1 << 20  # bytes; a broken download is resumed after the last whole chunk


def check_space(snapshot: Snapshot, weights: list[str]) -> None:
    """Refuses weights that are too large, in all or for the disk, before the first of them is downloaded."""
    total = sum(snapshot.entries[n].size or 0 for n in weights)
    if total > MAX_WEIGHTS:
        raise Problem(
            f"{snapshot.reference}: {in_words(total)} of weights, and at most {in_words(MAX_WEIGHTS)} are supported; "
            "use a smaller model"
        )
    missing = sum(snapshot.entries[n].size or 0 for n in weights if not (snapshot.folder / n).exists())
    at = Path(constants.HF_HUB_CACHE)
    while not at.exists():
        at = at.parent
    if missing > shutil.disk_usage(at).free:
        raise Problem(no_space(f"{in_words(missing)} to download"))


def fetch(snapshot: Snapshot, name: str, limit: int) -> Path:
    """Returns the path of a file in the cache, downloaded if it is missing there, and checked."""
    entry, where = snapshot.entries[name], f"{snapshot.reference}, {name}"
    if entry.size is None:
        raise Problem(f"{where}: {host()} does not state its size; check HF_ENDPOINT")
    if entry.size > limit:
        raise Problem(
            f"{where}: {in_words(entry.size)}, and at most {in_words(limit)} are supported; use another repository"
        )
    path = snapshot.folder / name
    if not snapshot.cached and not path.exists():
        log(f"{where}: downloading {in_words(entry.size)}")
        path = _download(snapshot, name, entry.size, where)
    _check(path, entry, where)
    return path


def _download(snapshot: Snapshot, name: str, size: int, where: str) -> Path:
    """Downloads a file into the cache. After a reset of the connection, which is not resumed, it starts again."""
    for left in reversed(range(ATTEMPTS)):
        try:
            with sentences(snapshot.reference, name), warnings.catch_warnings(action="ignore"):
                return Path(
                    huggingface_hub.hf_hub_download(
                        snapshot.reference.repository,
                        name,
                        revision=snapshot.commit,
                        tqdm_class=_meter(where, size),
                        etag_timeout=TIMEOUT_S,
                    )
                )
        except ResetError:
            if not left:
                raise
            log(f"{where}: the connection was reset, starting again")
    raise AssertionError


def _check(path: Path, entry: Entry, where: str) -> None:
    """Compares a file with what the hub lists, and removes another one from the cache."""
    size, digest = path.stat().st_size, sha256(path)
    problem = ""
    if size != entry.size:
        problem = f"{size} bytes, not the {entry.size} that the hub lists"
    elif entry.digest and entry.digest != (digest if len(entry.digest) == 64 else _git_hash(path)):
        problem = "not the content that the hub lists (its hash differs)"
    if problem:
        for file in (path.resolve(), path):
            file.unlink(missing_ok=True)
        raise Problem(f"{where}: {problem}; the copy was removed, so run the command again")
    log(f"{where}: {size} bytes, sha256 {digest}" + ("" if entry.digest else ", without a hash from the hub"))


def _git_hash(path: Path) -> str:
    """Returns git's hash of a file, which the hub lists for small files."""
    data = path.read_bytes()
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()


def _meter(where: str, size: int) -> type[hub_tqdm]:
    """Returns a class that logs the progress of a download and stops one that is larger than the hub lists."""
    report = progress_of(f"{where}, MB", 10)

    class Meter(hub_tqdm):
        """Counts bytes without drawing a bar."""

        def __init__(self, *_: object, **options: object):
            super().__init__(disable=True)
            self.received = int(options.get("initial") or 0)

        def update(self, n: float | None = 1) -> None:
            """Counts bytes that were received; a negative number when a download starts again."""
            self.received += int(n or 0)
            if self.received > size:
                raise Problem(f"{where}: more than the {size} bytes that the hub lists; check HF_ENDPOINT and retry")
            if self.received > 1_000_000:
                report(self.received // 1_000_000, max(1, size // 1_000_000))

    return Meter
