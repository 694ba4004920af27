"""The kernels of pooling, a thread for each element that is written; `kernels.pooling` says which elements a window has.

The gradients gather: an input element walks the windows that may hold it in order, so there are no atomics.
"""

from kernels.cuda.compiler import inlined, kernel
from kernels.cuda.index_kernels import number_of_thread, quotient

# ruff: noqa: F821  (cuda, types, T and numbers in capitals are names of the generated module)


@inlined
def first_inside(begin, dilation):
    """The first element of a window that is not in front of the input."""
    if begin < int64(0):
        return begin + quotient(dilation - int64(1) - begin, dilation) * dilation
    return begin


@inlined
def begin_of(p, size, positions, taps, stride, before):
    if taps > int64(0):
        return p * stride - before
    return quotient(p * size, positions)


@inlined
def end_of(p, size, positions, taps, stride, before, dilation):
    """Behind the last element of a window, which may lie behind the input."""
    if taps > int64(0):
        return p * stride - before + (taps - int64(1)) * dilation + int64(1)
    return quotient((p + int64(1)) * size + positions - int64(1), positions)


@inlined
def first_window(i, size, positions, taps, stride, before, dilation):
    """The first window that reaches to element i of the input."""
    if taps > int64(0):
        behind = i + before - (taps - int64(1)) * dilation + stride - int64(1)
        return quotient(max(behind, int64(0)), stride)
    return quotient(i * positions, size)


@inlined
def last_window(i, size, positions, taps, stride, before):
    """Behind the last window that begins at element i of the input or in front of it."""
    if taps > int64(0):
        return min(quotient(i + before, stride) + int64(1), positions)
    return quotient((i + int64(1)) * positions + size - int64(1), size)


@kernel(uses=[quotient, number_of_thread, first_inside, begin_of, end_of])
def max_pool(
    x: "T*", out: "T*", places: "int64*", total: "int64",
    oz: "int64", oy: "int64", ox: "int64", nz: "int64", ny: "int64", nx: "int64", kz: "int64", ky: "int64", kx: "int64",
    sz: "int64", sy: "int64", sx: "int64", bz: "int64", by: "int64", bx: "int64", dz: "int64", dy: "int64", dx: "int64",
):  # fmt: skip
    e = number_of_thread()
    if e < total:
        row = quotient(e, ox)
        p = e - row * ox
        block = quotient(row, oy)
        y = row - block * oy
        number = quotient(block, oz)
        z = block - number * oz
        plane = number * nz * ny * nx
        z0 = first_inside(begin_of(z, nz, oz, kz, sz, bz), dz)
        z1 = min(end_of(z, nz, oz, kz, sz, bz, dz), nz)
        y0 = first_inside(begin_of(y, ny, oy, ky, sy, by), dy)
        y1 = min(end_of(y, ny, oy, ky, sy, by, dy), ny)
        x0 = first_inside(begin_of(p, nx, ox, kx, sx, bx), dx)
        x1 = min(end_of(p, nx, ox, kx, sx, bx, dx), nx)
        place = (z0 * ny + y0) * nx + x0
        best = x[plane + place]
        k = z0
        while k < z1:
            j = y0
            while j < y1:
                line = (k * ny + j) * nx
                i = x0
                while i < x1:
                    v = x[plane + line + i]
                    if v > best or v != v:  # of several NaN the last, as in PyTorch
                        best = v
                        place = line + i
                    i += dx
                j += dy
            k += dz
        out[e] = best
        places[e] = place


@kernel(uses=[quotient, number_of_thread, first_window, last_window])
def max_pool_gradient(
    g: "T*", places: "int64*", out: "T*", total: "int64",
    oz: "int64", oy: "int64", ox: "int64", nz: "int64", ny: "int64", nx: "int64", kz: "int64", ky: "int64", kx: "int64",
    sz: "int64", sy: "int64", sx: "int64", bz: "int64", by: "int64", bx: "int64", dz: "int64", dy: "int64", dx: "int64",
):  # fmt: skip
    e = number_of_thread()
    if e < total:
        row = quotient(e, nx)
        i = e - row * nx
        block = quotient(row, ny)
        j = row - block * ny
        number = quotient(block, nz)
        k = block - number * nz
        own = (k * ny + j) * nx + i
        z1 = last_window(k, nz, oz, kz, sz, bz)
        y0 = first_window(j, ny, oy, ky, sy, by, dy)
        y1 = last_window(j, ny, oy, ky, sy, by)
        x0 = first_window(i, nx, ox, kx, sx, bx, dx)
        x1 = last_window(i, nx, ox, kx, sx, bx)
        sum = T(0)
        for z in range(first_window(k, nz, oz, kz, sz, bz, dz), z1):
            for y in range(y0, y1):
                line = ((number * oz + z) * oy + y) * ox
                for p in range(x0, x1):
                    if places[line + p] == own:
                        sum += g[line + p]
        out[e] = sum


@kernel(uses=[quotient, number_of_thread, begin_of, end_of])
def avg_pool(
    x: "T*", out: "T*", total: "int64", divisor: "int64", padded: "int64",
    oz: "int64", oy: "int64", ox: "int64", nz: "int64", ny: "int64", nx: "int64", kz: "int64", ky: "int64", kx: "int64",
    sz: "int64", sy: "int64", sx: "int64", bz: "int64", by: "int64", bx: "int64", dz: "int64", dy: "int64", dx: "int64",
):  # fmt: skip
    e = number_of_thread()
    if e < total:
        row = quotient(e, ox)
        p = e - row * ox
        block = quotient(row, oy)
        y = row - block * oy
        number = quotient(block, oz)
        z = block - number * oz
        plane = number * nz * ny * nx
        z0 = begin_of(z, nz, oz, kz, sz, bz)
        z1 = end_of(z, nz, oz, kz, sz, bz, dz)
        y0 = begin_of(y, ny, oy, ky, sy, by)
        y1 = end_of(y, ny, oy, ky, sy, by, dy)
        x0 = begin_of(p, nx, ox, kx, sx, bx)
        x1 = end_of(p, nx, ox, kx, sx, bx, dx)
        count = (min(z1, nz + bz) - z0) * (min(y1, ny + by) - y0) * (min(x1, nx + bx) - x0)
        z0 = max(z0, int64(0))
        z1 = min(z1, nz)
        y0 = max(y0, int64(0))
        y1 = min(y1, ny)
        x0 = max(x0, int64(0))
        x1 = min(x1, nx)
        if padded == int64(0):
            count = (z1 - z0) * (y1 - y0) * (x1 - x0)
        if divisor > int64(0):
            count = divisor
        sum = T(0)
        for k in range(z0, z1):
            slab = T(0)  # sums of sums of rows: a large window loses no more digits than its longest side
            for j in range(y0, y1):
                line = plane + (k * ny + j) * nx
                part = T(0)
                for i in range(x0, x1):
                    part += x[line + i]
                slab += part
            sum += slab
        out[e] = sum / T(count)


@kernel(uses=[quotient, number_of_thread, begin_of, end_of, first_window, last_window])
def avg_pool_gradient(
    g: "T*", out: "T*", total: "int64", divisor: "int64", padded: "int64",
    oz: "int64", oy: "int64", ox: "int64", nz: "int64", ny: "int64", nx: "int64", kz: "int64", ky: "int64", kx: "int64",
    sz: "int64", sy: "int64", sx: "int64", bz: "int64", by: "int64", bx: "int64", dz: "int64", dy: "int64", dx: "int64",
):  # fmt: skip
    e = number_of_thread()
    if e < total:
        row = quotient(e, nx)
        i = e - row * nx
        block = quotient(row, ny)
        j = row - block * ny
        number = quotient(block, nz)
        k = block - number * nz
        z1 = last_window(k, nz, oz, kz, sz, bz)
        y0 = first_window(j, ny, oy, ky, sy, by, dy)
        y1 = last_window(j, ny, oy, ky, sy, by)
        x0 = first_window(i, nx, ox, kx, sx, bx, dx)
        x1 = last_window(i, nx, ox, kx, sx, bx)
        sum = T(0)
        for z in range(first_window(k, nz, oz, kz, sz, bz, dz), z1):
            za = begin_of(z, nz, oz, kz, sz, bz)
            zb = end_of(z, nz, oz, kz, sz, bz, dz)
            depth = min(zb, nz + bz) - za
            if padded == int64(0):
                depth = min(zb, nz) - max(za, int64(0))
            for y in range(y0, y1):
                ya = begin_of(y, ny, oy, ky, sy, by)
                yb = end_of(y, ny, oy, ky, sy, by, dy)
                height = min(yb, ny + by) - ya
                if padded == int64(0):
                    height = min(yb, ny) - max(ya, int64(0))
                line = ((number * oz + z) * oy + y) * ox
                for p in range(x0, x1):
                    xa = begin_of(p, nx, ox, kx, sx, bx)
                    xb = end_of(p, nx, ox, kx, sx, bx, dx)
                    width = min(xb, nx + bx) - xa
                    if padded == int64(0):
                        width = min(xb, nx) - max(xa, int64(0))
                    count = depth * height * width
                    if divisor > int64(0):
                        count = divisor
                    sum += g[line + p] / T(count)
        out[e] = sum
