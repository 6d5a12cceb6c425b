"""Reads label lists (CSV, `id,name`) and lexicons (one phrase per line). Problems name the file and the line."""

import csv
import unicodedata
from pathlib import Path

from ..problem import Problem, naming
from .tokenizer import encode, tokenize

MAX_BYTES = 512  # of a name, the limit of bike-edge


def _read_lines(path: Path) -> list[str]:
    with naming(path):
        return path.read_bytes().decode("utf-8-sig").splitlines()


def _checked_name(path: Path, line: int, name: str, lines: dict[str, int]) -> str:
    """Returns a name without outer white space, and refuses one that bike-edge would refuse.

    `lines` records the line of each name, to find repeated ones.
    """
    name = name.strip()
    where = f"{path}, line {line}"
    if not name:
        raise Problem(f"{where}: the name is empty; write a name or remove the line")
    if any(unicodedata.category(c) in ("Cc", "Zl", "Zp") or c == "\ufeff" for c in name):
        raise Problem(f"{where}: {name!r} has a control character; remove it")
    if len(name.encode()) > MAX_BYTES:
        raise Problem(f"{where}: {name[:40]!r}... has more than {MAX_BYTES} bytes; shorten it")
    if not encode(name):
        raise Problem(f"{where}: the name {name!r} is empty to the model, which removes white space; write a name")
    if name in lines:
        raise Problem(f"{where}: {name!r} is also on line {lines[name]}; remove one of them")
    lines[name] = line
    return name


def read_labels(path: Path) -> list[str]:
    """Returns the names in the order of the list. Its header is `id,name`; ids count from 0, as the scores do."""
    path = Path(path)
    rows = csv.reader(_read_lines(path), strict=True)
    try:
        header = next(rows, None)
        if header is None or [c.strip() for c in header] != ["id", "name"]:
            found = "the file is empty" if header is None else f"the first line is `{','.join(header)}`"
            raise Problem(f"{path}: {found}; the first line must be `id,name`")
        names: list[str] = []
        lines: dict[str, int] = {}
        for row in rows:
            where = f"{path}, line {rows.line_num}"
            if not row:
                raise Problem(f"{where}: the line is empty; remove it")
            if len(row) != 2:
                raise Problem(f"{where}: {len(row)} columns, not 2; put a name with a comma in quotes")
            if row[0].strip() != str(len(names)):
                raise Problem(f"{where}: id {row[0]!r} where {len(names)} is next; number the labels from 0")
            names.append(_checked_name(path, rows.line_num, row[1], lines))
    except csv.Error as e:
        raise Problem(f"{path}, line {rows.line_num}: not valid CSV ({e}); correct the quotes") from e
    if not names:
        raise Problem(f"{path}: no labels; add lines such as `0,a name` below the header")
    return names


def read_lexicon(path: Path) -> list[str]:
    """Returns the phrases of a lexicon. Lines that start with # are comments."""
    path = Path(path)
    lines: dict[str, int] = {}
    numbered = enumerate(_read_lines(path), 1)
    phrases = [_checked_name(path, number, line, lines) for number, line in numbered if not line.startswith("#")]
    if len(phrases) < 2:
        raise Problem(
            f"{path}: {len(phrases)} phrases; a lexicon needs 2 at least, or every frame resembles the same one"
        )
    return phrases


def refuse_same_text(path: Path, names: list[str], prompt: str) -> None:
    """Refuses names with equal tokens: the model ignores case and repeated spaces, so they are one text to it."""
    first: dict[bytes, str] = {}
    for name, row in zip(names, tokenize([prompt.replace("{}", n) for n in names]), strict=True):
        if (same := first.setdefault(row.tobytes(), name)) != name:
            raise Problem(f"{path}: {same!r} and {name!r} are the same text to the model; remove one of them")


def read_prompts(prompts: list[str] | None) -> list[str]:
    """Returns the prompts, or BIKE's if there are none. Each must contain `{}` once."""
    prompts = prompts or ["This is a video about {}"]
    for prompt in prompts:
        if prompt.count("{}") != 1:
            raise Problem(f"--prompt {prompt!r}: needs {{}} once; put it where the name belongs")
    return prompts
