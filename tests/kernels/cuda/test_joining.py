"""Joining arrays on the GPU (or the simulator): one launch for many small ones."""

from __future__ import annotations

import moving_checks
import numpy as np
import pytest
from cuda_support import cuda, needs_cuda

from kernels import launch

pytestmark = needs_cuda


@pytest.mark.parametrize("dtype", [*moving_checks.SIZES, "float16"])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_pieces(dtype, axis):
    shapes = [tuple(n if a == axis else size for a, size in enumerate((2, 5, 3))) for n in (1, 3, 0, 4, 2)]
    moving_checks.joins(cuda(), dtype, shapes, axis)
    moving_checks.joins(cuda(), dtype, shapes[:2], axis)


def test_every_element_is_written():
    moving_checks.joins_write_every_element(cuda())


def test_checks():
    moving_checks.joins_are_checked(cuda())


def test_launches():
    """One for many small pieces, one for each of few."""
    k = cuda()
    for count, expected in ((3, 3), (20, 1)):
        pieces = [k.from_numpy(np.full(7, n, np.float32)) for n in range(count)]
        names: list[str] = []
        with launch.observe(lambda seen, names=names: names.append(seen.kernel)):
            found = k.concat(pieces)
        assert len(names) == expected, names
        assert np.array_equal(k.to_numpy(found), np.repeat(np.arange(count), 7))


def test_devices_do_not_mix():
    k = cuda()
    from kernels.cuda import runtime

    if runtime.current().device_count() < 2:
        pytest.skip("needs two devices")
    from kernels.cuda.data import to_device

    a = k.from_numpy(np.zeros(3, np.float32))
    with pytest.raises(RuntimeError, match="cuda:0 and cuda:1"):
        k.concat([a, to_device(a, "cuda:1")])
