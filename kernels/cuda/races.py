"""Races in shared memory, found between barriers.

Every access of an interval is written down as three integers: where (`address * 128 + size`, in bytes), who (the thread's
stamp plus the kind of access) and the site in the source. At the barrier the whole interval is judged at once by NumPy:
that costs a tenth of asking at each access.

Two accesses to a cell race if different threads made them, at least one wrote, not both were atomic, and no ordering of
their common warp (a syncwarp or shuffle that both took part in) came between.
"""

from typing import NamedTuple

import numpy as np

from .execution import INTERNAL, SharedMemoryRace, at_line, current

INTERNAL.add(__file__)
READ, WRITE, ATOMIC = 0, 1, 2
_VERBS = ("read", "written", "changed atomically")


class Access(NamedTuple):
    """One entry of the log."""

    address: int
    stamp: int
    site: int

    @property
    def thread(self) -> int:
        """The thread's number in its block."""
        return self.stamp >> 24

    @property
    def kind(self) -> int:
        """READ, WRITE or ATOMIC."""
        return self.stamp & 3

    @property
    def moment(self) -> int:
        """How many orderings its warp had seen."""
        return (self.stamp >> 2) & 0x3FFFFF


def _ordered(first: Access, second: Access, orderings: list[list[int]]) -> bool:
    warp = first.thread // 32
    if warp != second.thread // 32:
        return False
    both = 1 << first.thread % 32 | 1 << second.thread % 32
    early, late = sorted((first.moment, second.moment))
    return any(mask & both == both for mask in orderings[warp][early:late])


def _race_among(accesses: list[Access], orderings: list[list[int]]) -> tuple[Access, Access] | None:
    """The first racing pair of one cell's accesses."""
    for i, second in enumerate(accesses):
        for first in accesses[:i]:
            kinds = first.kind, second.kind
            if first.thread == second.thread or kinds == (READ, READ) or kinds == (ATOMIC, ATOMIC):
                continue
            if not _ordered(first, second, orderings):
                return first, second
    return None


def find_race(log: list[int], orderings: list[list[int]]) -> tuple[Access, Access] | None:
    """A racing pair among the accesses of one interval, None if there is none."""
    where, who, site = np.array(log, np.int64).reshape(-1, 3).T
    address, size, kind = where >> 7, where & 127, who & 3
    if not kind.any():
        return None
    odd = int(np.bitwise_or.reduce(address | size))
    unit = 4 if not odd & 3 else 2 if not odd & 1 else 1
    counts = size // unit
    row = np.repeat(np.arange(len(where)), counts)
    cell = address[row] // unit + np.arange(len(row)) - (np.cumsum(counts) - counts)[row]
    cell -= cell.min()
    thread = (who >> 24)[row]
    lowest, highest = np.full(cell.max() + 1, 1 << 30), np.zeros(cell.max() + 1, np.int64)
    np.minimum.at(lowest, cell, thread)
    np.maximum.at(highest, cell, thread)
    written, plain = np.zeros(len(lowest), np.bool_), np.zeros(len(lowest), np.bool_)
    written[cell[kind[row] != READ]] = True
    plain[cell[kind[row] != ATOMIC]] = True
    doubtful = np.flatnonzero((written & plain & (lowest != highest))[cell])
    if not len(doubtful):
        return None
    doubtful = doubtful[np.argsort(cell[doubtful], kind="stable")]
    for group in np.split(doubtful, np.flatnonzero(np.diff(cell[doubtful])) + 1):
        accesses = [Access(int(address[row[i]]), int(who[row[i]]), int(site[row[i]])) for i in group]
        race = _race_among(list(dict.fromkeys(accesses)), orderings)
        if race:
            return race
    return None


def check_races(threads: list) -> None:
    """Judge the interval that ends here and begin the next; raises SharedMemoryRace."""
    log = current.log
    if not log:
        return
    race = find_race(log, current.orderings)
    log.clear()
    if race is None:
        return
    first, second = race
    place = current.shared.describe(max(first.address, second.address))
    before, after = (
        f"{_VERBS[access.kind]} by thread {threads[access.thread].position} at {at_line(access.site)}" for access in race
    )
    raise SharedMemoryRace(
        f"kernel {current.name}, block {current.block}: {place} is {before}, and {after}, with no barrier between"
    )
