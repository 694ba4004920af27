"""Convolution and its gradients against sliding windows in NumPy, on everything that has its own path."""

import numpy as np
import pytest
from conv_checks import CASES, LAYOUTS, check, sample

from kernels import backend_for, launch
from kernels.cpu.pointer import JIT_DISABLED

k = backend_for("cpu")
# As plain Python loops the larger ones take minutes.
SMALL = [case for case in CASES if np.prod(case[0]) * np.prod(case[1]) < 40_000] if JIT_DISABLED else CASES


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("case", SMALL, ids=str)
def test_all_three_kernels(case, dtype):
    check(k, *case, dtype)


@pytest.mark.parametrize("layout", LAYOUTS[1:])
@pytest.mark.parametrize("case", SMALL[1:7] + SMALL[8:9], ids=str)
def test_any_strides(case, layout):
    check(k, *case, np.float32, layout)


def test_images_of_many_sizes():
    """Panels that begin and end at every place of a line and of an image."""
    for height, width, batch in ((1, 31, 3), (1, 33, 2), (5, 16, 2), (9, 7, 3), (33, 2, 2), (12, 12, 1), (23, 45, 1)):
        check(k, (batch, 2, height, width), (5, 2, 3, 3), {"padding": 1}, np.float32)
    for rows in (1, 2, 7, 8, 15, 16, 31, 32, 33, 64, 65, 130):
        check(k, (2, 3, 9, 5), (rows, 3, 2, 2), {}, np.float32)


@pytest.mark.skipif(JIT_DISABLED, reason="takes minutes without the compiler")
def test_threads_do_not_change_a_bit():
    x, weight = sample((5, 12, 13, 14), np.float32), sample((20, 6, 3, 3), np.float32)
    options = {"groups": 2, "padding": 1, "stride": (2, 1)}
    grad = sample(k.conv(x, weight, **options).shape, np.float32)

    def all_three():
        return [
            k.conv(x, weight, **options),
            k.conv_input_gradient(grad, weight, x.shape, **options),
            k.conv_weight_gradient(grad, x, weight.shape, **options),
        ]

    alone = all_three()
    before = launch.get_num_threads(), launch.parallel_work
    try:
        launch.set_num_threads(launch.available_threads())
        launch.parallel_work = 1
        for a, b in zip(alone, all_three(), strict=True):
            np.testing.assert_array_equal(a, b)
    finally:
        launch.set_num_threads(before[0])
        launch.parallel_work = before[1]


@pytest.mark.skipif(JIT_DISABLED, reason="takes minutes without the compiler")
def test_long_sums_are_accurate():
    """The gradient by the weight adds over all positions of all images: in blocks, so that a million ones are counted."""
    x = np.full((16, 1, 256, 256), 0.1, np.float32)
    found = k.conv_weight_gradient(np.ones((16, 1, 256, 256), np.float32), x, (1, 1, 1, 1))
    np.testing.assert_allclose(found, np.float32(0.1) * 2.0**20, rtol=2e-6)
    deep = k.conv(np.full((1, 5000, 1), 0.1, np.float32), np.ones((1, 5000, 1), np.float32))
    np.testing.assert_allclose(deep, 500, rtol=3e-6)


def test_nan_and_infinity_stay_where_they_are():
    x = np.zeros((1, 2, 40), np.float32)
    x[0, 1, 20], x[0, 0, 33] = np.nan, np.inf
    y = k.conv(x, np.ones((3, 2, 3), np.float32), padding=1)
    assert (np.isnan(y).any(axis=1)[0].nonzero()[0] == [19, 20, 21]).all()
    assert (np.isinf(y).any(axis=1)[0].nonzero()[0] == [32, 33, 34]).all()


def test_errors():
    def array(*shape, dtype=np.float32):
        return np.zeros(shape, dtype)

    with pytest.raises(ValueError, match=r"conv: needs an input \(N, C, sizes\).*got shapes \(2, 3\) and \(4, 3\)"):
        k.conv(array(2, 3), array(4, 3))
    with pytest.raises(ValueError, match=r"conv: needs an input"):
        k.conv(array(2, 3, 4), array(4, 3, 3, 3))
    with pytest.raises(ValueError, match=r"takes 6 input channels, the input of shape \(2, 3, 5\) has 3"):
        k.conv(array(2, 3, 5), array(4, 3, 3), groups=2)
    with pytest.raises(ValueError, match=r"groups=3 does not divide the weight's 4 output channels"):
        k.conv(array(2, 3, 5), array(4, 1, 3), groups=3)
    with pytest.raises(ValueError, match=r"reaches over \(5,\) elements .* padded input has only \(4,\)"):
        k.conv(array(2, 3, 4), array(4, 3, 3), dilation=2)
    with pytest.raises(ValueError, match="at least one tap"):
        k.conv(array(2, 3, 4), array(4, 3, 0))
    with pytest.raises(ValueError, match="stride must be at least 1, got 0"):
        k.conv(array(2, 3, 4), array(4, 3, 1), stride=0)
    with pytest.raises(ValueError, match="padding must be at least 0, got -1"):
        k.conv(array(2, 3, 4), array(4, 3, 1), padding=-1)
    with pytest.raises(ValueError, match=r"dilation must be one integer or 1, one for each dimension, got \(1, 2\)"):
        k.conv(array(2, 3, 4), array(4, 3, 1), dilation=(1, 2))
    with pytest.raises(TypeError, match=r"stride must be given in integers, got 1.5"):
        k.conv(array(2, 3, 4), array(4, 3, 1), stride=1.5)
    with pytest.raises(TypeError, match="computes in float32 and float64, the input is int32"):
        k.conv(array(2, 3, 4, dtype=np.int32), array(4, 3, 1))
    with pytest.raises(TypeError, match="the weight is float64, input is float32"):
        k.conv(array(2, 3, 4), array(4, 3, 1, dtype=np.float64))
    with pytest.raises(ValueError, match=r"the bias must have shape \(4,\), got \(3,\)"):
        k.conv(array(2, 3, 4), array(4, 3, 1), array(3))
    with pytest.raises(ValueError, match=r"the gradient must have shape \(2, 4, 4\), got \(2, 4, 5\)"):
        k.conv_input_gradient(array(2, 4, 5), array(4, 3, 1), (2, 3, 4))
    with pytest.raises(ValueError, match=r"conv_weight_gradient: the gradient must have shape \(2, 4, 4\), got \(2, 5, 4\)"):
        k.conv_weight_gradient(array(2, 5, 4), array(2, 3, 4), (4, 3, 1))
