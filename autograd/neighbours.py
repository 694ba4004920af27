"""Tensors in einops: its functions take them as soon as it is imported, before or after `autograd`.

einops finds the subclasses of its `AbstractBackend` by itself. The class can be made only when einops is there, so a
finder waits for the import, makes the class after it, and goes. `einops.array_api` needs none of this.
"""

from __future__ import annotations

import sys
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from typing import Any

_backends: list[type] = []  # einops knows its backends by weak references


def register() -> None:
    """Tell einops, which is imported, how to handle tensors; nothing where this version of it has no such place."""
    try:
        from einops._backends import AbstractBackend  # pyright: ignore[reportMissingImports]
    except ImportError:  # the module is private; einops.array_api works without
        return
    if _backends:
        return
    import autograd

    class AutogradBackend(AbstractBackend):
        framework_name = "autograd"

        def is_appropriate_type(self, tensor: Any) -> bool:
            return isinstance(tensor, autograd.Tensor)

        def from_numpy(self, x: Any) -> Any:
            return autograd.asarray(x)

        def to_numpy(self, x: Any) -> Any:
            return x.numpy()

        def arange(self, start: int, stop: int) -> Any:
            return autograd.arange(start, stop)

        def stack_on_zeroth_dimension(self, tensors: list) -> Any:
            return autograd.stack(tensors)

        def add_axis(self, x: Any, new_position: int) -> Any:
            return autograd.expand_dims(x, new_position)

        def tile(self, x: Any, repeats: tuple[int, ...]) -> Any:
            return autograd.tile(x, tuple(repeats))

        def concat(self, tensors: list, axis: int) -> Any:
            return autograd.concat(tensors, axis=axis)

        def is_float_type(self, x: Any) -> bool:
            return x.dtype.kind == "f"

        def einsum(self, pattern: str, *x: Any) -> Any:
            return autograd.einsum(pattern, *x)

    _backends.append(AutogradBackend)


class _WhenImported(MetaPathFinder):
    """Registers the backend when einops is imported; looking for einops (find_spec) is no import yet."""

    def __init__(self) -> None:
        self.is_asking = False

    def find_spec(self, name: str, path: Any, target: Any = None) -> ModuleSpec | None:
        if name != "einops" or self.is_asking:
            return None
        self.is_asking = True
        try:
            spec = find_spec(name)
        finally:
            self.is_asking = False
        if spec is None or spec.loader is None or not hasattr(spec.loader, "exec_module"):
            return spec
        execute = spec.loader.exec_module

        def exec_module(module: Any) -> None:
            execute(module)
            if self in sys.meta_path:
                sys.meta_path.remove(self)
            register()

        spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec


def watch() -> None:
    """Register with einops now, or when it is imported."""
    if "einops" in sys.modules:
        register()
    elif not any(isinstance(finder, _WhenImported) for finder in sys.meta_path):
        sys.meta_path.insert(0, _WhenImported())
