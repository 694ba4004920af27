"""Kernels: arrays in, arrays out, on every device. Nothing here knows of gradients.

`kernels.cpu.matmul(a, b)`, `kernels.cpu.apply(formulas.gelu, x)`: usable by themselves, on plain arrays.
"""

from kernels.devices import backend_for
from kernels.launch import Launch, add_observer, available_threads, get_num_threads, observe, set_num_threads
from kernels.profiler import Profile, profile

__all__ = [
    "Launch", "Profile", "add_observer", "available_threads", "backend_for", "get_num_threads", "observe", "profile",
    "set_num_threads",
]  # fmt: skip
