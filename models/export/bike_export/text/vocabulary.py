"""Reads CLIP's vocabulary, the merges of its byte-pair encoding, from a pinned package and checks its hash.

OpenAI published it under MIT with CLIP; the package clip-anytorch contains the same file. Only that file is read:
the code of the package is not imported.
"""

import gzip
import hashlib
from functools import lru_cache
from importlib import metadata
from pathlib import Path

from ..problem import Problem

PACKAGE, FILE = "clip-anytorch", "clip/bpe_simple_vocab_16e6.txt.gz"
SHA256 = "924691ac288e54409236115652ad4aa250f48203de50a9e4722a6ecd48d6804a"
# 49408 tokens are 256 bytes, 256 bytes at the end of a word, the merges, and the marks of start and end.
MERGES = 49152 - 256 - 2


@lru_cache
def merges() -> list[tuple[str, str]]:
    """Returns the merges in order of rank: pairs of pieces without spaces, in which `</w>` is the end of a word."""
    try:
        path = Path(str(metadata.distribution(PACKAGE).locate_file(FILE)))
        packed = path.read_bytes()
    except (metadata.PackageNotFoundError, OSError) as e:
        raise Problem(f"Python package {PACKAGE}: CLIP's vocabulary is missing; run `make export-env`") from e
    if hashlib.sha256(packed).hexdigest() != SHA256:
        raise Problem(f"{path}: not CLIP's vocabulary (its sha256 differs); install {PACKAGE} again")
    lines = gzip.decompress(packed).decode("utf-8").split("\n")[1 : MERGES + 1]
    return [(left, right) for left, right in (line.split() for line in lines)]


def tokenizer_text() -> str:
    """Returns tokenizer.txt of a bundle: one merge `left right` per line, in order of rank."""
    return "".join(f"{left} {right}\n" for left, right in merges())
