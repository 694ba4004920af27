"""Views of device memory against NumPy's views: any chain of them has the same shape, strides and elements."""

import operator

import numpy as np
import pytest
from fake_cuda import FakeRuntime, FakeStream
from hypothesis import assume, given
from hypothesis import strategies as st

from kernels.cuda import array as arrays
from kernels.cuda import memory
from kernels.cuda.array import BFLOAT16, DeviceArray, from_interface, is_bfloat16
from kernels.cuda.memory import CachingAllocator
from kernels.cuda.views import byte_bounds, reshaped_strides
from kernels.layout import layout_of


class Device:
    """A fake device that makes arrays."""

    def __init__(self, **options):
        self.runtime = FakeRuntime(**options)
        self.allocator = CachingAllocator(self.runtime)

    def put(self, host):
        return arrays.from_numpy(host, source=self.allocator)

    def empty(self, shape, dtype=np.float32):
        return arrays.empty(shape, dtype, source=self.allocator)


@pytest.fixture
def device():
    return Device()


def numbers(*shape, dtype=np.float32):
    return np.arange(np.prod(shape, dtype=int), dtype=dtype).reshape(shape)


def check_same(ours, theirs):
    assert ours.shape == theirs.shape and ours.dtype == theirs.dtype
    if theirs.size:
        steps = [(a, b) for n, a, b in zip(theirs.shape, ours.strides, theirs.strides, strict=True) if n > 1]
        assert all(a == b for a, b in steps), (ours.strides, theirs.strides)
    assert (ours.ndim, ours.size, ours.itemsize, ours.nbytes) == (theirs.ndim, theirs.size, theirs.itemsize, theirs.nbytes)
    assert ours.flags.c_contiguous == theirs.flags.c_contiguous
    np.testing.assert_array_equal(ours.numpy(), theirs, strict=True)


# --- views ---------------------------------------------------------------------------------------------------------------


@st.composite
def indices(draw, shape):
    items = []
    for size in shape[: draw(st.integers(0, len(shape)))]:
        if draw(st.booleans()):
            items.append(draw(st.slices(size)))
        elif size:
            items.append(draw(st.integers(-size, size - 1)))
        else:
            items.append(slice(None))
    for _ in range(draw(st.integers(0, 2))):
        items.insert(draw(st.integers(0, len(items))), None)
    if draw(st.booleans()):
        items.insert(draw(st.integers(0, len(items))), ...)
        # what follows the ellipsis meets other axes
        for i, item in enumerate(items):
            if isinstance(item, int) or (isinstance(item, slice) and item != slice(None)):
                items[i] = slice(None, None, draw(st.sampled_from([1, 2, -1, -2])))
    return tuple(items) if len(items) != 1 or draw(st.booleans()) else items[0]


@st.composite
def steps(draw, shape):
    """One view: a name and a function that makes it from either kind of array."""
    kind = draw(st.sampled_from("index index transpose swap squeeze broadcast reshape flat".split()))
    rank = len(shape)
    if kind == "index":
        key = draw(indices(shape))
        items = key if isinstance(key, tuple) else (key,)
        as_array = key if ... in items else (*items, ...)  # NumPy gives a scalar otherwise
        return f"[{key}]", lambda a: a[key if isinstance(a, DeviceArray) else as_array]
    if kind == "transpose":
        axes = draw(st.permutations(range(rank)))
        return f"transpose({axes})", lambda a: a.transpose(axes) if axes else a.T
    if kind == "swap" and rank:
        first, second = draw(st.tuples(*[st.integers(-rank, rank - 1)] * 2))
        return f"swapaxes({first}, {second})", lambda a: a.swapaxes(first, second)
    if kind == "squeeze":
        return "squeeze()", lambda a: a.squeeze()
    if kind == "broadcast":
        stretched = tuple(draw(st.integers(0, 3)) if n == 1 else n for n in shape)
        full = (*draw(st.lists(st.integers(1, 2), max_size=1)), *stretched)
        return (
            f"broadcast_to({full})",
            lambda a: a.broadcast_to(full) if isinstance(a, DeviceArray) else np.broadcast_to(a, full),
        )
    if kind == "reshape":
        left, parts = int(np.prod(shape, dtype=int)), []
        for _ in range(draw(st.integers(0, 3))):
            divisors = [n for n in range(1, left + 1) if left % n == 0] or [0]
            parts.append(draw(st.sampled_from(divisors)))
            left = left // parts[-1] if parts[-1] else 1
        wanted = (*parts, left)
        return f"reshape({wanted})", lambda a: a.reshape(wanted) if isinstance(a, DeviceArray) else view_reshape(a, wanted)
    return "reshape(-1)", lambda a: a.reshape(-1) if isinstance(a, DeviceArray) else view_reshape(a, (-1,))


def view_reshape(array, shape):
    try:
        return np.reshape(array, shape, copy=False)
    except ValueError:
        return None


@given(st.data(), st.lists(st.integers(0, 4), max_size=4), st.sampled_from(["u1", "f2", "f4", "f8", "c16", "?", "i8"]))
def test_chains_of_views(data, shape, dtype):
    device = Device()
    theirs = numbers(*shape).astype(dtype)
    ours = device.put(theirs)
    whole, program = ours, []
    for _ in range(data.draw(st.integers(1, 6))):
        text, make = data.draw(steps(theirs.shape))
        program.append(text)
        wanted = make(theirs)
        if wanted is None:
            with pytest.raises(ValueError, match="a copy is needed"):
                make(ours)
            continue
        theirs, ours = wanted, make(ours)
        assume(theirs.size < 2000)
        check_same(ours, theirs)
        assert ours.flags.writeable == theirs.flags.writeable, program
        assert ours.block is whole.block
        if theirs.size:
            assert byte_bounds(ours)[0] >= whole.pointer and byte_bounds(ours)[1] <= whole.pointer + whole.nbytes
            assert ours.shares_memory(whole) and layout_of(ours).aligned


@given(st.data(), st.lists(st.integers(0, 4), min_size=1, max_size=4))
def test_which_reshapes_are_views(data, shape):
    theirs = numbers(*shape)
    theirs = theirs.transpose(data.draw(st.permutations(range(theirs.ndim))))
    theirs = theirs[tuple(slice(None, None, data.draw(st.sampled_from([1, 1, 2, -1]))) for _ in shape)]
    left, wanted = theirs.size, []
    while left > 1 and len(wanted) < 4:
        wanted.append(data.draw(st.sampled_from([n for n in range(1, left + 1) if left % n == 0])))
        left //= wanted[-1]
    wanted = (*wanted, left)
    view = view_reshape(theirs, wanted)
    strides = reshaped_strides(theirs.shape, theirs.strides, 4, wanted)
    assert (strides is not None) == (view is not None)
    if view is not None and view.size:
        assert [s for n, s in zip(wanted, strides, strict=True) if n > 1] == [s for n, s in zip(wanted, view.strides, strict=True) if n > 1]


def test_reshape(device):
    x = device.put(numbers(2, 3, 4))
    assert x.reshape(6, -1).shape == x.reshape((6, 4)).shape == (6, 4) and x.reshape(24).shape == x.reshape(-1).shape == (24,)
    assert x.view_reshapes((4, 6)) and x.T.view_reshapes((4, 3, 2, 1)) and not x.T.view_reshapes((24,))
    assert device.empty((0, 3)).reshape(3, 0, 7).shape == (3, 0, 7)
    with pytest.raises(ValueError, match="a copy is needed"):
        x.T.reshape(-1)
    for wanted, message in [((5, 5), "cannot reshape array of size 24 into shape"), ((-1, -1), "one unknown"), ((7, -1), "cannot")]:
        with pytest.raises(ValueError, match=message):
            x.reshape(wanted)


@pytest.mark.parametrize(
    "key, message",
    [
        (3, "index 3 is out of bounds for axis 0 with size 2"),
        ((0, -4), "index -4 is out of bounds for axis 1 with size 3"),
        ((0, 0, 0), "too many indices for array: array is 2-dimensional, but 3 were indexed"),
        ((..., 0, ...), r"an index can only have a single ellipsis \('...'\)"),
        (1.5, "only integers, slices"),
        ("a", "only integers, slices"),
    ],
)
def test_wrong_indices(device, key, message):
    host = numbers(2, 3)
    for array in (host, device.put(host)):
        with pytest.raises(IndexError, match=message):
            array[key]


@pytest.mark.parametrize("key", [True, np.array([0, 1]), [0, 1], np.True_])
def test_indexing_by_arrays_is_not_here(device, key):
    with pytest.raises(IndexError, match="kernels.cuda's indexing functions"):
        device.put(numbers(2, 3))[key]


def test_wrong_axes(device):
    x = device.put(numbers(2, 3))
    for wrong in (lambda: x.transpose(0, 2), lambda: x.swapaxes(0, -3), lambda: x.squeeze(2)):
        with pytest.raises(np.exceptions.AxisError, match="out of bounds for array of dimension 2"):
            wrong()
    for wrong, message in [
        (lambda: x.transpose(0), "don't match"),
        (lambda: x.transpose(0, 0), "repeated axis"),
        (lambda: x.squeeze(0), "not equal to one"),
        (lambda: x.broadcast_to((2, 4)), "does not stretch"),
        (lambda: x.broadcast_to((3,)), "does not stretch"),
        (lambda: x[0].mT, "ndim < 2"),
    ]:
        with pytest.raises(ValueError, match=message):
            wrong()


def test_transposes(device):
    host = numbers(2, 3, 4)
    x = device.put(host)
    check_same(x.T, host.T)
    check_same(x.mT, host.mT)
    check_same(x.transpose(None), host.T)
    check_same(x.transpose((1, 0, 2)), host.transpose(1, 0, 2))
    check_same(x[:, :1].squeeze(axis=1), host[:, 0])
    check_same(x[:1, :1].squeeze((0, -2)), host[0, 0])


def test_views_as_another_dtype(device):
    host = numbers(3, 4)
    x = device.put(host)
    check_same(x.T.view(np.int32), host.T.view(np.int32))
    half = device.put(np.ones(3, np.float16))
    assert is_bfloat16(half.view(BFLOAT16).dtype) and half.view(BFLOAT16).view("f2").dtype == np.float16
    with pytest.raises(ValueError, match="float32 has 4 bytes per element and bfloat16 has 2"):
        x.view(BFLOAT16)


def test_writeable(device):
    x = device.put(numbers(2, 3))
    view = x[0]
    assert x.flags.writeable and view.flags.writeable
    view.flags.writeable = False
    assert x.flags.writeable and not view[1:].flags.writeable and not view.view("i4").flags.writeable
    view.flags.writeable = True
    stretched = view.broadcast_to((5, 3))
    assert not stretched.flags.writeable and "writeable=False" in repr(stretched.flags)


def test_aligned(device):
    x = device.put(np.zeros((4, 5), np.float64))
    assert x.flags.aligned
    shifted = arrays._make(x.block, x.pointer + 1, (2,), (8,), x.dtype, x.device, True)
    assert not shifted.flags.aligned
    assert not arrays._make(x.block, x.pointer, (2,), (9,), x.dtype, x.device, True).flags.aligned


def test_shares_memory(device):
    x = device.put(numbers(6, 4))
    assert x.shares_memory(x.T) and x[:3].shares_memory(x[2:]) and x[::-1][:2].shares_memory(x[-1])
    assert not x[:3].shares_memory(x[3:]) and not x.shares_memory(device.empty((6, 4)))
    assert not x.shares_memory(x[:0]) and not x.shares_memory(numbers(3)) and not x[0].shares_memory(x[::-1][:5])


# --- as an object ----------------------------------------------------------------------------------------------------------


def test_what_it_looks_like(device):
    x = device.empty((2, 3), BFLOAT16)
    assert repr(x) == "DeviceArray(shape=(2, 3), dtype=bfloat16, device='cuda:0')"
    assert repr(device.empty(4)) == "DeviceArray(shape=(4,), dtype=float32, device='cuda:0')"
    assert len(x) == 2 and [row.shape for row in x] == [(3,), (3,)]
    zero_d = device.empty(())
    with pytest.raises(TypeError, match="unsized"):
        len(zero_d)
    with pytest.raises(TypeError, match="iteration over a 0-d array"):
        iter(zero_d)
    with pytest.raises(TypeError, match="from_numpy"):
        DeviceArray((2, 3))
    with pytest.raises(TypeError):
        hash(x)


@pytest.mark.parametrize("name", "add sub mul truediv pow matmul lt eq ne and_ iadd".split())
def test_operators_point_to_the_kernels(device, name):
    x = device.put(numbers(3))
    pairs = [(x, x), (x, 1.0), (x, numbers(3)), (numbers(3), x)]
    for left, right in pairs[:3] if name == "iadd" else pairs:
        with pytest.raises(TypeError, match="kernels.cuda"):
            getattr(operator, name)(left, right)
    with pytest.raises(TypeError, match="kernels.cuda"):
        operator.neg(x)
    with pytest.raises(TypeError, match="kernels.cuda.copy"):
        x[0] = 1.0
    with pytest.raises(TypeError):
        np.add(x, 1)


def test_values(device):
    x = device.put(np.float32(2.5))
    assert x.shape == () and x.item() == 2.5 and type(x.item()) is float and float(x) == 2.5 and int(x) == 2 and x.tolist() == 2.5
    assert bool(x) and not bool(device.put(np.zeros((1, 1)))) and range(9)[device.put(np.int32(3))] == 3
    assert device.put(numbers(2, 2)).tolist() == [[0.0, 1.0], [2.0, 3.0]] and device.put(numbers(2, 2))[1, 0].item() == 2.0
    with pytest.raises(ValueError, match="size 1"):
        device.empty(3).item()
    for shape in [(2,), (0,)]:
        with pytest.raises(ValueError, match="ambiguous"):
            bool(device.empty(shape))
    with pytest.raises(TypeError, match="index"):
        operator.index(x)


def test_bfloat16_values(device):
    bits = np.array([0x3F80, 0xC000, 0x7F80], np.uint16)
    x = device.put(bits.view(BFLOAT16))
    assert x.tolist() == [1.0, -2.0, float("inf")] and x[1].item() == -2.0 and x.numpy().dtype == BFLOAT16 and x.itemsize == 2
    np.testing.assert_array_equal(x.view(np.uint16).numpy(), bits)
    np.testing.assert_array_equal(x[::-1].numpy(), bits[::-1].view(BFLOAT16))


def test_as_a_numpy_array(device):
    host = numbers(2, 3)
    x = device.put(host)
    np.testing.assert_array_equal(np.asarray(x), host, strict=True)
    assert np.asarray(x.T, np.float64).dtype == np.float64
    copy = x.numpy()
    copy[:] = 7
    np.testing.assert_array_equal(x.numpy(), host)
    with pytest.raises(ValueError, match="device memory"):
        np.array(x, copy=False)


def test_from_numpy(device):
    for host in (numbers(4, 6)[::2, ::-3], np.asfortranarray(numbers(3, 4)), numbers(3).astype(">f4"), np.zeros((0, 2)), [[1, 2], [3, 4]]):
        x = device.put(host)
        expected = np.asarray(host)
        np.testing.assert_array_equal(x.numpy(), expected)
        assert x.flags.c_contiguous and x.dtype == expected.dtype.newbyteorder("=") and x.dtype.isnative
    for wrong in (np.array(["a"]), np.array([None]), np.zeros(2, "M8[s]"), np.zeros(2, [("a", "f4")])):
        with pytest.raises(TypeError, match="expected numbers or bool"):
            device.put(wrong)
    with pytest.raises(ValueError, match="negative dimensions"):
        device.empty((2, -1))


def test_the_device_is_found_by_its_name(monkeypatch):
    runtime = FakeRuntime()
    monkeypatch.setattr(memory, "_allocators", {})
    monkeypatch.setattr(memory, "_runtime", lambda: runtime)
    memory._parse_device.cache_clear()
    for given_, name in [("cuda", "cuda:0"), ("cuda:1", "cuda:1"), (1, "cuda:1")]:
        x = arrays.empty((2,), np.float32, given_)
        assert x.device == name and x.block.device == int(name[-1])
        assert arrays.from_numpy(numbers(3), given_).device == name
    with pytest.raises(ValueError, match="there are 2 CUDA devices"):
        arrays.empty((2,), np.float32, "cuda:2")
    memory._parse_device.cache_clear()


def test_views_keep_the_memory_alive(device):
    view = device.put(numbers(100, 100))[3, ::2]
    assert device.allocator.allocated == 40448
    np.testing.assert_array_equal(view.numpy(), numbers(100, 100)[3, ::2])
    del view
    assert device.allocator.allocated == 0


# --- copies to the host ------------------------------------------------------------------------------------------------------


def copied(device):
    return [call[1] for call in device.runtime.calls if call[0] == "to_host"]


def test_a_contiguous_array_is_copied_at_once(device):
    x = device.put(numbers(8, 8))
    x[2:4].numpy()
    x.T.numpy()
    x[::-1, 1::2].numpy()
    x[3:4].broadcast_to((1000, 8)).numpy()
    assert copied(device) == [64, 256, 252, 32]


def test_gaps_are_left_out_where_they_are_wide(device):
    host = numbers(4, 300_000)
    x = device.put(host)
    np.testing.assert_array_equal(x[:, 5:15].numpy(), host[:, 5:15])
    assert copied(device) == [40] * 4
    device.runtime.calls.clear()
    np.testing.assert_array_equal(x.T[::-1][7:9].numpy(), host.T[::-1][7:9])
    assert copied(device) == [8] * 4
    device.runtime.calls.clear()
    np.testing.assert_array_equal(x[:, ::2].numpy(), host[:, ::2])
    assert sum(copied(device)) <= host.nbytes and len(copied(device)) <= 4


def test_reading_waits_for_the_stream_that_wrote(device):
    x = device.put(numbers(3))
    mine = x.block.stream
    other = x.block.stream = FakeStream(name="other")
    x.numpy()
    assert device.runtime.waits() == [(mine, other)]


# --- __cuda_array_interface__ ------------------------------------------------------------------------------------------------


class Foreign:
    """An object of another library, on a NumPy array's memory."""

    def __init__(self, host, **changes):
        self.host = host
        self.__cuda_array_interface__ = {
            "shape": host.shape, "typestr": host.dtype.str, "data": (host.ctypes.data, not host.flags.writeable),
            "version": 3, "strides": host.strides, **changes,
        }  # fmt: skip


def test_the_interface_of_an_array(device):
    x = device.put(numbers(2, 3))
    assert x.__cuda_array_interface__ == {
        "shape": (2, 3), "typestr": "<f4", "data": (x.pointer, False), "version": 3, "strides": None,
        "stream": x.block.stream.handle,
    }  # fmt: skip
    view = x.T[::-1]
    view.flags.writeable = False
    found = view.__cuda_array_interface__
    assert found["strides"] == (-4, 12) and found["data"] == (x.pointer + 8, True)
    assert x[:0].__cuda_array_interface__["data"] == (0, False)


def test_no_interface_in_the_simulator():
    x = Device(is_simulated=True).put(numbers(2, 3))
    assert not hasattr(x, "__cuda_array_interface__")
    with pytest.raises(AttributeError, match="simulator"):
        x.__cuda_array_interface__  # noqa: B018


@pytest.mark.parametrize("host", [numbers(3, 4), numbers(3, 4).T[::-1], np.float32(3), np.zeros((0, 2), np.int8)], ids=str)
def test_from_interface(host):
    runtime = FakeRuntime()
    host = np.asarray(host)
    x = from_interface(Foreign(host), runtime=runtime)
    check_same(x, host)
    assert x.block.owner.host is host and not runtime.memory
    again = from_interface(x, runtime=runtime)
    check_same(again, host)


def test_from_interface_shares_memory_and_waits():
    runtime = FakeRuntime()
    host = numbers(3)
    host.flags.writeable = False
    x = from_interface(Foreign(host, strides=None, stream=7), runtime=runtime)
    host.flags.writeable = True
    host[1] = 50
    assert x.tolist() == [0, 50, 2]
    assert runtime.waits() == [(runtime.stream(0), runtime.foreign_stream(0, 7))]
    with pytest.raises(ValueError, match="cannot set WRITEABLE"):
        x[1:].flags.writeable = True


@pytest.mark.parametrize(
    "changes, error, message",
    [
        (dict(mask=1), ValueError, "masked"),
        (dict(typestr=">f4"), TypeError, "native"),
        (dict(typestr="|S4"), TypeError, "expected native numbers"),
        (dict(strides=(4, 4)), ValueError, "different lengths"),
        (dict(stream=0), ValueError, "ambiguous"),
    ],
)
def test_wrong_interfaces(changes, error, message):
    with pytest.raises(error, match=message):
        from_interface(Foreign(numbers(3), **changes), runtime=FakeRuntime())
    with pytest.raises(TypeError, match="ndarray has no __cuda_array_interface__"):
        from_interface(numbers(3), runtime=FakeRuntime())
