"""Errors that only a kernel can find, raised without waiting for the kernel.

A kernel that meets a bad value (a class that does not exist) makes its results NaN and sets a flag in device memory. Nobody
waits for that. `look()` reads the flag where the thread has waited for the device anyway, when it brings elements to the
host, and only if such kernels have run since the last look; it then runs the checks of those calls on the host, the first of
which raises what the CPU would have raised at once. In the simulator, and with GRADLOOM_DEBUG, every call looks at once.

Each thread looks after its own calls, for it has a stream of its own.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np

from kernels.cuda.array import from_numpy
from kernels.cuda.fetching import AFTER_READING
from kernels.debug import DEBUG

_KEPT = 64  # calls whose check is remembered: each keeps its arrays alive


class _State(threading.local):
    """A thread's flags by device, and the calls since its last look as (device, check, name)."""

    def __init__(self) -> None:
        self.flags: dict[str, Any] = {}
        self.pending: deque[tuple[str, Callable[[], None], str]] = deque(maxlen=_KEPT)


_state = _State()


def flag_of(device: str) -> Any:
    """The device's flag for kernels of this thread: one int32, 0 as long as all is well."""
    flag = _state.flags.get(device)
    if flag is None:
        flag = _state.flags[device] = from_numpy(np.zeros(1, np.int32), device)
    return flag


def expect(device: str, check: Callable[[], None], name: str) -> None:
    """A kernel that may set the flag has been started; `check` raises if it has reason to. It may wait."""
    _state.pending.append((device, check, name))
    if DEBUG or flag_of(device).block.runtime.is_simulated:
        look()


def look() -> None:
    """Raise if a kernel of this thread has set a flag; the device has done the work before."""
    pending = _state.pending
    if not pending:
        return
    calls = list(pending)
    pending.clear()  # before anything that comes back here
    devices = list(dict.fromkeys(device for device, _, _ in calls))
    for number, device in enumerate(devices):
        flag = _state.flags[device]
        if not flag.numpy()[0]:
            continue
        del _state.flags[device]
        mine = [call for call in calls if call[0] == device]
        try:
            for _, check, _ in mine:
                check()
            raise RuntimeError(f"{mine[0][2]}: a kernel on {device} met a value out of range in one of the calls before")
        finally:  # what other devices have met is told at the next look
            pending.extend(call for call in calls if call[0] in devices[number + 1 :])


AFTER_READING.append(look)
