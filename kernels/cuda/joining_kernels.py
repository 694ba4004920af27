"""The kernel that joins many arrays in one launch."""

from kernels.cuda.compiler import kernel
from kernels.cuda.index_kernels import number_of_thread, quotient

# ruff: noqa: F821  (T and functions are names of the generated module)


@kernel(uses=[quotient, number_of_thread])
def join_rows(table: "int64*", out: "T*", count: "int64", step: "int64", total: "int64"):
    """A thread writes one element.

    table: the addresses of `count` arrays, where each begins in the axis, and the axis's size; `step` elements to a step.
    """
    e = number_of_thread()
    if e < total:
        width = table[count + count] * step
        row = quotient(e, width)
        k = e - row * width
        along = quotient(k, step)
        piece = int64(0)
        high = count
        while high - piece > int64(1):  # the last that begins here or before: those without elements are passed over
            middle = (piece + high) >> int64(1)
            if table[count + middle] <= along:
                piece = middle
            else:
                high = middle
        start = table[count + piece] * step
        own = table[count + piece + int64(1)] * step - start
        elements = pointer_at(table, piece, T)
        out[e] = elements[row * own + k - start]
