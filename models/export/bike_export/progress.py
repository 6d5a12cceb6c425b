"""Progress lines on standard error, with the time of day and, for long steps, the time that is left."""

import sys
import time
from collections.abc import Callable


def log(text: str) -> None:
    """Prints one progress line."""
    print(f"[{time.strftime('%H:%M:%S')}] {text}", file=sys.stderr, flush=True)


def progress_of(step: str, interval_s: float = 5.0) -> Callable[[int, int], None]:
    """Returns a function of (done, total) that logs the progress of a step every few seconds.

    Steps that finish within the first interval log nothing.
    """
    start = last = time.monotonic()

    def report(done: int, total: int) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= interval_s and done < total:
            last = now
            left = (now - start) / done * (total - done)
            log(f"{step}: {done} of {total}, about {left:.0f} s left")

    return report
