"""Parameter: a tensor that belongs to the module it is assigned to, and is trained."""

from __future__ import annotations

from typing import Any

import autograd as ag
from autograd.ops.update import share


class Parameter(ag.Tensor):
    """A tensor that modules register and optimizers train. It shares the memory of the tensor it is made from.

    Args:
        data: a tensor of floats, or anything `autograd.asarray` takes.
        requires_grad: False for one that is saved with the module but frozen.

    Raises:
        TypeError: gradients are required, and the dtype is no float.

    >>> import autograd as ag, nn
    >>> nn.Parameter(ag.zeros(2))
    parameter([0., 0.], dtype=float32)
    """

    __slots__ = ()

    def __init__(self, data: Any, requires_grad: bool = True) -> None:
        share(self, ag.asarray(data))
        if requires_grad:
            self.requires_grad_()
