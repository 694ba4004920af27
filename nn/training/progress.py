"""A bar that shows how far an epoch is, by tqdm; nothing where nobody looks."""

from __future__ import annotations

import sys
from typing import Any, Self


class Progress:
    """A context manager around a loop over batches.

    Args:
        wanted: True for a bar (tqdm must be installed), False for none, None for one where standard error is a terminal
            and tqdm is installed.
        title: what is being done.
        loader: its length is the end, if it has one.
        done: batches that are done already.
    """

    def __init__(self, wanted: bool | None, title: str, loader: Any, done: int = 0) -> None:
        self._bar: Any = None
        if wanted is False or (wanted is None and not (sys.stderr is not None and sys.stderr.isatty())):
            return
        try:
            from tqdm import tqdm
        except ImportError as error:
            if wanted:
                raise ImportError("progress=True needs the package tqdm: pip install 'gradloom[train]'") from error
            return
        try:
            total = len(loader)
        except (TypeError, NotImplementedError):
            total = None
        self._bar = tqdm(desc=title, total=total, initial=done, leave=False, unit="batch")

    def advance(self, batches: int, **numbers: float) -> None:
        """Show that so many batches more are done, and some numbers."""
        if self._bar is not None:
            self._bar.update(batches)
            if numbers:
                self._bar.set_postfix({name: f"{value:.4g}" for name, value in numbers.items()}, refresh=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        if self._bar is not None:
            self._bar.close()
