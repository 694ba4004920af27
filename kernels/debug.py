"""`GRADLOOM_DEBUG=n`: what happens below, on standard error.

1 devices and compilations; 2 also every launch with microseconds, GB/s and GFLOP/s; 3 also the generated source; 4 also
the graph of every backward pass.
"""

import os
import sys


def _level() -> int:
    text = os.environ.get("GRADLOOM_DEBUG", "0").strip() or "0"
    if not text.isdigit():
        raise ValueError(f"GRADLOOM_DEBUG: expected 0, 1, 2, 3 or 4, got {text!r}")
    return int(text)


DEBUG = _level()


def say(level: int, text: str) -> None:
    """Print `text` where the level asked for is at least `level`."""
    if level <= DEBUG:
        print(f"[gradloom] {text}", file=sys.stderr, flush=True)
