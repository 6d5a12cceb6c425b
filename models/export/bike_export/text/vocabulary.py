"""CLIP's vocabulary: the list of merges of its byte-pair encoding, from a pinned package, checked by hash.

OpenAI published it under MIT with CLIP; the package clip-anytorch carries the same file. Only that file is read:
the package's own code is not imported.
"""

import gzip
import hashlib
from functools import lru_cache
from importlib import metadata
from pathlib import Path

PACKAGE, FILE = "clip-anytorch", "clip/bpe_simple_vocab_16e6.txt.gz"
SHA256 = "924691ac288e54409236115652ad4aa250f48203de50a9e4722a6ecd48d6804a"
# 256 bytes, the same as ends of words, the merges, and the two marks make 49408 tokens.
MERGES = 49152 - 256 - 2


@lru_cache
def merges() -> list[tuple[str, str]]:
    """The merges in order of rank: pairs of pieces, a space-free text each, `</w>` standing for the end of a word."""
    try:
        path = Path(str(metadata.distribution(PACKAGE).locate_file(FILE)))
        packed = path.read_bytes()
    except (metadata.PackageNotFoundError, OSError) as e:
        raise FileNotFoundError(
            f"CLIP's vocabulary is not there ({e}): run `make export-env`, which installs {PACKAGE}"
        ) from e
    if hashlib.sha256(packed).hexdigest() != SHA256:
        raise ValueError(f"{path} is not CLIP's vocabulary (its sha256 differs): reinstall {PACKAGE}")
    lines = gzip.decompress(packed).decode("utf-8").split("\n")[1 : MERGES + 1]
    return [(left, right) for left, right in (line.split() for line in lines)]


def tokenizer_text() -> str:
    """tokenizer.txt of a bundle: a merge a line, `left right`, in order of rank."""
    return "".join(f"{left} {right}\n" for left, right in merges())
