"""Word lists of the demo model: lexicon phrases, categories and the background group, from text files."""

from pathlib import Path


def read_list(path: Path) -> list[str]:
    """Lines of a word list, without blank lines, comments (#) and doubles."""
    lines = (line.strip() for line in path.read_text(encoding="utf-8").splitlines())
    return list(dict.fromkeys(line for line in lines if line and not line.startswith("#")))


def lexicon(folder: Path) -> list[str]:
    """All phrases of the lists in `folder`, sorted, so that the order of files does not matter.

    Phrases that differ only in case or a leading article are one phrase; the first of them in the order is kept.
    """
    phrases = sorted({p for file in sorted(folder.glob("*.txt")) for p in read_list(file)})
    if not phrases:
        raise FileNotFoundError(f"no phrases in {folder}: it should hold word lists (*.txt)")
    kept: dict[str, str] = {}
    for p in phrases:
        kept.setdefault(key(p), p)
    return list(kept.values())


def key(phrase: str) -> str:
    """What two spellings of one phrase have in common."""
    words = phrase.lower().split()
    return " ".join(words[1:] if words[0] in ("a", "an", "the") and len(words) > 1 else words)


def categories(folder: Path) -> tuple[list[str], list[str]]:
    """The activities and the background group, from `folder`/categories."""
    return read_list(folder / "categories" / "activities.txt"), read_list(folder / "categories" / "background.txt")
