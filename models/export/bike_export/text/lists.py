"""Label lists (CSV, `id,name`) and lexicons (a phrase a line), read strictly: an error names file and line."""

import csv
import unicodedata
from pathlib import Path

from .tokenizer import tokenize

MOST_BYTES = 512  # of a name, as the program reads them


def _text(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as e:
        raise ValueError(f"{path}: not UTF-8 text (byte {e.start})") from e


def _checked(path: Path, at: int, name: str, seen: dict[str, int]) -> str:
    """A name that can stand on a line of a list, once."""
    name = name.strip()
    if not name:
        raise ValueError(f"{path}, line {at}: the name is blank")
    if any(unicodedata.category(c) in ("Cc", "Zl", "Zp") or c == "\ufeff" for c in name):
        raise ValueError(f"{path}, line {at}: {name!r} has a control character")
    if len(name.encode()) > MOST_BYTES:
        raise ValueError(f"{path}, line {at}: {name[:40]!r}... has more than {MOST_BYTES} bytes")
    if name in seen:
        raise ValueError(f"{path}, line {at}: {name!r} is there already, on line {seen[name]}")
    seen[name] = at
    return name


def read_labels(path: Path) -> list[str]:
    """Names in order of the list. Header `id,name`; ids count from 0, as the scores do."""
    path = Path(path)
    rows = csv.reader(_text(path).splitlines(), strict=True)
    try:
        head = next(rows, None)
        if head is None or [c.strip() for c in head] != ["id", "name"]:
            found = "nothing" if head is None else ",".join(head)
            raise ValueError(f"{path}: the first line must be `id,name`, and is `{found}`")
        names: list[str] = []
        seen: dict[str, int] = {}
        for row in rows:
            at = rows.line_num
            if not row:
                raise ValueError(f"{path}, line {at}: blank")
            if len(row) != 2:
                raise ValueError(f"{path}, line {at}: {len(row)} columns, not 2 (a name with a comma needs quotes)")
            if row[0].strip() != str(len(names)):
                raise ValueError(f"{path}, line {at}: id {row[0]!r} where {len(names)} is next")
            names.append(_checked(path, at, row[1], seen))
    except csv.Error as e:
        raise ValueError(f"{path}, line {rows.line_num}: {e}") from e
    if not names:
        raise ValueError(f"{path}: no labels")
    return names


def read_lexicon(path: Path) -> list[str]:
    """Phrases, one a line; lines that start with # are notes."""
    path = Path(path)
    seen: dict[str, int] = {}
    lines = [(at, line) for at, line in enumerate(_text(path).splitlines(), 1) if not line.startswith("#")]
    phrases = [_checked(path, at, line, seen) for at, line in lines]
    if not phrases:
        raise ValueError(f"{path}: an empty lexicon")
    if len(phrases) < 2:
        raise ValueError(f"{path}: a lexicon of one phrase, which would be found in every frame: add others")
    return phrases


def refuse_same(path: Path, names: list[str], prompt: str) -> None:
    """Names whose tokens are equal are one text to the model: case and spaces do not tell them apart."""
    first: dict[bytes, str] = {}
    for name, row in zip(names, tokenize([prompt.replace("{}", n) for n in names])):
        if (same := first.setdefault(row.tobytes(), name)) != name:
            raise ValueError(f"{path}: {same!r} and {name!r} are the same text to the model: leave one out")


def read_prompts(prompts: list[str] | None) -> list[str]:
    """Prompts with one `{}` each; BIKE's when none is given."""
    prompts = prompts or ["This is a video about {}"]
    for prompt in prompts:
        if prompt.count("{}") != 1:
            raise ValueError(f"prompt {prompt!r}: needs {{}} once, where the name goes")
    return prompts
