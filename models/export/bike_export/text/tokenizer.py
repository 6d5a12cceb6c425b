"""CLIP's tokenizer: byte-pair encoding over lower-cased, cleaned text (Radford et al. 2021, section 2.4).

Text is repaired (ftfy), HTML entities are read twice, white space is collapsed, and letters are lowered. Words,
single digits and runs of other signs are cut out, written as bytes, and their pieces merged by rank.
"""

import html
from functools import lru_cache

import ftfy
import numpy as np
import regex

from .vocabulary import merges

WORDS = regex.compile(
    r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|\p{L}+|\p{N}|[^\s\p{L}\p{N}]+", regex.IGNORECASE
)


class TooLong(ValueError):
    """A text that does not fit the model's positions."""


@lru_cache
def byte_letters() -> dict[int, str]:
    """A printable letter for each byte: itself where it prints, else one from U+0100 on, in order of value."""
    plain = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    letters = {b: chr(b) for b in plain}
    for b in range(256):
        if b not in letters:
            letters[b] = chr(256 + len(letters) - len(plain))
    return letters


@lru_cache
def pieces() -> dict[str, int]:
    """Token number of each piece. Bytes come in the order of `byte_letters`, then the same ending a word."""
    letters = list(byte_letters().values())
    names = letters + [x + "</w>" for x in letters] + ["".join(m) for m in merges()]
    return {name: i for i, name in enumerate([*names, "<|startoftext|>", "<|endoftext|>"])}


@lru_cache
def ranks() -> dict[tuple[str, str], int]:
    """Rank of each merge; the lowest is done first."""
    return {pair: i for i, pair in enumerate(merges())}


@lru_cache(maxsize=65536)
def word_tokens(word: str) -> tuple[int, ...]:
    """Token numbers of one word: the pair of lowest rank is merged everywhere, until no pair can be."""
    if word in ("<|startoftext|>", "<|endoftext|>"):
        return (pieces()[word],)
    parts = [byte_letters()[b] for b in word.encode("utf-8")]
    parts[-1] += "</w>"
    order = ranks()
    while len(parts) > 1:
        best = min(zip(parts, parts[1:]), key=lambda pair: order.get(pair, len(order)))
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
    """Text as CLIP reads it."""
    text = html.unescape(html.unescape(ftfy.fix_text(text)))
    return regex.sub(r"\s+", " ", text).strip().lower()


def encode(text: str) -> list[int]:
    """Token numbers of a text, without the marks of start and end."""
    return [token for word in WORDS.findall(clean(text)) for token in word_tokens(word)]


def tokenize(texts: list[str], context: int = 77) -> np.ndarray:
    """Token numbers [n, context] i64: start mark, text, end mark, zeros. Too long a text is an error, never cut."""
    start, end = pieces()["<|startoftext|>"], pieces()["<|endoftext|>"]
    tokens = np.zeros((len(texts), context), np.int64)
    for row, text in zip(tokens, texts):
        ids = [start, *encode(text), end]
        if len(ids) > context:
            raise TooLong(f"{text!r} takes {len(ids)} tokens and {context} fit: shorten it")
        row[: len(ids)] = ids
    return tokens
