"""What is wrong with a checkpoint, in one sentence for people."""


class BadCheckpoint(ValueError):
    """A file that is not a checkpoint this program can use. The message names the file and the remedy."""


def some(names: list[str], limit: int = 6) -> str:
    """The first few of many names."""
    shown = ", ".join(names[:limit])
    return shown if len(names) <= limit else f"{shown} and {len(names) - limit} more"
