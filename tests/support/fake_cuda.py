"""A CUDA runtime for tests of device memory and arrays: host memory stands in for the device's, and every call is noted.

It is not the simulator: it runs no kernels. `room` bytes fit on each device; `calls` lists what was asked of it.
"""

import ctypes
import threading

import numpy as np

from kernels.cuda.memory import OutOfMemory


class FakeStream:
    """A stream that is only a name."""

    def __init__(self, device=0, handle=0, name=""):
        self.device, self.handle, self.name = device, handle, name

    def __repr__(self):
        return f"<stream {self.name or self.handle}>"


class FakeRuntime:
    """Two devices of `room` bytes each; `base`: addresses count up from there where no memory is to be touched."""

    def __init__(self, room=1 << 30, is_simulated=False, real_memory=True):
        self.room, self.is_simulated, self.real_memory = room, is_simulated, real_memory
        self.calls = []
        self.memory = {}  # by address: the buffer, or its size
        self.next_address = 1 << 40
        self.local = threading.local()
        self.handles = iter(range(100, 1 << 20))
        self.foreign = {}

    def device_count(self):
        return 2

    def used(self):
        return sum(size for size, _ in self.memory.values())

    def allocate(self, device, nbytes):
        self.calls.append(("allocate", nbytes))
        if self.used() + nbytes > self.room:
            raise OutOfMemory(nbytes)
        if self.real_memory:
            buffer = np.zeros(nbytes + 512, np.uint8)
            address = buffer.ctypes.data + -buffer.ctypes.data % 512
        else:
            buffer, address = None, self.next_address
            self.next_address += nbytes + (-nbytes % 512) + 512
        self.memory[address] = (nbytes, buffer)
        return address

    def release(self, device, pointer):
        self.calls.append(("release", self.memory.pop(pointer)[0]))

    def memory_info(self, device):
        return self.room - self.used(), self.room

    def stream(self, device):
        streams = self.local.__dict__
        if device not in streams:
            streams[device] = FakeStream(device, next(self.handles))
        return streams[device]

    def foreign_stream(self, device, handle):
        return self.foreign.setdefault((device, handle), FakeStream(device, handle, f"foreign {handle}"))

    def wait(self, stream, other):
        self.calls.append(("wait", stream, other))

    def waits(self):
        return [call[1:] for call in self.calls if call[0] == "wait"]

    def to_device(self, pointer, host, stream):
        assert host.flags.c_contiguous
        ctypes.memmove(pointer, host.ctypes.data, host.nbytes)

    def to_host(self, host, pointer, stream):
        assert host.flags.c_contiguous
        self.calls.append(("to_host", host.nbytes))
        ctypes.memmove(host.ctypes.data, pointer, host.nbytes)

    def copy(self, destination, source, nbytes, stream):
        ctypes.memmove(destination, source, nbytes)

    def fill_bytes(self, pointer, byte, nbytes, stream):
        self.calls.append(("fill", nbytes))
        if self.real_memory:
            ctypes.memset(pointer, byte, nbytes)

    def synchronize(self, device):
        self.calls.append(("synchronize", device))
