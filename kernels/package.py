"""A device's package: its functions by name, each module loaded when one of its functions is first asked for."""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import Any

# Where each function is at home: the same files and names on every device.
MODULES = {
    "elementwise": "apply plan_for",
    "reduce": "sum prod mean var std max min argmax argmin any all logsumexp norm count_nonzero",
    "matmul": "matmul",
    "conv": "conv conv_input_gradient conv_weight_gradient",
    "pool": "max_pool max_pool_backward avg_pool avg_pool_backward",
    "softmax": "softmax softmax_backward log_softmax log_softmax_backward",
    "cross_entropy": "cross_entropy cross_entropy_backward",
    "attention": "attention attention_backward",
    "norm": "layer_norm layer_norm_backward rms_norm rms_norm_backward",
    "multi_tensor": "plan_many update_many",
    "index": "gather nonzero put scatter_add wrap_indices",
    "sorting": "sort argsort sort_with_places permuted",
    "selection": "topk",
    "scans": "cumulative_sum cumulative_prod cumulative_logsumexp linear_recurrence",
    "searching": "searchsorted",
    "random": "words uniform normal integers mask permutation",
    "data": "broadcast copy diagonal empty fill from_numpy from_pairs may_share_memory pairs to_numpy windows",
    "joining": "concat",
}
HOMES = {name: module for module, names in MODULES.items() for name in names.split()}


class DevicePackage(ModuleType):
    """The class of `kernels.cpu` and `kernels.cuda`, which the packages give themselves."""

    def __getattr__(self, name: str) -> Any:
        if name not in HOMES:
            raise AttributeError(f"{self.__name__} has no function {name!r}; it has {', '.join(sorted(HOMES))}")
        value = self.__dict__[name] = getattr(import_module(f"{self.__name__}.{HOMES[name]}"), name)
        return value

    def __dir__(self) -> list[str]:
        return sorted(HOMES)

    def __setattr__(self, name: str, value: Any) -> None:
        """Some modules are called like a function. Importing one shall not put it in the function's place."""
        if isinstance(value, ModuleType) and name in HOMES:
            if HOMES[name] != name:  # the function is at home elsewhere: `norm` is in `reduce`
                return
            value = getattr(value, name)
        super().__setattr__(name, value)


def become_device_package(name: str) -> None:
    """Make the package `name` one that loads its functions when asked."""
    sys.modules[name].__class__ = DevicePackage
