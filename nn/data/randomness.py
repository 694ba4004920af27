"""Random numbers for a sample: the same whichever thread loads it, and whenever."""

from __future__ import annotations

import hashlib
from contextvars import ContextVar

from kernels.random import Generator, default_generator


class SampleSource:
    """Where a sample stands: the seed of its loader, the number of the pass, and its place in the pass."""

    __slots__ = ("_generator", "_place")

    def __init__(self, seed: int, number: int, position: int) -> None:
        self._place, self._generator = (seed, number, position), None

    def generator(self) -> Generator:
        """The sample's own generator, made when it is first asked for."""
        if self._generator is None:
            digest = hashlib.sha256(repr(self._place).encode()).digest()
            self._generator = Generator(int.from_bytes(digest[:8], "little"))
        return self._generator


CURRENT: ContextVar[SampleSource | None] = ContextVar("sample", default=None)


def sample_generator() -> Generator:
    """The generator that belongs to the sample being loaded; outside a `DataLoader`, the default generator.

    It is made from the seed of the loader's generator, the number of the pass and the place of the sample in it (SHA-256).
    So what is drawn does not depend on the number of workers, differs from pass to pass, and is the same again when an
    interrupted pass is resumed. An `IterableDataset` has one generator for a pass.
    """
    source = CURRENT.get()
    return default_generator if source is None else source.generator()
