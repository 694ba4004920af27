"""The CPU's kernels: NumPy arrays in, NumPy arrays out. `kernels.cuda` has the same names and arguments.

Importing this package costs nothing: a function's module, and with it Numba, is loaded when it is first asked for.
"""

from kernels.package import HOMES, become_device_package

__all__ = sorted(HOMES)

become_device_package(__name__)
