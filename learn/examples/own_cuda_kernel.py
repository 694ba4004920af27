"""A CUDA kernel of your own as an operation with a gradient: softsign, x / (1 + |x|).

    python learn/examples/own_cuda_kernel.py

Two kernels go through `@numba.cuda.jit`, and an `ag.Function` launches them on the memory of tensors, without copies: numba
takes whatever has `__cuda_array_interface__`, and so do CuPy and others. It needs a GPU and numba-cuda; without them it says
what is missing.
"""

from __future__ import annotations

import numpy as np

import autograd as ag

try:
    from numba import cuda
except ImportError:
    cuda = None

THREADS = 256  # in a block


def softsign_kernel(x, out):
    """out = x / (1 + |x|); each thread computes one element."""
    i = cuda.grid(1)
    if i < x.size:  # the last block may have threads too many
        one = x.dtype.type(1)  # of x's dtype: with a bare 1 it would be float64's arithmetic
        out[i] = x[i] / (one + abs(x[i]))


def softsign_backward_kernel(x, upstream, out):
    """out = upstream / (1 + |x|)**2"""
    i = cuda.grid(1)
    if i < x.size:
        scale = x.dtype.type(1) + abs(x[i])
        out[i] = upstream[i] / (scale * scale)


compiled = {}


def launch(kernel, *tensors):
    """Start a kernel on tensors' elements in a row, the last tensor being the result."""
    flat = [t.detach().reshape(-1) for t in tensors]
    if not flat[-1].size:
        return
    if kernel not in compiled:
        compiled[kernel] = cuda.jit(kernel)  # what the decorator @cuda.jit does; machine code is made at the first launch
    # numba waits for what is queued for its arguments; on our stream, whatever we do later waits for numba's kernel.
    stream = cuda.external_stream(flat[-1].__cuda_array_interface__["stream"])
    blocks = -(-flat[-1].size // THREADS)
    compiled[kernel][blocks, THREADS, stream](*[cuda.as_cuda_array(t) for t in flat])


class Softsign(ag.Function):
    """x / (1 + |x|), whose derivative is 1 / (1 + |x|)**2."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        out = ag.empty_like(x)
        launch(softsign_kernel, x, out)
        return out

    @staticmethod
    def backward(ctx, upstream):
        (x,) = ctx.saved_tensors
        gradient = ag.empty_like(x)
        launch(softsign_backward_kernel, x, upstream, gradient)
        return gradient


def check(device: str) -> float:
    """Compare with finite differences and with the library's own operations: the largest difference."""
    x = ag.tensor(np.linspace(-3, 3, 1002).reshape(2, 501), device=device, requires_grad=True)
    ag.gradcheck(Softsign.apply, [x[:, ::100].detach().requires_grad_()])
    ours, library = Softsign.apply(x), x / (1 + ag.abs(x))
    upstream = ag.full_like(x, 0.5)
    (mine,), (theirs,) = ag.gradients(ours, [x], [upstream]), ag.gradients(library, [x], [upstream])
    return max(ag.max(ag.abs(ours - library)).item(), ag.max(ag.abs(mine - theirs)).item())


def main() -> None:
    if not ag.cuda.is_available() or ag.cuda.is_simulated():
        print("Kernels of numba's need a GPU, and there is none here (the simulator runs only gradloom's own kernels).")
        print("`python -m autograd doctor` says what is missing. With a GPU this example prints:")
        print("  softsign by kernels of our own: at most 1.1e-16 from the library's, forward and backward")
        return
    print(f"softsign by kernels of our own: at most {check('cuda'):.1e} from the library's, forward and backward")


if __name__ == "__main__":
    main()
