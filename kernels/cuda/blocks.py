"""Ranges of device memory, ours and other libraries', and what happens when the last array on one is gone.

A block comes back from `__del__`, at any time and in any thread, also from a garbage collection in the middle of whoever
wants to know: it is only put in a queue there, which the allocator, or the `Keeper`, empties when it is next asked for
something.
"""

from __future__ import annotations

import threading
import weakref
from collections import deque
from functools import cache
from typing import Any


@cache
def device_name(device: int) -> str:
    """The name of a device by its number.

    >>> device_name(1)
    'cuda:1'
    """
    return f"cuda:{device}"


class Block:
    """A range of device memory that comes back to its allocator when the last array on it is gone.

    pointer: the address, 0 where no bytes were asked for. nbytes: the bytes asked for. stream: the stream that used it
    last. owner: the allocator, or what keeps the memory of another library alive. readonly: nothing may write to it.
    """

    __slots__ = (
        "__weakref__", "device", "nbytes", "owner", "piece", "pointer", "readonly", "returned", "runtime", "stream", "streams",
    )  # fmt: skip

    def __init__(self, runtime: Any, pointer: int, nbytes: int, device: int, stream: Any, owner: Any) -> None:
        self.runtime, self.pointer, self.nbytes, self.device, self.stream = runtime, pointer, nbytes, device, stream
        self.owner = owner
        self.readonly = False
        self.streams: set[Any] | None = None  # all that used it, where those are several
        self.piece: Any = None  # what the allocator has lent; None for the memory of others
        self.returned: deque[tuple[Any, Any, set | None]] | None = None  # who wants to know when this block is gone

    def use_on(self, stream: Any) -> None:
        """Queue nothing on `stream` that touches this block before this: it waits for the stream that had the block."""
        if stream is not self.stream:
            if self.stream is not None:
                self.runtime.wait(stream, self.stream)
                self.also_used_on(stream)
            self.stream = stream

    def also_used_on(self, stream: Any) -> None:
        """The memory must not be used again before the work now queued on `stream` is done either."""
        if self.streams is None:
            self.streams = set() if self.stream is None else {self.stream}
        self.streams.add(stream)

    def __repr__(self) -> str:
        return f"<block of {self.nbytes:,} bytes at {self.pointer:#x} on {device_name(self.device)}>"

    def __del__(self) -> None:
        # Nothing but an append: this runs in any thread, inside any lock, and while the interpreter shuts down.
        returned = getattr(self, "returned", None)
        if returned is not None:
            returned.append((self.owner if self.piece is None else self.piece, self.stream, self.streams))


class Keeper:
    """Keeps what owns another library's memory until our work on that memory is done: its next user does not wait for us.

    Blocks of such memory come back to `returned`, as ours do to their allocator; `settle` is called now and then. The
    runtime's `record(stream)` gives events with `is_done`.
    """

    def __init__(self, runtime: Any) -> None:
        self._runtime = weakref.ref(runtime)
        self.returned: deque[tuple[Any, Any, set | None]] = deque()
        self._held: deque[tuple[Any, list[Any]]] = deque()
        self._lock = threading.RLock()

    def settle(self) -> None:
        """Let go of what is no longer used on the device; waits for nothing."""
        if not self.returned and not self._held:
            return
        done = []  # owners end outside the lock: their finalisers may do anything
        with self._lock:
            runtime = self._runtime()
            while runtime is not None and self.returned:
                owner, stream, streams = self.returned.popleft()
                self._held.append((owner, [runtime.record(each) for each in (streams or {stream})]))
            while self._held and all(event.is_done for event in self._held[0][1]):
                done.append(self._held.popleft()[0])
