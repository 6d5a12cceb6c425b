"""Reads the word lists of the demo model: lexicon phrases, categories and background categories."""

from pathlib import Path

from ..problem import Problem, naming


def read_list(path: Path) -> list[str]:
    """Returns the lines of a word list without empty lines, comments (#) and duplicates."""
    with naming(path):
        lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
    return list(dict.fromkeys(line for line in lines if line and not line.startswith("#")))


def lexicon(folder: Path) -> list[str]:
    """Returns all phrases of the lists in `folder`, sorted, so that the order of files does not matter.

    Phrases that differ only in case or a leading article are one phrase: the first one is used.
    """
    phrases = sorted({p for file in sorted(folder.glob("*.txt")) for p in read_list(file)})
    if not phrases:
        raise Problem(f"--lexicon {folder}: no phrases; name a folder with word lists (*.txt)")
    unique: dict[str, str] = {}
    for p in phrases:
        unique.setdefault(key(p), p)
    return list(unique.values())


def key(phrase: str) -> str:
    """Returns what two spellings of a phrase have in common."""
    words = phrase.lower().split()
    return " ".join(words[1:] if words[0] in ("a", "an", "the") and len(words) > 1 else words)


def categories(folder: Path) -> tuple[list[str], list[str]]:
    """Returns the activities and the background categories, from `folder`/categories."""
    return read_list(folder / "categories" / "activities.txt"), read_list(folder / "categories" / "background.txt")
