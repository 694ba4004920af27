"""searchsorted on the CPU against NumPy."""

from __future__ import annotations

import numpy as np
import pytest

from kernels.cpu.searching import searchsorted


@pytest.mark.parametrize("dtype", ["bool", "int8", "uint64", "float32", "float64"])
def test_places_are_numpys(dtype):
    generator = np.random.default_rng(0)
    for size in (0, 1, 2, 33):
        x = np.sort((generator.normal(size=size) * 3).astype(dtype))
        wanted = (generator.normal(size=(4, 5)) * 3).astype(dtype)
        if x.dtype.kind == "f":
            wanted[0] = [np.nan, np.inf, -np.inf, 0.0, -0.0]
            x[size - size // 8 :] = np.nan
        for view in (wanted, wanted.T, wanted[::-1, ::2], wanted[0, 0], wanted[:0]):
            view = np.asarray(view)
            for side in ("left", "right"):
                assert np.array_equal(searchsorted(x, view, side == "right"), np.searchsorted(x, view, side))
        assert np.array_equal(searchsorted(x[::-1][::-1], wanted), np.searchsorted(x, wanted))


def test_refusals():
    with pytest.raises(ValueError, match=r"needs a vector and values of its type, got \(2, 3\)"):
        searchsorted(np.zeros((2, 3)), np.zeros(2))
    with pytest.raises(ValueError, match="got .* float64 and int64"):
        searchsorted(np.zeros(2), np.zeros(2, np.int64))
