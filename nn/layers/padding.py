"""Layers that surround the last axes of (N, C, sizes) or (C, sizes).

Each takes one number, or one for each side: before and behind the last axis, then before and behind the one before it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import autograd as ag
from nn import functional as F
from nn.module import Module


class _Pad(Module):
    dimensions: ClassVar[int]
    mode: ClassVar[str]

    def __init__(self, padding: int | Sequence[int]) -> None:
        super().__init__()
        count = 2 * self.dimensions
        numbers: tuple[Any, ...] = tuple(padding) if isinstance(padding, (tuple, list)) else (padding,) * count
        if len(numbers) != count or any(isinstance(n, bool) or not hasattr(n, "__index__") for n in numbers):
            raise ValueError(f"{type(self).__name__}: padding must be an integer or {count} of them, got {padding!r}")
        self.padding = numbers

    def forward(self, x: ag.Tensor) -> ag.Tensor:
        if x.ndim not in (self.dimensions + 1, self.dimensions + 2):
            raise ValueError(f"{type(self).__name__}: needs {self.dimensions + 2} axes, or one less, got shape {x.shape}")
        return F.pad(x, self.padding, self.mode)

    def extra_repr(self) -> str:
        return f"{self.padding}"


class _ConstantPad(_Pad):
    mode = "constant"

    def __init__(self, padding: int | Sequence[int], value: float) -> None:
        super().__init__(padding)
        self.value = value

    def forward(self, x: ag.Tensor) -> ag.Tensor:
        return F.pad(x, self.padding, "constant", self.value)

    def extra_repr(self) -> str:
        return f"padding={self.padding}, value={self.value}"


class _ZeroPad(_ConstantPad):
    def __init__(self, padding: int | Sequence[int]) -> None:
        super().__init__(padding, 0.0)

    def extra_repr(self) -> str:
        return f"{self.padding}"


class ConstantPad1d(_ConstantPad):
    """(N, C, L) or (C, L) with a value around it.

    >>> import autograd as ag, nn
    >>> nn.ConstantPad1d(1, 2.0)(ag.tensor([[1.0, 3.0, 5.0]])).tolist()
    [[2.0, 1.0, 3.0, 5.0, 2.0]]
    """

    dimensions = 1


class ConstantPad2d(_ConstantPad):
    """(N, C, H, W) or (C, H, W) with a value around it; see `ConstantPad1d`."""

    dimensions = 2


class ConstantPad3d(_ConstantPad):
    """(N, C, D, H, W) or (C, D, H, W) with a value around it; see `ConstantPad1d`."""

    dimensions = 3


class ZeroPad1d(_ZeroPad):
    """(N, C, L) or (C, L) with zeros around it.

    >>> import autograd as ag, nn
    >>> nn.ZeroPad1d((0, 1))(ag.tensor([[1.0, 3.0, 5.0]])).tolist()
    [[1.0, 3.0, 5.0, 0.0]]
    """

    dimensions = 1


class ZeroPad2d(_ZeroPad):
    """(N, C, H, W) or (C, H, W) with zeros around it; see `ZeroPad1d`."""

    dimensions = 2


class ZeroPad3d(_ZeroPad):
    """(N, C, D, H, W) or (C, D, H, W) with zeros around it; see `ZeroPad1d`."""

    dimensions = 3


class ReflectionPad1d(_Pad):
    """(N, C, L) or (C, L) with its elements mirrored at the outermost ones.

    >>> import autograd as ag, nn
    >>> nn.ReflectionPad1d(1)(ag.tensor([[1.0, 3.0, 5.0]])).tolist()
    [[3.0, 1.0, 3.0, 5.0, 3.0]]
    """

    dimensions, mode = 1, "reflect"


class ReflectionPad2d(_Pad):
    """(N, C, H, W) or (C, H, W) with its elements mirrored at the outermost ones; see `ReflectionPad1d`."""

    dimensions, mode = 2, "reflect"


class ReflectionPad3d(_Pad):
    """(N, C, D, H, W) or (C, D, H, W) with its elements mirrored at the outermost ones; see `ReflectionPad1d`."""

    dimensions, mode = 3, "reflect"


class ReplicationPad1d(_Pad):
    """(N, C, L) or (C, L) with its outermost elements repeated.

    >>> import autograd as ag, nn
    >>> nn.ReplicationPad1d(1)(ag.tensor([[1.0, 3.0, 5.0]])).tolist()
    [[1.0, 1.0, 3.0, 5.0, 5.0]]
    """

    dimensions, mode = 1, "replicate"


class ReplicationPad2d(_Pad):
    """(N, C, H, W) or (C, H, W) with its outermost elements repeated; see `ReplicationPad1d`."""

    dimensions, mode = 2, "replicate"


class ReplicationPad3d(_Pad):
    """(N, C, D, H, W) or (C, D, H, W) with its outermost elements repeated; see `ReplicationPad1d`."""

    dimensions, mode = 3, "replicate"


class CircularPad1d(_Pad):
    """(N, C, L) or (C, L) with elements from the other side.

    >>> import autograd as ag, nn
    >>> nn.CircularPad1d(1)(ag.tensor([[1.0, 3.0, 5.0]])).tolist()
    [[5.0, 1.0, 3.0, 5.0, 1.0]]
    """

    dimensions, mode = 1, "circular"


class CircularPad2d(_Pad):
    """(N, C, H, W) or (C, H, W) with elements from the other side; see `CircularPad1d`."""

    dimensions, mode = 2, "circular"


class CircularPad3d(_Pad):
    """(N, C, D, H, W) or (C, D, H, W) with elements from the other side; see `CircularPad1d`."""

    dimensions, mode = 3, "circular"
