"""Device memory for arrays: a caching allocator whose pieces belong to streams. What it lends is a `Block`.

Asking the driver for memory takes microseconds to milliseconds, giving it back waits for the device. So memory is asked for
in slabs, cut into pieces, and a piece that comes back is kept for the next request of the same stream: there it needs no
waiting, since whatever still reads it was queued on that stream before whatever will write it. A piece that several
streams have used goes to the one that used it last, which first waits for the others.

In the simulator every request has memory of its own, of exactly its size and full of NaN, so that a kernel that reads
beyond an array, or what nobody has written, is seen.
"""

from __future__ import annotations

import gc
import os
import threading
import weakref
from bisect import bisect_left, insort
from collections import deque
from typing import Any

from kernels.cuda.blocks import Block, Keeper, device_name

MIB = 1 << 20
ROUNDING = 512  # bytes: sizes are multiples of this, and so are addresses
SMALL_REQUEST, SMALL_SLAB = MIB, 2 * MIB
LARGE_REQUEST, LARGE_SLAB = 10 * MIB, 20 * MIB  # larger requests get slabs of their own
OWN_SLAB_ROUNDING = 2 * MIB
POISON_BYTE = 0xFF  # as any float a NaN, as an integer -1 (or the largest unsigned), as a bool neither 0 nor 1
_FORKED = (
    "CUDA cannot be used in a forked process: the parent's device memory and streams do not exist there; "
    "use the spawn start method (multiprocessing.get_context('spawn'))"
)


class Poison:
    """Whether new blocks are filled with NaN."""

    on = False


class OutOfMemory(Exception):
    """The device has no room: what a runtime's `allocate` raises, before the cache was flushed. Internal."""


class OutOfMemoryError(MemoryError):
    """Device memory ran out, with the cache already given back: the message says by how much and what would help."""


class _Piece:
    """A part of a slab, free or lent, and its neighbours there. A slab is its pieces: the first has no `previous`."""

    __slots__ = ("asked", "free", "next", "pointer", "pool", "previous", "size", "small")

    def __init__(self, pointer: int, size: int, small: bool) -> None:
        self.pointer, self.size, self.small = pointer, size, small
        self.asked = size  # by who has it or had it last: less than its size where the rest was too little to be cut off
        self.free = False
        self.pool: Any = None  # the stream it is kept for while it is free
        self.previous: _Piece | None = None
        self.next: _Piece | None = None


class CachingAllocator:
    """The memory of one device. All counts are in bytes, in whole pieces.

    runtime: what talks to the device (`kernels.cuda.runtime`); device: its number.
    """

    def __init__(self, runtime: Any, device: int = 0) -> None:
        self.runtime, self.device, self.name = runtime, device, device_name(device)
        self.exact = bool(runtime.is_simulated)
        self._keeper: Keeper | None = getattr(runtime, "keeper", None)
        self.forked = False
        self._allocated = self._peak = self._reserved = 0
        self._slabs: dict[int, tuple[_Piece, int]] = {}  # by address: the first piece, and the slab's size
        # Free pieces by (stream, small), each list sorted by size and address.
        self._free: dict[tuple[Any, bool], list[tuple[int, int, _Piece]]] = {}
        self._recent: dict[tuple[Any, int], list[_Piece]] = {}  # by (stream, bytes asked): came back, not yet merged
        self._returned: deque[tuple[_Piece, Any, set | None]] = deque()
        self._lock = threading.RLock()
        _all.add(self)

    # --- lending -------------------------------------------------------------------------------------------------------

    def allocate(self, nbytes: int, stream: Any) -> Block:
        """A block of uninitialised memory for work on `stream`.

        Raises:
            OutOfMemoryError: the device has no room, not even with the cache given back.
        """
        if self.forked:
            raise RuntimeError(_FORKED)
        if self._keeper is not None:
            self._keeper.settle()
        block = Block(self.runtime, 0, nbytes, self.device, stream, self)
        if nbytes == 0:
            return block
        size = nbytes if self.exact else -(-nbytes // ROUNDING) * ROUNDING
        try:
            piece = self._take(size, stream, self._slab_size(size))
        except (OutOfMemory, MemoryError):
            piece = self._take_after_flush(nbytes, size, stream)
        block.pointer, block.returned, block.piece = piece.pointer, self._returned, piece
        if Poison.on or self.exact:
            self.runtime.fill_bytes(piece.pointer, POISON_BYTE, nbytes, stream)
        return block

    def _take(self, size: int, stream: Any, slab_size: int) -> _Piece:
        small = size <= SMALL_REQUEST
        with self._lock:
            if self._returned:
                self._take_back()
            recent = self._recent.get((stream, size))
            piece = recent.pop() if recent else self._best_fit(size, small, stream, slab_size)
            self._allocated += piece.size
            if self._allocated > self._peak:
                self._peak = self._allocated
        return piece

    def _best_fit(self, size: int, small: bool, stream: Any, slab_size: int) -> _Piece:
        """A piece cut from the smallest free one that is large enough, or from a new slab."""
        self._merge_recent()
        free = self._free.get((stream, small))
        index = bisect_left(free, (size,)) if free else 0
        if free and index < len(free):
            piece = free.pop(index)[2]
            piece.free = False
        else:
            piece = self._new_slab(slab_size, small)
        if piece.size - size >= (ROUNDING if small else SMALL_REQUEST) and not self.exact:
            self._split(piece, size, stream)
        piece.asked = size
        return piece

    def _slab_size(self, size: int) -> int:
        if self.exact:
            return size
        if size <= LARGE_REQUEST:
            return SMALL_SLAB if size <= SMALL_REQUEST else LARGE_SLAB
        return -(-size // OWN_SLAB_ROUNDING) * OWN_SLAB_ROUNDING

    def _new_slab(self, size: int, small: bool) -> _Piece:
        piece = _Piece(self.runtime.allocate(self.device, size), size, small)
        self._slabs[piece.pointer] = (piece, size)
        self._reserved += size
        return piece

    def _split(self, piece: _Piece, size: int, stream: Any) -> None:
        """Cut `piece` to `size`; the rest becomes free."""
        rest = _Piece(piece.pointer + size, piece.size - size, piece.small)
        piece.size = size
        rest.previous, rest.next = piece, piece.next
        if rest.next is not None:
            rest.next.previous = rest
        piece.next = rest
        self._keep(rest, stream)

    def _take_after_flush(self, nbytes: int, size: int, stream: Any) -> _Piece:
        gc.collect()  # outside the lock: finalisers may want locks of their own
        with self._lock:
            self._flush(stream)
            try:
                return self._take(size, stream, size if self.exact else -(-size // OWN_SLAB_ROUNDING) * OWN_SLAB_ROUNDING)
            except (OutOfMemory, MemoryError):
                raise OutOfMemoryError(self._explain(nbytes)) from None

    def _explain(self, nbytes: int) -> str:
        free, total = self.runtime.memory_info(self.device)
        others = max(total - free - self._reserved, 0)
        return (
            f"could not allocate {_mib(nbytes)} ({nbytes:,} bytes) on {self.name}: of {_mib(total)}, "
            f"{_mib(free)} are free, {_mib(self._allocated)} in use by arrays, {_mib(self._reserved - self._allocated)} cached "
            f"between them in pieces too small for this, {_mib(others)} taken by other libraries and programs; use smaller "
            "batches, autograd.checkpoint or no_grad, free tensors and graphs that are no longer needed, or end other programs"
        )

    # --- coming back ---------------------------------------------------------------------------------------------------

    def _take_back(self) -> None:
        """Have what was returned since the last time; with the lock held."""
        returned = self._returned
        while returned:
            piece, stream, streams = returned.popleft()
            self._allocated -= piece.size
            if self.exact:
                self._release(piece)
                continue
            if streams is not None:
                for other in streams:
                    if other is not stream:
                        self.runtime.wait(stream, other)
            self._recent.setdefault((stream, piece.asked), []).append(piece)

    def _merge_recent(self) -> None:
        """Make free what came back, one piece with its free neighbours: only when no piece that came back fits as it is."""
        for (stream, _), pieces in self._recent.items():
            for piece in pieces:
                before, after = piece.previous, piece.next
                if before is not None and before.free and before.pool is stream:
                    self._forget(before)
                    piece = self._merge(before, piece)
                if after is not None and after.free and after.pool is stream:
                    self._forget(after)
                    piece = self._merge(piece, after)
                self._keep(piece, stream)
        self._recent.clear()

    def _keep(self, piece: _Piece, stream: Any) -> None:
        piece.free, piece.pool = True, stream
        insort(self._free.setdefault((stream, piece.small), []), (piece.size, piece.pointer, piece))

    def _forget(self, piece: _Piece) -> None:
        free = self._free[piece.pool, piece.small]
        del free[bisect_left(free, (piece.size, piece.pointer))]

    @staticmethod
    def _merge(piece: _Piece, after: _Piece) -> _Piece:
        piece.size += after.size
        piece.next = after.next
        if piece.next is not None:
            piece.next.previous = piece
        return piece

    def _release(self, first: _Piece) -> None:
        _, size = self._slabs.pop(first.pointer)
        self._reserved -= size
        self.runtime.release(self.device, first.pointer)

    def _flush(self, stream: Any = None) -> None:
        """Give whole free slabs back, and let `stream` have all other free pieces, since nothing uses them any more."""
        self._take_back()
        self._merge_recent()
        self.runtime.synchronize(self.device)
        self._free.clear()
        for first, _ in list(self._slabs.values()):
            piece: _Piece | None = first
            while piece is not None:
                if piece.free and stream is not None:
                    piece.pool = stream
                after = piece.next
                if piece.free and after is not None and after.free and (stream is not None or after.pool is piece.pool):
                    self._merge(piece, after)
                else:
                    piece = after
            pieces = _pieces(first)
            if all(piece.free for piece in pieces):
                self._release(first)
            else:
                for piece in pieces:
                    if piece.free:
                        self._keep(piece, piece.pool)

    def empty_cache(self) -> None:
        """Wait for the device, and give all memory back that no array uses."""
        with self._locked():
            self._flush()

    # --- counts --------------------------------------------------------------------------------------------------------

    def _locked(self) -> threading.RLock:  # type: ignore[valid-type]
        if self.forked:
            raise RuntimeError(_FORKED)
        return self._lock

    def _settle(self) -> None:
        with self._locked():
            self._take_back()

    @property
    def allocated(self) -> int:
        """Bytes that arrays use now."""
        self._settle()
        return self._allocated

    @property
    def peak(self) -> int:
        """The largest value `allocated` has had since `reset_peak`."""
        return self._peak

    @property
    def reserved(self) -> int:
        """Bytes held from the device, in use or cached."""
        self._settle()
        return self._reserved

    @property
    def cached(self) -> int:
        """Bytes held from the device that no array uses."""
        self._settle()
        return self._reserved - self._allocated

    def reset_peak(self) -> None:
        """Let `peak` start again at what is in use now."""
        with self._locked():
            self._take_back()
            self._peak = self._allocated

    def summary(self) -> str:
        """The allocator's state as a table."""
        with self._locked():
            self._take_back()
            self._merge_recent()
            pieces = [piece for first, _ in self._slabs.values() for piece in _pieces(first)]
            free = [piece.size for piece in pieces if piece.free]
            room, total = self.runtime.memory_info(self.device)
            rows = [
                ("in use by arrays", self._allocated, _count(len(pieces) - len(free), "block")),
                ("at most so far", self._peak, ""),
                ("cached", self._reserved - self._allocated, f"{_count(len(free), 'piece')}, up to {_mib(max(free, default=0))}"),
                ("held from the device", self._reserved, _count(len(self._slabs), "slab")),
                ("free on the device", room, f"of {_mib(total)}"),
            ]
        lines = [f"{label:<22}{_mib(count):>16}  {note}".rstrip() for label, count, note in rows]
        return "\n".join([f"memory of {self.name}", *lines])


def _pieces(first: _Piece) -> list[_Piece]:
    found = [first]
    while (after := found[-1].next) is not None:
        found.append(after)
    return found


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _mib(nbytes: int) -> str:
    return f"{nbytes / MIB:,.1f} MiB"


_all: weakref.WeakSet[CachingAllocator] = weakref.WeakSet()


def _after_fork() -> None:
    for each in list(_all):
        each.forked = True


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
