"""The loops of pooling; `kernels.pooling` says which elements a window has.

Forward, an item is a row of the output; backward, a whole plane, whose windows are walked in order: what they share is added
up by one writer, the same way whatever the number of threads.
"""

from kernels.cpu.compiler import inlined

# ruff: noqa: F821  (T and the types are names of the generated module)


@inlined
def first_inside(begin, dilation):
    """The first element of a window that is not in front of the input."""
    return begin + (dilation - 1 - begin) // dilation * dilation if begin < 0 else begin


@inlined
def begin_of(p, size, positions, taps, stride, before):
    return p * stride - before if taps > 0 else p * size // positions


@inlined
def end_of(p, size, positions, taps, stride, before, dilation):
    """Behind the last element of a window, which may lie behind the input."""
    if taps > 0:
        return p * stride - before + (taps - 1) * dilation + 1
    return ((p + 1) * size + positions - 1) // positions


def max_pool(
    low: "int64", high: "int64", x: "T*", out: "T*", places: "int64*",
    oz: "int64", oy: "int64", ox: "int64", nz: "int64", ny: "int64", nx: "int64", kz: "int64", ky: "int64", kx: "int64",
    sz: "int64", sy: "int64", sx: "int64", bz: "int64", by: "int64", bx: "int64", dz: "int64", dy: "int64", dx: "int64",
):  # fmt: skip
    for row in range(low, high):
        y = row % oy
        z = row // oy % oz
        plane = row // (oy * oz) * nz * ny * nx
        z0 = first_inside(begin_of(z, nz, oz, kz, sz, bz), dz)
        z1 = min(end_of(z, nz, oz, kz, sz, bz, dz), nz)
        y0 = first_inside(begin_of(y, ny, oy, ky, sy, by), dy)
        y1 = min(end_of(y, ny, oy, ky, sy, by, dy), ny)
        for p in range(ox):
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
                        better = (v > best) | (v != v)  # of several NaN the last, as in PyTorch
                        best = v if better else best
                        place = line + i if better else place
                        i += dx
                    j += dy
                k += dz
            out[row * ox + p] = best
            places[row * ox + p] = place


def max_pool_gradient(
    low: "int64", high: "int64", g: "T*", places: "int64*", out: "T*", windows: "int64", size: "int64"
):
    for plane in range(low, high):
        to = plane * size
        for i in range(size):
            out[to + i] = T(0)
        for p in range(plane * windows, (plane + 1) * windows):
            out[to + places[p]] += g[p]


def avg_pool(
    low: "int64", high: "int64", x: "T*", out: "T*", divisor: "int64", padded: "int64",
    oz: "int64", oy: "int64", ox: "int64", nz: "int64", ny: "int64", nx: "int64", kz: "int64", ky: "int64", kx: "int64",
    sz: "int64", sy: "int64", sx: "int64", bz: "int64", by: "int64", bx: "int64", dz: "int64", dy: "int64", dx: "int64",
):  # fmt: skip
    for row in range(low, high):
        y = row % oy
        z = row // oy % oz
        plane = row // (oy * oz) * nz * ny * nx
        z0 = begin_of(z, nz, oz, kz, sz, bz)
        z1 = end_of(z, nz, oz, kz, sz, bz, dz)
        y0 = begin_of(y, ny, oy, ky, sy, by)
        y1 = end_of(y, ny, oy, ky, sy, by, dy)
        area = (min(z1, nz + bz) - z0) * (min(y1, ny + by) - y0)
        z0 = max(z0, 0)
        z1 = min(z1, nz)
        y0 = max(y0, 0)
        y1 = min(y1, ny)
        inside = (z1 - z0) * (y1 - y0)
        for p in range(ox):
            x0 = begin_of(p, nx, ox, kx, sx, bx)
            x1 = end_of(p, nx, ox, kx, sx, bx, dx)
            count = area * (min(x1, nx + bx) - x0)
            x0 = max(x0, 0)
            x1 = min(x1, nx)
            if padded == 0:
                count = inside * (x1 - x0)
            if divisor > 0:
                count = divisor
            total = float64(0)  # as exact as a sum in blocks, and as fast in a loop that no vectors serve
            for k in range(z0, z1):
                for j in range(y0, y1):
                    line = plane + (k * ny + j) * nx
                    for i in range(x0, x1):
                        total += float64(x[line + i])
            out[row * ox + p] = T(total / float64(count))


def avg_pool_gradient(
    low: "int64", high: "int64", g: "T*", out: "T*", divisor: "int64", padded: "int64",
    oz: "int64", oy: "int64", ox: "int64", nz: "int64", ny: "int64", nx: "int64", kz: "int64", ky: "int64", kx: "int64",
    sz: "int64", sy: "int64", sx: "int64", bz: "int64", by: "int64", bx: "int64", dz: "int64", dy: "int64", dx: "int64",
):  # fmt: skip
    for plane in range(low, high):
        to = plane * nz * ny * nx
        for i in range(nz * ny * nx):
            out[to + i] = T(0)
        for z in range(oz):
            za = begin_of(z, nz, oz, kz, sz, bz)
            zb = end_of(z, nz, oz, kz, sz, bz, dz)
            z0 = max(za, 0)
            z1 = min(zb, nz)
            for y in range(oy):
                ya = begin_of(y, ny, oy, ky, sy, by)
                yb = end_of(y, ny, oy, ky, sy, by, dy)
                y0 = max(ya, 0)
                y1 = min(yb, ny)
                area = (min(zb, nz + bz) - za) * (min(yb, ny + by) - ya)
                inside = (z1 - z0) * (y1 - y0)
                for p in range(ox):
                    xa = begin_of(p, nx, ox, kx, sx, bx)
                    xb = end_of(p, nx, ox, kx, sx, bx, dx)
                    x0 = max(xa, 0)
                    x1 = min(xb, nx)
                    count = area * (min(xb, nx + bx) - xa)
                    if padded == 0:
                        count = inside * (x1 - x0)
                    if divisor > 0:
                        count = divisor
                    share = g[((plane * oz + z) * oy + y) * ox + p] / T(count)
                    for k in range(z0, z1):
                        for j in range(y0, y1):
                            line = to + (k * ny + j) * nx
                            for i in range(x0, x1):
                                out[line + i] += share
