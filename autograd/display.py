"""Tensors as text."""

from __future__ import annotations

import numpy as np

from autograd.tensor import Tensor
from kernels import backend_for


def tensor_text(x: Tensor) -> str:
    """The elements (shortened where there are many), shape, dtype, device, and the operation that made the tensor.

    >>> import autograd as ag
    >>> x = ag.tensor([1.0, 2.0], requires_grad=True)
    >>> x * 2
    tensor([2., 4.], dtype=float32, grad_fn=<multiply>)
    >>> ag.zeros((100, 100))
    tensor([[0., 0., 0., ..., 0., 0., 0.],
            [0., 0., 0., ..., 0., 0., 0.],
            [0., 0., 0., ..., 0., 0., 0.],
            ...,
            [0., 0., 0., ..., 0., 0., 0.],
            [0., 0., 0., ..., 0., 0., 0.],
            [0., 0., 0., ..., 0., 0., 0.]], shape=(100, 100), dtype=float32)
    """
    name = "parameter" if type(x).__name__ == "Parameter" else "tensor"
    values = np.array2string(
        np.asarray(backend_for(x.device).to_numpy(x._data)), threshold=200, precision=4, separator=", ",
        prefix=f"{name}(", max_line_width=100,
    )  # fmt: skip
    parts = [values]
    if x.size > 200 or 0 in x.shape:
        parts.append(f"shape={x.shape}")
    parts.append(f"dtype={x.dtype.name}")
    if x.device != "cpu":
        parts.append(f"device={x.device!r}")
    if x.grad_fn is not None:
        parts.append(f"grad_fn=<{x.grad_fn.name}>")
    elif x.requires_grad and name == "tensor":
        parts.append("requires_grad=True")
    return f"{name}({', '.join(parts)})"
