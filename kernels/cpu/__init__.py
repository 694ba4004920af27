"""The CPU's kernels: NumPy arrays in, NumPy arrays out. `kernels.cuda` has the same names and arguments.

Importing this package costs nothing: a function's module, and with it Numba, is loaded when it is first asked for.
"""

import sys
from importlib import import_module
from types import ModuleType
from typing import Any

_MODULES = {
    "elementwise": "apply plan_for",
    "reduce": "sum prod mean var std max min argmax argmin any all logsumexp norm count_nonzero",
    "matmul": "matmul",
    "softmax": "softmax softmax_backward log_softmax log_softmax_backward",
    "cross_entropy": "cross_entropy cross_entropy_backward",
    "norm": "layer_norm layer_norm_backward rms_norm rms_norm_backward",
    "random": "words uniform normal integers mask permutation",
    "data": "broadcast copy empty fill from_numpy to_numpy",
}
_HOMES = {name: module for module, names in _MODULES.items() for name in names.split()}

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"kernels.cpu has no function {name!r}; it has {', '.join(__all__)}")
    value = globals()[name] = getattr(import_module(f"kernels.cpu.{_HOMES[name]}"), name)
    return value


def __dir__() -> list[str]:
    return __all__


class _Package(ModuleType):
    """Some modules are called like a function. Importing one shall not put it in the function's place."""

    def __setattr__(self, name: str, value: Any) -> None:
        if isinstance(value, ModuleType) and name in _HOMES:
            if _HOMES[name] != name:  # the function is at home elsewhere: `norm` is in `reduce`
                return
            value = getattr(value, name)
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
