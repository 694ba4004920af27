"""Between dtypes and devices, and out of the engine: astype, to, clone, numpy, item, pickling."""

from __future__ import annotations

import copy as copies
import warnings
from typing import Any

import numpy as np

from autograd import dtypes
from autograd.graph import Leaf
from autograd.mode import grad_mode
from autograd.ops.base import Operation
from autograd.tensor import Tensor
from kernels import backend_for
from kernels.devices import canonical


class AsType(Operation):
    """Another dtype; the gradient comes back in the old one (the engine sees to that)."""

    takes_complex = "itself"

    def forward(self, x, dtype):
        return self.backend.copy(x, dtype)

    def backward(self, grad):
        return grad


class ToDevice(Operation):
    """The same elements on another device; the gradient travels back."""

    fresh = True
    takes_complex = "itself"

    def forward(self, x, device):
        self.before = self.layout.device
        if "cpu" in (self.before, device):
            return backend_for(device).from_numpy(self.backend.to_numpy(x))
        from kernels.cuda.data import to_device

        return to_device(x, device)

    def backward(self, grad):
        return to(grad, device=self.before)


class Clone(Operation):
    takes_complex = "itself"

    def forward(self, x):
        return self.backend.copy(x)

    def backward(self, grad):
        return grad


def astype(x: Tensor, dtype: Any, /, *, copy: bool = True, device: str | None = None) -> Tensor:
    """The elements converted to another dtype; floats are truncated to integers, and non-zero is True.

    Special cases:
        to integers and bool there is no gradient.

    Args:
        copy: with False, a tensor that has the dtype already is returned as it is.
        device: where the result shall be; by default where x is.
    """
    wanted = dtypes.as_dtype(dtype)
    if x.dtype.kind == "c" and wanted.kind not in "cb":
        raise TypeError(f"astype: {x.dtype} does not fit into {wanted}: take the real part (autograd.real), or abs, first")
    if x.dtype.kind == "c" and wanted.kind == "b":
        from autograd.ops.elementwise import not_equal

        x = not_equal(x, 0)
    if device is not None and canonical(device) != x.device:
        return to(x, dtype=wanted, device=device)
    if wanted == x.dtype:
        return clone(x) if copy else x
    return AsType.apply(x, dtype=wanted)


def to(x: Tensor, *targets: Any, dtype: Any = None, device: str | None = None, copy: bool = False) -> Tensor:
    """The tensor on another device or with another dtype, given by position or keyword; itself if nothing changes."""
    for target in targets:
        if isinstance(target, Tensor):  # like that one
            device, dtype = target.device, target.dtype
        elif isinstance(target, str) and target.split(":")[0] in ("cpu", "cuda"):
            device = target
        else:
            dtype = target
    place = x.device if device is None else canonical(device)
    out = x
    narrower = dtype is not None and dtypes.as_dtype(dtype).itemsize < out.dtype.itemsize
    if narrower:  # the shorter elements travel
        out = out.astype(dtype)
    if place != out.device:
        backend_for(place)  # says what is wrong with it
        out = ToDevice.apply(out, device=place)
    if dtype is not None and not narrower and dtypes.as_dtype(dtype) != out.dtype:
        out = out.astype(dtype)
    return out.clone() if copy and out is x else out


def to_device(x: Tensor, device: str, /, *, stream: Any = None) -> Tensor:
    """The tensor on another device, by the standard's name; itself if it is there already.

    Raises:
        ValueError: a stream is given: there is one per device, which everything goes through.
    """
    if stream is not None:
        raise ValueError("to_device: streams cannot be chosen: all work on a device is done in order on one; leave it out")
    return to(x, device=device)


def clone(x: Tensor) -> Tensor:
    """A copy with memory of its own, through which gradients flow."""
    return Clone.apply(x)


def numpy(x: Tensor) -> np.ndarray:
    """The elements as a NumPy array: the tensor's own memory where it is on the CPU, a copy of a GPU's (waits for it).

    Raises:
        RuntimeError: the tensor requires grad (outside `no_grad`): changes to the array would not be seen, and
            operations on it not be recorded. Use `x.detach().numpy()`.
    """
    if x._edge is not None and grad_mode.get():
        raise RuntimeError(
            f"numpy: this tensor (shape {x.shape}) requires grad, and an array would drop its history; use "
            ".detach().numpy(), or call it under no_grad()"
        )
    return backend_for(x.device).to_numpy(x._data)


def item(x: Tensor) -> Any:
    """The single element as a Python number."""
    if x.size != 1:
        raise ValueError(f"item: only a tensor of one element is a number, this one has shape {x.shape}")
    return backend_for(x.device).to_numpy(x._data).item()


def tolist(x: Tensor) -> Any:
    """The elements as nested Python lists."""
    return backend_for(x.device).to_numpy(x._data).tolist()


def as_numpy_array(x: Tensor, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
    """NumPy's `__array__` protocol."""
    if x._edge is not None and grad_mode.get():
        raise TypeError(
            f"np.asarray of a tensor that requires grad (shape {x.shape}) would drop its gradient; use t.detach(), or "
            "convert under no_grad()"
        )
    if copy is False and x.device != "cpu":
        raise ValueError(f"np.asarray: the elements are on {x.device}, and an array of them is a copy")
    return np.array(backend_for(x.device).to_numpy(x._data), dtype=dtype, copy=copy)


def dlpack(
    x: Tensor,
    /,
    *,
    stream: Any = None,
    max_version: tuple[int, int] | None = None,
    dl_device: tuple[int, int] | None = None,
    copy: bool | None = None,
) -> Any:
    """`__dlpack__`: the tensor's memory for another library, without a copy unless one is asked for.

    Raises:
        BufferError: the tensor requires grad, which the other library would not know of: use `x.detach()`.
    """
    if x._edge is not None:
        raise BufferError(f"__dlpack__: this tensor (shape {x.shape}) requires grad; share x.detach()")
    return x._data.__dlpack__(stream=stream, max_version=max_version, dl_device=dl_device, copy=copy)


def dlpack_device(x: Tensor, /) -> tuple[int, int]:
    """`__dlpack_device__`: (kind, number), (1, 0) for the CPU."""
    return x._data.__dlpack_device__()


def cuda_array_interface(x: Tensor) -> dict:
    """`__cuda_array_interface__`, for CuPy, Numba and others; an AttributeError for a tensor on the CPU."""
    if x._edge is not None and x.device != "cpu":
        raise RuntimeError(f"__cuda_array_interface__: this tensor (shape {x.shape}) requires grad; share x.detach()")
    return x._data.__cuda_array_interface__


# --- copying and pickling ----------------------------------------------------------------------------------------------


def _check_leaf(x: Tensor, what: str) -> None:
    if not x.is_leaf:
        raise RuntimeError(
            f"{what}: only leaves can be copied this way, and this tensor (shape {x.shape}) was made by {x.grad_fn.name}; "  # type: ignore[union-attr]
            "use .detach() to leave its history behind, or .clone() to keep it"
        )


def rebuild(cls: type[Tensor], array: np.ndarray, device: str, requires_grad: bool) -> Tensor:
    """A tensor from its pickled parts."""
    out: Tensor = cls.__new__(cls)
    Tensor.__init__(out, _there(array, device), requires_grad)
    return out


def _there(array: np.ndarray, device: str) -> Any:
    """The array on the device it was pickled on; on the CPU, with a warning, where there is no such device."""
    try:
        backend = backend_for(device)
    except ValueError as error:
        warnings.warn(f"a tensor pickled on {device} is made on the CPU: {error}", stacklevel=3)
        backend = backend_for("cpu")
    return backend.from_numpy(array)


def reduce(x: Tensor) -> tuple:
    """`__reduce__`: the elements and whether grad is required, never the graph."""
    _check_leaf(x, "pickle")
    array = np.ascontiguousarray(backend_for(x.device).to_numpy(x._data)).reshape(x.shape)
    return rebuild, (type(x), array, x.device, x.requires_grad)


def deepcopy(x: Tensor, memo: dict) -> Tensor:
    """`__deepcopy__`: memory of its own, `.grad` included."""
    _check_leaf(x, "deepcopy")
    out = type(x).__new__(type(x))
    Tensor.__init__(out, backend_for(x.device).copy(x._data), x.requires_grad)
    if type(x._edge) is Leaf and x.grad is not None:
        out.grad = copies.deepcopy(x.grad.detach(), memo)
    memo[id(x)] = out
    return out
