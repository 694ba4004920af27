"""Tensor: an array with a memory of how it was made. No mathematics here: see autograd.ops."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from autograd.dtypes import DIFFERENTIABLE
from autograd.engine import backward
from autograd.graph import Leaf, Node
from autograd.mode import grad_mode
from kernels.layout import Layout, layout_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from autograd.ops.signatures import Methods
else:  # bound when autograd.ops.methods is imported

    class Methods:
        __slots__ = ()


class Version:
    """How often memory was changed in place; one for all tensors that share it."""

    __slots__ = ("count", "sharers", "room")

    def __init__(self) -> None:
        self.count = 0
        self.sharers: list[weakref.ref[Tensor]] = []
        self.room = 16  # sharers listed before the dead ones are removed

    def add_sharer(self, tensor: Tensor) -> None:
        """Note that the tensor shares the memory."""
        self.sharers.append(weakref.ref(tensor))
        if len(self.sharers) > self.room:
            self.sharers = [ref for ref in self.sharers if ref() is not None]
            self.room = 2 * len(self.sharers) + 16

    def is_shared(self) -> bool:
        """Whether two or more living tensors share the memory."""
        return sum(ref() is not None for ref in self.sharers) > 1


class Tensor(Methods):
    """An n-dimensional array on a device, which can require grad.

    Made by `autograd.tensor`, `asarray`, `zeros` and the like, or by operations. All operators and the methods that
    NumPy's arrays and PyTorch's tensors share are there; results of operations on tensors that require grad remember
    their making (`grad_fn`), and `backward()` sends gradients back to the `.grad` of the tensors it began with.
    """

    __slots__ = ("__weakref__", "_data", "_edge", "_layout", "_paused", "_version")

    _paused: Leaf  # what requires_grad_(False) took away: the .grad and hooks; set by nothing else
    _data: Any
    _layout: Layout
    _edge: Node | None
    _version: Version | None

    # NumPy must leave `array + tensor` to __radd__, and refuse np.exp(tensor), instead of dropping the gradient.
    __array_ufunc__ = None
    __array_priority__ = 1000
    __hash__ = object.__hash__  # type: ignore[assignment]  # by identity, though == compares elements

    def __init__(self, data: Any, requires_grad: bool = False) -> None:
        self._data = data
        self._layout = layout_of(data)
        self._edge = None
        self._version = None
        if requires_grad:
            self.requires_grad_()

    # --- what it is -----------------------------------------------------------------------------------------------

    @property
    def shape(self) -> tuple[int, ...]:
        """The size of each dimension."""
        return self._layout.shape

    @property
    def ndim(self) -> int:
        """The number of dimensions."""
        return self._layout.ndim

    @property
    def size(self) -> int:
        """The number of elements."""
        return self._layout.size

    @property
    def dtype(self) -> np.dtype:
        """The type of the elements, a NumPy dtype."""
        return self._layout.dtype

    @property
    def device(self) -> str:
        """Where the elements are: "cpu", "cuda:0", ..."""
        return self._layout.device

    @property
    def nbytes(self) -> int:
        """The size of all elements in bytes."""
        return self._layout.size * self._layout.dtype.itemsize

    @property
    def itemsize(self) -> int:
        """The size of one element in bytes."""
        return self._layout.dtype.itemsize

    @property
    def requires_grad(self) -> bool:
        """Whether gradients reach this tensor: it was marked so, or made from tensors that were."""
        return self._edge is not None

    @requires_grad.setter
    def requires_grad(self, value: bool) -> None:
        self.requires_grad_(value)

    @property
    def is_leaf(self) -> bool:
        """Whether it was made by the user rather than by a recorded operation."""
        return self._edge is None or type(self._edge) is Leaf

    @property
    def grad_fn(self) -> Node | None:
        """The recorded operation that made it; None for a leaf."""
        return None if self.is_leaf else self._edge

    @property
    def grad(self) -> Tensor | None:
        """The gradient that backward passes have accumulated here; None before the first, and for non-leaves.

        A tensor that is no leaf keeps its gradient after `retain_grad()`.
        """
        edge = self._edge
        if edge is None:
            edge = leaf_of(self)
        if type(edge) is Leaf:
            return edge.grad
        return edge.extra.grad if edge is not None and edge.extra is not None else None

    @grad.setter
    def grad(self, value: Tensor | None) -> None:
        edge = leaf_of(self) or self._edge
        if value is not None:
            if edge is None:
                raise RuntimeError("cannot set .grad of a tensor that does not require grad; call requires_grad_() first")
            if not isinstance(value, Tensor) or value.shape != self.shape or value.dtype != self.dtype:
                got = f"{value.shape}, {value.dtype}" if isinstance(value, Tensor) else type(value).__name__
                raise TypeError(f".grad must be a Tensor of shape {self.shape}, {self.dtype}; got {got}")
            if value.device != self.device:
                raise RuntimeError(f".grad must be on {self.device}, as its tensor is; got one on {value.device}; use .to()")
        if type(edge) is Leaf:
            edge.grad = value
        elif edge is not None and (edge.extra is not None or value is not None):
            edge.more().grad = value

    # --- gradients ------------------------------------------------------------------------------------------------

    def requires_grad_(self, requires_grad: bool = True) -> Tensor:
        """Ask for gradients here (or stop asking), and return the tensor itself. Its `.grad` and hooks stay.

        Raises:
            TypeError: the dtype is an integer or bool, which have no derivatives.
            RuntimeError: asked to stop on a tensor that an operation made; use detach().
        """
        if requires_grad:
            if self._edge is None:
                if self.dtype.kind not in DIFFERENTIABLE:
                    raise TypeError(
                        f"only tensors of floats can require grad, this one is {self.dtype}; convert it with "
                        ".astype(autograd.float32) first"
                    )
                self._edge = leaf_of(self) or Leaf(self._layout, self)
        elif not self.is_leaf:
            raise RuntimeError(
                f"requires_grad can be switched off on leaves only, and this tensor was made by {self._edge.name}; "  # type: ignore[union-attr]
                "use detach() for a tensor outside the graph"
            )
        elif self._edge is not None:
            self._paused, self._edge = self._edge, None  # type: ignore[assignment]
        return self

    def backward(
        self, gradient: Tensor | None = None, retain_graph: bool | None = None, create_graph: bool = False
    ) -> None:
        """Add the gradients of this tensor to the `.grad` of every leaf it was made from.

        Args:
            gradient: the upstream gradient, of this tensor's shape; may be left out for a single number (it is 1).
            retain_graph: keep the graph for another backward pass; by default only with `create_graph`.
            create_graph: record the pass itself, so that the gradients can be differentiated.

        >>> import autograd as ag
        >>> x = ag.tensor([1.0, 2.0], requires_grad=True)
        >>> (x * x).sum().backward()
        >>> x.grad
        tensor([2., 4.], dtype=float32)
        """
        backward(self, gradient, retain_graph, create_graph)

    def detach(self) -> Tensor:
        """The same memory as a tensor outside the graph."""
        out = Tensor.__new__(Tensor)
        out._data, out._layout, out._edge, out._version = self._data, self._layout, None, share_version(self)
        out._version.add_sharer(out)  # type: ignore[union-attr]
        return out

    def retain_grad(self) -> None:
        """Keep the gradient that passes through this tensor in its `.grad`, though it is no leaf."""
        if self._edge is None:
            raise RuntimeError("retain_grad: this tensor does not require grad, so no gradient will reach it")
        if type(self._edge) is not Leaf:
            self._edge.more().retain = True

    def register_hook(self, hook: Callable[[Tensor], Tensor | None]) -> Callable[[], None]:
        """Call `hook(gradient)` when the gradient of this tensor is complete; what it returns replaces the gradient.

        Returns:
            A function that removes the hook again (also as its attribute `remove`, as in PyTorch).
        """
        if self._edge is None:
            raise RuntimeError("register_hook: this tensor does not require grad, so no gradient will reach it")
        hooks = self._edge.more().hooks
        hooks.append(hook)

        def remove() -> None:
            if hook in hooks:
                hooks.remove(hook)

        remove.remove = remove  # type: ignore[attr-defined]
        return remove

    # --- Python's protocols ---------------------------------------------------------------------------------------

    def __bool__(self) -> bool:
        if self.size != 1:
            raise ValueError(
                f"the truth of a tensor of shape {self.shape} is ambiguous; use .any(), .all() or compare with None"
            )
        return bool(self.item())

    def __int__(self) -> int:
        return int(self.item())

    def __float__(self) -> float:
        return float(self.item())

    def __complex__(self) -> complex:
        return complex(self.item())

    def __index__(self) -> int:
        if self.dtype.kind not in "iu" or self.ndim:
            raise TypeError(f"only 0-d integer tensors can be used as an index, got shape {self.shape}, {self.dtype}")
        return int(self.item())

    def __len__(self) -> int:
        if not self.ndim:
            raise TypeError("len() of a 0-d tensor")
        return self.shape[0]

    def __iter__(self) -> Iterator[Tensor]:
        if not self.ndim:
            raise TypeError("iteration over a 0-d tensor")
        return (self[i] for i in range(self.shape[0]))

    def __format__(self, specification: str) -> str:
        if specification and self.size == 1 and not self.ndim:
            return format(self.item(), specification)
        if specification:
            raise TypeError(f"a format like {specification!r} needs a 0-d tensor, this one has shape {self.shape}")
        return str(self)

    def __repr__(self) -> str:
        from autograd.display import tensor_text

        return tensor_text(self)


_new = Tensor.__new__


def wrap(data: Any, edge: Node | None = None) -> Tensor:
    """A tensor around an array that a kernel made."""
    out = _new(Tensor)
    out._data = data
    out._layout = layout_of(data)
    out._edge = edge
    out._version = None
    return out


def tensor_of(data: Any, layout: Layout) -> Tensor:
    """A tensor around an array whose layout is known."""
    out = _new(Tensor)
    out._data = data
    out._layout = layout
    out._edge = None
    out._version = None
    return out


def share_version(tensor: Tensor) -> Version:
    """The version counter of a tensor whose memory is about to be shared."""
    version = tensor._version
    if version is None:
        version = tensor._version = Version()
    if not version.sharers:
        version.add_sharer(tensor)
    return version


def wrap_view(data: Any, base: Tensor, edge: Node | None = None) -> Tensor:
    """A tensor around an array that shares the memory of `base`."""
    out = wrap(data, edge)
    out._version = share_version(base)
    out._version.add_sharer(out)
    return out


def leaf_of(tensor: Tensor) -> Leaf | None:
    """Where the tensor's gradients end, or ended before `requires_grad_(False)`; None for what is, and was, no leaf."""
    edge = tensor._edge
    if edge is None:
        return getattr(tensor, "_paused", None)
    return edge if type(edge) is Leaf else None


def version_of(tensor: Tensor) -> int:
    """How often the tensor's memory has been changed in place."""
    version = tensor._version
    return 0 if version is None else version.count


def is_recording(*tensors: Tensor) -> bool:
    """Whether an operation on these tensors belongs into the graph."""
    return grad_mode.get() and any(t._edge is not None for t in tensors)
