"""Convolution on the device against sliding windows in NumPy: ragged shapes, strides in memory, errors."""

from importlib import import_module

import numpy as np
import pytest
from conv_checks import CASES, LAYOUTS, check
from cuda_support import cuda, needs_cuda

pytestmark = needs_cuda


# A block takes the simulator tens of milliseconds: the cases with few of them.
SMALL = [case for case in CASES if np.prod(case[0]) * np.prod(case[1]) < 4_000]
GROUPED = ((2, 4, 5, 6), (6, 2, 3, 2), {"groups": 2, "padding": (1, 2), "stride": (2, 3), "dilation": (2, 1)})


@pytest.mark.parametrize("case", SMALL, ids=str)
def test_all_three_kernels(case):
    check(cuda(), *case, np.float32, biased=False)


def test_groups_strides_bias():
    check(cuda(), *GROUPED, np.float32)


def test_float64():
    check(cuda(), *GROUPED, np.float64, biased=False)


@pytest.mark.parametrize("layout", LAYOUTS[1:])
def test_any_strides(layout):
    check(cuda(), (2, 3, 5, 4), (4, 3, 3, 2), {"padding": 1}, np.float32, layout, biased=False)


def test_more_than_a_tile_of_everything():
    check(cuda(), (1, 5, 6, 7), (35, 5, 2, 2), {"padding": 1}, np.float32, biased=False)


def test_large_tiles(monkeypatch):
    monkeypatch.setattr(import_module("kernels.cuda.conv"), "_BUSY", 1)
    check(cuda(), (1, 33, 3, 22), (34, 33, 1, 1), {}, np.float32, biased=False)


def test_the_gradient_by_the_weight_in_parts(monkeypatch):
    monkeypatch.setattr(import_module("kernels.cuda.conv"), "_PART", 32)
    check(cuda(), (4, 1, 40), (2, 1, 3), {"padding": 1}, np.float32, biased=False)


def test_errors():
    k = cuda()
    x, weight = k.from_numpy(np.zeros((2, 3, 5), np.float32)), k.from_numpy(np.zeros((4, 3, 3), np.float32))
    with pytest.raises(ValueError, match="takes 6 input channels"):
        k.conv(x, weight, groups=2)
    with pytest.raises(TypeError, match="operands are arrays on the device, got ndarray"):
        k.conv(np.zeros((2, 3, 5), np.float32), weight)
    with pytest.raises(TypeError, match="the weight is float64, input is float32"):
        k.conv(x, k.from_numpy(np.zeros((4, 3, 3))))
    with pytest.raises(ValueError, match=r"the gradient must have shape \(2, 4, 3\), got \(2, 3, 5\)"):
        k.conv_input_gradient(x, weight, (2, 3, 5))
