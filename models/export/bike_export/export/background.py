"""Chooses the background of a bundle: what is there when nothing happens."""

from pathlib import Path

from ..problem import Problem, shorten
from ..text.lists import read_lexicon

DEFAULT = Path(__file__).resolve().parents[3] / "lexicon" / "categories" / "background.txt"
NONE = "none"


def choose(given: str | None, labels: list[str], phrases: list[str], any_text: bool) -> list[str]:
    """Returns the background categories: names in a file or separated by commas, or the demo model's by default.

    A name is a label or a lexicon phrase, or any text if the bundle has a text tower. Others of the default list are
    left out.
    """
    known = {*labels, *phrases}
    if given == NONE:
        return []
    if given is None:
        default = read_lexicon(DEFAULT) if DEFAULT.is_file() else []
        return [name for name in default if any_text or name in known]
    if Path(given).is_file():
        names = read_lexicon(Path(given))
    else:
        names = [name.strip() for name in given.split(",") if name.strip()]
    if not names or len(set(names)) != len(names):
        raise Problem(f"--background {given!r}: no names, or one twice; separate names by commas, or give {NONE}")
    unknown = [name for name in names if name not in known]
    if unknown and not any_text:
        raise Problem(
            f"--background: neither labels nor lexicon phrases: {shorten(unknown)}; add them to --lexicon, or add "
            "--keep-text, with which any text can be one"
        )
    return names
