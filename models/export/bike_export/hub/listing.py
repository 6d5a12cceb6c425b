"""Lists the files of a revision: as the hub states them for its commit, or from the cache without a network."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import huggingface_hub
from huggingface_hub import constants

from ..problem import Problem
from ..progress import log
from .reference import Reference
from .sentences import NoNetworkError, host, sentences

COMMIT = re.compile(r"[0-9a-f]{40}")
# The weights that are supported, each with the configuration that describes them.
WEIGHTS = {"model.safetensors": "config.json", "open_clip_model.safetensors": "open_clip_config.json"}
TIMEOUT_S = 20


@dataclass(frozen=True)
class Entry:
    """What a hub lists about a file. `digest` is a SHA-256 (64 digits) or git's hash of the content (40 digits)."""

    size: int | None
    digest: str | None


@dataclass(frozen=True)
class Snapshot:
    """The files of a commit."""

    reference: Reference
    commit: str
    entries: dict[str, Entry]
    cached: bool  # listed from the cache, without the hub

    @property
    def folder(self) -> Path:
        """Returns the folder of this commit in the cache."""
        return storage(self.reference) / "snapshots" / self.commit


def resolve(reference: Reference) -> Snapshot:
    """Returns the commit of a revision and its files: as the hub lists them, or from the cache if it is offline."""
    offline = constants.is_offline_mode()
    if not offline:
        try:
            with sentences(reference):
                info = huggingface_hub.HfApi().model_info(
                    reference.repository, revision=reference.revision, files_metadata=True, timeout=TIMEOUT_S
                )
            return _listed(reference, info)
        except NoNetworkError:
            if (snapshot := _cached(reference)) is None:
                raise
            log(f"{reference}: {host()} is not reachable; using the copy in the cache")
            return snapshot
    if (snapshot := _cached(reference)) is None:
        raise Problem(
            f"{reference}: not in the cache ({constants.HF_HUB_CACHE}), and HF_HUB_OFFLINE forbids downloads; unset "
            "it, or give the folder of a copy"
        )
    return snapshot


def _listed(reference: Reference, info: Any) -> Snapshot:
    """Returns what the hub lists, after a check of the values that are used as names."""
    entries = {}
    for file in info.siblings or []:
        lfs = file.lfs
        digest = lfs.sha256 if lfs else file.blob_id
        size = lfs.size if lfs else file.size
        valid = isinstance(digest, str) and re.fullmatch(r"[0-9a-f]{64}" if lfs else r"[0-9a-f]{40}", digest)
        entries[str(file.rfilename)] = Entry(size if type(size) is int else None, digest if valid else None)
    if not isinstance(info.sha, str) or not COMMIT.fullmatch(info.sha):
        raise Problem(f"{reference}: {host()} does not state the commit; check HF_ENDPOINT")
    return Snapshot(reference, info.sha, entries, False)


def storage(reference: Reference) -> Path:
    return Path(constants.HF_HUB_CACHE) / f"models--{reference.owner}--{reference.name}"


def remember(snapshot: Snapshot) -> None:
    """Notes in the cache which commit the revision is, as huggingface_hub does, so that it is found offline."""
    if snapshot.reference.revision != snapshot.commit:
        ref = storage(snapshot.reference) / "refs" / snapshot.reference.revision
        with sentences(snapshot.reference):
            ref.parent.mkdir(parents=True, exist_ok=True)
            ref.write_text(snapshot.commit, encoding="utf-8")


def _cached(reference: Reference) -> Snapshot | None:
    """Returns the files of a revision in the cache, or None if it has no complete weights."""
    commit = reference.revision
    if not COMMIT.fullmatch(commit):
        ref = storage(reference) / "refs" / reference.revision
        commit = ref.read_text(encoding="utf-8").strip() if ref.is_file() else ""
    if not COMMIT.fullmatch(commit):
        return None
    entries = {}
    for file in (storage(reference) / "snapshots" / commit).glob("*"):
        if file.is_file():
            # The cache names large files by their SHA-256.
            blob = file.resolve().name
            entries[file.name] = Entry(file.stat().st_size, blob if re.fullmatch(r"[0-9a-f]{64}", blob) else None)
    complete = any(stem in entries or f"{stem}.index.json" in entries for stem in WEIGHTS)
    return Snapshot(reference, commit, entries, True) if complete else None
