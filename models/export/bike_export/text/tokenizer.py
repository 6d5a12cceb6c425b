"""Implements CLIP's tokenizer: byte-pair encoding of cleaned, lower-case text (Radford et al. 2021, section 2.4).

Text is repaired (ftfy), HTML entities are decoded twice, white space is collapsed, and letters become lower case. The
text is then split into words, single digits and runs of other characters, and the bytes of each are merged by rank.
"""

import html
import itertools
from functools import lru_cache

import ftfy
import numpy as np
import regex

from ..problem import Problem
from .vocabulary import merges

WORDS = regex.compile(
    r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|\p{L}+|\p{N}|[^\s\p{L}\p{N}]+", regex.IGNORECASE
)


class TooLong(Problem):
    """A text with more tokens than the model has positions."""


@lru_cache
def byte_letters() -> dict[int, str]:
    """Returns a printable letter for each byte: the byte itself if it prints, else the next letter from U+0100 on."""
    plain = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    letters = {b: chr(b) for b in plain}
    for b in range(256):
        if b not in letters:
            letters[b] = chr(256 + len(letters) - len(plain))
    return letters


@lru_cache
def pieces() -> dict[str, int]:
    """Returns the token number of each piece: bytes (in the order of `byte_letters`), bytes at a word's end, merges."""
    letters = list(byte_letters().values())
    names = letters + [x + "</w>" for x in letters] + ["".join(m) for m in merges()]
    return {name: i for i, name in enumerate([*names, "<|startoftext|>", "<|endoftext|>"])}


@lru_cache
def ranks() -> dict[tuple[str, str], int]:
    """Returns the rank of each merge. The lowest rank is merged first."""
    return {pair: i for i, pair in enumerate(merges())}


@lru_cache(maxsize=65536)
def word_tokens(word: str) -> tuple[int, ...]:
    """Returns the token numbers of one word. The pair of lowest rank is merged everywhere until no pair is left."""
    if word in ("<|startoftext|>", "<|endoftext|>"):
        return (pieces()[word],)
    parts = [byte_letters()[b] for b in word.encode("utf-8")]
    parts[-1] += "</w>"
    order = ranks()
    while len(parts) > 1:
        best = min(itertools.pairwise(parts), key=lambda pair: order.get(pair, len(order)))
        if best not in order:
            break
        merged, i = [], 0
        while i < len(parts):
            pair = tuple(parts[i : i + 2])
            merged.append("".join(pair) if pair == best else parts[i])
            i += 2 if pair == best else 1
        parts = merged
    return tuple(pieces()[p] for p in parts)


def clean(text: str) -> str:
    """Returns the text as CLIP reads it."""
    text = html.unescape(html.unescape(ftfy.fix_text(text)))
    return regex.sub(r"\s+", " ", text).strip().lower()


def encode(text: str) -> list[int]:
    """Returns the token numbers of a text, without the marks of start and end."""
    return [token for word in WORDS.findall(clean(text)) for token in word_tokens(word)]


def tokenize(texts: list[str], context: int = 77) -> np.ndarray:
    """Returns token numbers [n, context] i64: start mark, text, end mark, zeros. A text that is too long is refused."""
    start, end = pieces()["<|startoftext|>"], pieces()["<|endoftext|>"]
    tokens = np.zeros((len(texts), context), np.int64)
    for row, text in zip(tokens, texts, strict=True):
        ids = [start, *encode(text), end]
        if len(ids) > context:
            raise TooLong(f"text {text!r}: has {len(ids)} tokens, and at most {context} fit; shorten it")
        row[: len(ids)] = ids
    return tokens
