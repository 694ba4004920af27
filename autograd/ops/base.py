"""What operations that are not elementwise have in common: run the kernel, wrap the result, record the node."""

from __future__ import annotations

from types import ModuleType
from typing import Any

from autograd.graph import Node, changed_since, remember_caller
from autograd.mode import anomaly_mode, grad_mode
from autograd.tensor import Tensor, Version, version_of, wrap, wrap_view
from kernels import backend_for


class Operation(Node):
    """An operation that is its own graph node: `forward` on arrays, `backward` on tensors, one above the other.

    `forward(self, *arrays, **options)` returns an array, and may keep what it likes on `self`. `backward(self, grad)`
    gives a gradient per tensor operand, by differentiable operations on `grad`, `self.operand(k)` and `self.result()`;
    `saves(needs)` names the operands it will ask for. `is_view`: the result shares the first operand's memory.
    `takes_complex`: "itself" where forward and backward are right for complex numbers, "pairs" where the operation is
    linear with real coefficients and ignores a further axis at the end: it runs on real and imaginary parts at once.
    """

    is_view = False
    takes_complex = ""
    saves_result = False

    def forward(self, *arrays: Any, **options: Any) -> Any:
        raise NotImplementedError

    def saves(self, needs: tuple[bool, ...]) -> tuple[bool, ...]:
        """Which operands the derivative rule reads, when gradients are needed for those with `needs`."""
        return (False,) * len(needs)

    @property
    def backend(self) -> ModuleType:
        """The kernels of the device the operation runs on."""
        return backend_for(self.layout.device)

    @classmethod
    def apply(cls, *operands: Any, **options: Any) -> Tensor:
        """Run the operation, and record it where an operand requires grad."""
        node = cls.__new__(cls)
        node.layout = operands[0]._layout  # until the result is there: the operand's shape and device, for forward
        if node.layout.dtype.kind == "c" and cls.takes_complex != "itself":
            return cls._on_pairs(node, operands, options)
        for other in operands[1:]:
            if other._layout.device != node.layout.device:
                raise _different_devices(node.name, operands)
        data = node.forward(*[o._data for o in operands], **options)
        out = wrap_view(data, operands[0]) if cls.is_view else wrap(data)  # pyright: ignore[reportGeneralTypeIssues]
        if grad_mode.get() and out._layout.dtype.kind in "fc":
            edges = tuple([o._edge for o in operands])
            if any(edges):
                node._record(edges, operands, out)
        return out

    @classmethod
    def _on_pairs(cls, node: Operation, operands: tuple[Tensor, ...], options: dict) -> Tensor:
        """The operation on complex numbers as one on their parts."""
        from autograd.ops.complex_numbers import view_as_complex, view_as_real

        if cls.takes_complex != "pairs":
            raise TypeError(
                f"{node.name}: not defined on {node.layout.dtype}; take the real part, the imaginary part or the absolute "
                "value of the operands first"
            )
        return view_as_complex(cls.apply(*[view_as_real(o) for o in operands], **cls.options_on_pairs(options)))

    @classmethod
    def options_on_pairs(cls, options: dict) -> dict:
        """The options for operands with an axis of real and imaginary parts at the end."""
        return options

    def _record(self, edges: tuple, operands: tuple[Tensor, ...], out: Tensor) -> None:
        self.inputs, self.layout, self.extra = edges, out._layout, None
        saves = self.saves(tuple([e is not None for e in edges]))
        self.saved = ()
        if any(saves):
            self.saved = tuple([(o, version_of(o)) if s else None for o, s in zip(operands, saves, strict=True)])
        self.kept = None
        if self.saves_result:
            if out._version is None:
                out._version = Version()
            self.kept = (out._data, out._version, out._version.count)
        if anomaly_mode.get():
            remember_caller(self, (out,), operands)
        out._edge = self

    def operand(self, index: int) -> Tensor:
        """A saved operand, unless it was changed since."""
        tensor, version = self.saved[index]  # type: ignore[index]
        if version_of(tensor) != version:
            raise changed_since(self.name, "an operand", tensor.shape, version, version_of(tensor))
        return tensor

    def result(self) -> Tensor:
        """The saved result, unless it was changed since."""
        data, version, count = self.kept  # type: ignore[misc]
        if version.count != count:
            raise changed_since(self.name, "its result", self.layout.shape, count, version.count)
        out = wrap(data, self if grad_mode.get() else None)
        out._version = version
        return out


def _different_devices(name: str, operands: tuple[Tensor, ...]) -> RuntimeError:
    devices = " and ".join(dict.fromkeys(o._layout.device for o in operands))
    return RuntimeError(f"{name}: operands are on {devices}; bring them together with .to(device)")


def normalize_axis(axis: int, ndim: int, name: str) -> int:
    """The axis counted from the front; an IndexError for one outside the rank, 0-d tensors included."""
    if isinstance(axis, bool) or not hasattr(axis, "__index__"):
        raise TypeError(f"{name}: an axis must be an integer, got {axis!r}")
    index = axis.__index__()
    if not -ndim <= index < ndim:
        where = f"expected {-ndim} to {ndim - 1}" if ndim else "a 0-d tensor has none"
        raise IndexError(f"{name}: axis {index} is out of range for a tensor with {ndim} dimensions ({where})")
    return index % ndim


_ALL_AXES = [tuple(range(ndim)) for ndim in range(8)]


def normalize_axes(axis: int | tuple[int, ...] | None, ndim: int, name: str) -> tuple[int, ...]:
    """All axes named, in increasing order; None means every one. Repeated ones raise a ValueError."""
    if axis is None:
        return _ALL_AXES[ndim] if ndim < len(_ALL_AXES) else tuple(range(ndim))
    given = tuple(axis) if isinstance(axis, (tuple, list)) else (axis,)
    axes = tuple(normalize_axis(a, ndim, name) for a in given)
    if len(set(axes)) != len(axes):
        raise ValueError(f"{name}: repeated axis in {axis}")
    return tuple(sorted(axes))
