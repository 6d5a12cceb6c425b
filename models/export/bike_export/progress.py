"""Progress lines on standard error: when, what, and for long work how far."""

import sys
import time
from collections.abc import Callable


def say(text: str) -> None:
    """One line."""
    print(f"[{time.strftime('%H:%M:%S')}] {text}", file=sys.stderr, flush=True)


def counter(what: str, every_s: float = 5.0) -> Callable[[int, int], None]:
    """A function of (done, total) that says a line every few seconds, and none for work that is soon done."""
    start = last = time.monotonic()

    def report(done: int, total: int) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= every_s and done < total:
            last = now
            left = (now - start) / done * (total - done)
            say(f"{what}: {done} of {total}, about {left:.0f} s left")

    return report
