"""Chooses, downloads and loads the files of a checkpoint in a repository."""

import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from huggingface_hub.utils import logging as hub_logging

from ..checkpoint import Checkpoint, container, load
from ..checkpoint.folder_config import read_config
from ..problem import Problem, shorten
from ..progress import log
from .download import MAX_TEXT, MAX_WEIGHTS, check_space, fetch
from .licence import licence_of
from .listing import WEIGHTS, Snapshot, remember, resolve
from .reference import parse
from .sentences import host

CARD = "README.md"
PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")
MAX_PARTS = 64


def load_from_hub(text: str, activation: str | None) -> Checkpoint:
    """Downloads and loads a checkpoint. Every file is checked, and logged with its size and SHA-256."""
    reference = parse(text)
    hub_logging.set_verbosity(hub_logging.CRITICAL)  # its messages contain addresses with signatures
    snapshot = resolve(reference)
    log(f"{reference}: commit {snapshot.commit}" + (" from the cache" if snapshot.cached else f" of {host()}"))
    with tempfile.TemporaryDirectory(prefix="bike-export-") as temporary:
        # Only the checked files are in this folder; the cache may contain others of the same commit.
        folder = Path(temporary) / reference.name
        folder.mkdir()

        def take(name: str, limit: int) -> None:
            (folder / name).symlink_to(fetch(snapshot, name, limit))

        try:
            index, weights = _choose(snapshot, folder, take)
            if not weights:
                _refuse_without_weights(snapshot)
            if index:
                take(index, MAX_TEXT)
                weights = _parts(snapshot, folder / index)
            check_space(snapshot, weights)
            licence = _licence(snapshot)
            log(f"{reference}: licence {licence}" if licence else f"{reference}: states no licence; see --licence")
            for name in weights:
                take(name, MAX_WEIGHTS)
            checkpoint = load(folder, activation)
        except Problem as problem:
            raise Problem(str(problem).replace(str(folder), str(reference))) from problem
    if not snapshot.cached:
        remember(snapshot)
    source = f"{reference.repository} at commit {snapshot.commit}"
    return replace(checkpoint, path=Path(str(reference)), source=source, licence=licence)


def _choose(snapshot: Snapshot, folder: Path, take: Callable[[str, int], None]) -> tuple[str | None, list[str]]:
    """Puts the configuration of supported weights into the folder, and returns index and weights.

    Both forms of a CLIP may be in one repository; Hugging Face's is used unless only OpenCLIP's is supported.
    """
    refusal: Problem | None = None
    for stem, configuration in WEIGHTS.items():
        index = f"{stem}.index.json"
        if configuration not in snapshot.entries:
            continue
        names = [n for n in (configuration, "preprocessor_config.json") if n in snapshot.entries]
        for name in names:
            take(name, MAX_TEXT)
        try:
            read_config(folder)
        except Problem as problem:
            refusal = refusal or problem
        else:
            if stem in snapshot.entries:
                return None, [stem]
            if index in snapshot.entries:
                return index, [index]
        for name in names:
            (folder / name).unlink()
    if refusal:
        raise refusal
    return None, []


def _refuse_without_weights(snapshot: Snapshot) -> None:
    where, names = snapshot.reference, snapshot.entries
    here = " in the cache" if snapshot.cached else ""
    if not any(n in names for n in WEIGHTS.values()):
        wanted = " or ".join(WEIGHTS.values())
        raise Problem(f"{where}: no {wanted}{here}, so that it is not a CLIP model; use another repository")
    if pickles := sorted(n for n in names if n.endswith(PICKLES)):
        raise Problem(
            f"{where}: its weights are only in files that can contain code ({shorten(pickles, 3)}), which are not "
            "downloaded; use a revision or a repository with model.safetensors, or download the file yourself and "
            "give its folder"
        )
    remedy = "download it with a network first" if snapshot.cached else "use another repository"
    raise Problem(f"{where}: no {' or '.join(WEIGHTS)}{here}; {remedy}")


def _parts(snapshot: Snapshot, index: Path) -> list[str]:
    """Returns the files that an index names. All must be safetensors in the repository's top folder."""
    named = container.read_json(index).get("weight_map")
    parts = sorted({str(p) for p in named.values()}) if isinstance(named, dict) else []
    if not parts or len(parts) > MAX_PARTS or any(p != Path(p).name or Path(p).suffix != ".safetensors" for p in parts):
        raise Problem(f"{index}: does not name 1 to {MAX_PARTS} safetensors files; use another repository")
    if missing := [p for p in parts if p not in snapshot.entries]:
        raise Problem(f"{index}: names files that are missing ({shorten(missing, 3)}); use another repository")
    return parts


def _licence(snapshot: Snapshot) -> str | None:
    """Returns the licence that the model card states, or None."""
    entry = snapshot.entries.get(CARD)
    if entry is None or (entry.size or 0) > MAX_TEXT:
        return None
    return licence_of(fetch(snapshot, CARD, MAX_TEXT).read_text(encoding="utf-8", errors="replace"))
