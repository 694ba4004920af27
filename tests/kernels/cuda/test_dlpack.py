"""Capsules: what NumPy and PyTorch read from ours, what we read from theirs, and whose memory is freed when."""

import ctypes
import gc
import weakref

import numpy as np
import pytest
from fake_cuda import FakeRuntime, FakeStream

from kernels.cuda import array as arrays
from kernels.cuda import dlpack
from kernels.cuda.array import BFLOAT16, from_dlpack
from kernels.cuda.dlpack import CPU, CUDA, from_capsule, to_capsule
from kernels.cuda.memory import CachingAllocator

try:
    import torch
except ImportError:
    torch = None
needs_torch = pytest.mark.skipif(torch is None, reason="PyTorch is not installed")

DTYPES = "bool int8 int16 int32 int64 uint8 uint16 uint32 uint64 float16 float32 float64 complex64 complex128".split()


class Device:
    """A fake device: a GPU as far as anyone can tell, or the simulator's."""

    def __init__(self, is_simulated):
        self.runtime = FakeRuntime(is_simulated=is_simulated)
        self.allocator = CachingAllocator(self.runtime)

    def put(self, host):
        return arrays.from_numpy(host, source=self.allocator)


@pytest.fixture
def simulated():
    return Device(True)


@pytest.fixture
def gpu():
    return Device(False)


def numbers(*shape, dtype=np.float32):
    return np.arange(np.prod(shape, dtype=int)).reshape(shape).astype(dtype)


def views(host):
    return [host, host.T, host[::-1, 1:], host[1], host[1, 2, ...], host[:0]]


def structure(capsule):
    return dlpack._opened(capsule)


# --- giving --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
def test_numpy_reads_our_capsules(simulated, dtype):
    host = numbers(3, 4, dtype=dtype)
    for ours, theirs in zip(views(simulated.put(host)), views(host), strict=True):
        read = np.from_dlpack(ours)
        np.testing.assert_array_equal(read, theirs, strict=True)
        assert read.size < 2 or read.strides == theirs.strides
        assert not read.size or read.ctypes.data == ours.pointer


def test_the_memory_is_shared_and_kept(simulated):
    x = simulated.put(numbers(3, 4))
    read = np.from_dlpack(x[1:])
    read[0, 0] = 50
    assert x[1, 0].item() == 50 and simulated.allocator.allocated == 48
    gone = weakref.ref(x)
    del x
    assert gone() is None and simulated.allocator.allocated == 48
    read = read[::2]
    assert simulated.allocator.allocated == 48
    del read
    assert simulated.allocator.allocated == 0


def test_read_only_arrays_stay_read_only(simulated):
    x = simulated.put(numbers(3)).broadcast_to((2, 3))
    read = np.from_dlpack(x)
    assert not read.flags.writeable and read.strides == (0, 4)
    with pytest.raises(BufferError, match="read-only"):
        x.__dlpack__()
    assert structure(x.__dlpack__(max_version=(1, 0)))[0].flags == 1
    assert structure(x.__dlpack__(copy=True))[1] == b"dltensor"


@pytest.mark.parametrize("max_version", [None, (0, 8), (1, 0), (1, 3), (2, 0)])
@pytest.mark.parametrize("is_simulated", [True, False])
def test_a_capsule_that_nobody_consumes(is_simulated, max_version):
    device = Device(is_simulated)
    x = device.put(numbers(3))
    capsule = x.__dlpack__(max_version=max_version)
    name = b"dltensor_versioned" if max_version and max_version[0] >= 1 else b"dltensor"
    assert structure(capsule)[1] == name
    del x
    assert device.allocator.allocated > 0
    del capsule
    assert device.allocator.allocated == 0


def test_a_capsule_that_dies_while_an_exception_is_on_its_way(simulated):
    def refuse(capsule):
        raise KeyError("the consumer's own error")

    with pytest.raises(KeyError, match="own error"):
        refuse(simulated.put(numbers(3)).__dlpack__())
    with pytest.raises(RuntimeError, match="Unsupported dtype"):  # NumPy's words for bfloat16
        np.from_dlpack(simulated.put(np.zeros(3, BFLOAT16)))
    gc.collect()
    assert simulated.allocator.allocated == 0


@pytest.mark.parametrize("dtype, code, bits", [("f4", 2, 32), ("?", 6, 8), ("c8", 5, 64), ("i8", 0, 64), ("u1", 1, 8), (BFLOAT16, 4, 16)])
@pytest.mark.parametrize("number", [0, 1])
def test_the_structure_of_a_gpu_array(dtype, code, bits, number):
    runtime = FakeRuntime()
    x = arrays.empty((3, 4), dtype, source=CachingAllocator(runtime, number))[:, 1:]
    assert x.__dlpack_device__() == (CUDA, number)
    for max_version in (None, (1, 0)):
        capsule = x.__dlpack__(stream=1, max_version=max_version)
        managed, _ = structure(capsule)
        t = managed.tensor
        assert (t.device_type, t.device_id, t.ndim, t.code, t.bits, t.lanes) == (CUDA, number, 2, code, bits, 1)
        assert t.shape[:2] == [3, 3] and t.strides[:2] == [4, 1]
        assert t.data + t.byte_offset == x.pointer
        if max_version:
            assert (managed.major, managed.flags) == (1, 0)


def test_empty_arrays_of_a_gpu(gpu):
    x = gpu.put(np.zeros((0, 3), BFLOAT16))
    managed, _ = structure(x.__dlpack__())
    assert managed.tensor.shape[:2] == [0, 3] and (managed.tensor.device_type, managed.tensor.code) == (CUDA, 4)


# --- streams, devices and copies -----------------------------------------------------------------------------------------


def test_the_consumers_stream_waits(gpu):
    x = gpu.put(numbers(3))
    ours = x.block.stream
    legacy, thread, other = (gpu.runtime.foreign_stream(0, n) for n in (1, 2, 77))
    for stream, waits in [(None, [(legacy, ours)]), (1, [(legacy, ours)]), (2, [(thread, ours)]), (77, [(other, ours)]), (-1, []), (ours.handle, [])]:
        gpu.runtime.calls.clear()
        x.__dlpack__(stream=stream)
        assert gpu.runtime.waits() == waits, stream
    for wrong in (0, -2, "1", True, 1.0):
        with pytest.raises(ValueError, match="stream"):
            x.__dlpack__(stream=wrong)


def test_memory_that_was_given_waits_for_the_consumer_before_it_is_used_again(gpu):
    x = gpu.put(numbers(3))
    ours, place = x.block.stream, x.pointer
    x.__dlpack__(stream=1)
    gpu.runtime.calls.clear()
    del x
    assert gpu.put(numbers(3)).pointer == place
    assert gpu.runtime.waits() == [(ours, gpu.runtime.foreign_stream(0, 1))]


def test_a_runtime_that_cannot_wait_for_others_synchronises(gpu, monkeypatch):
    monkeypatch.setattr(gpu.runtime, "foreign_stream", None)
    x = gpu.put(numbers(3))
    x.__dlpack__(stream=77)
    assert ("synchronize", 0) in gpu.runtime.calls


def test_the_host_gets_a_copy(gpu):
    x = gpu.put(numbers(3, 4))
    read = np.from_dlpack(x, device="cpu")
    np.testing.assert_array_equal(read, numbers(3, 4), strict=True)
    read[0, 0] = 7
    assert x[0, 0].item() == 0
    managed, _ = structure(x.__dlpack__(dl_device=(CPU, 0), max_version=(1, 0)))
    assert managed.flags == 2 and managed.tensor.device_type == CPU
    with pytest.raises(BufferError, match="without a copy"):
        x.__dlpack__(dl_device=(CPU, 0), copy=False)
    for wrong in [(CUDA, 1), (10, 0)]:
        with pytest.raises(BufferError, match="can go there and to the host"):
            x.__dlpack__(dl_device=wrong)
    assert structure(x.__dlpack__(dl_device=(CUDA, 0)))[0].tensor.device_type == CUDA


@pytest.mark.parametrize("is_simulated", [True, False])
def test_copies_on_the_device(is_simulated):
    device = Device(is_simulated)
    x = device.put(numbers(3, 4))[:, ::-2].T
    capsule = x.__dlpack__(copy=True, max_version=(1, 0))
    managed, _ = structure(capsule)
    assert managed.flags == 2 and managed.tensor.data != x.pointer
    copy = from_capsule(capsule, device.runtime)
    np.testing.assert_array_equal(copy.numpy(), x.numpy())
    assert copy.strides == x.strides and copy.flags.writeable


# --- taking --------------------------------------------------------------------------------------------------------------


class Legacy:
    """A producer from before DLPack 1.0."""

    def __init__(self, host):
        self.host = host

    def __dlpack__(self, stream=None):
        return self.host.__dlpack__()

    def __dlpack_device__(self):
        return self.host.__dlpack_device__()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("wrap", [np.asarray, Legacy])
def test_we_read_numpys_capsules(simulated, dtype, wrap):
    host = numbers(3, 4, dtype=dtype)
    for theirs in views(host):
        x = from_dlpack(wrap(theirs), simulated.runtime)
        np.testing.assert_array_equal(x.numpy(), theirs, strict=True)
        assert x.flags.writeable and x.device == "cuda:0" and (not x.size or x.pointer == theirs.ctypes.data)


def test_read_only_memory_is_respected(simulated):
    host = numbers(3)
    host.flags.writeable = False
    x = from_dlpack(host, simulated.runtime)
    assert not x.flags.writeable
    with pytest.raises(ValueError, match="WRITEABLE"):
        x.flags.writeable = True


def test_round_trip(simulated):
    x = simulated.put(numbers(3, 4))
    y = from_dlpack(x, simulated.runtime)
    assert y.pointer == x.pointer and y.shares_memory(x)
    pointer = x.pointer
    del x
    gc.collect()
    assert y.pointer == pointer and simulated.allocator.allocated == 48
    np.testing.assert_array_equal(y.numpy(), numbers(3, 4))
    del y
    assert simulated.allocator.allocated == 0


def test_round_trip_of_bfloat16_on_a_gpu(gpu):
    x = gpu.put(np.array([0x3F80, 0xC000], np.uint16).view(BFLOAT16))
    y = from_dlpack(x, gpu.runtime)
    assert y.dtype == BFLOAT16 and y.tolist() == [1.0, -2.0] and y.device == "cuda:0"


def test_the_deleter_is_called_exactly_once(simulated):
    """When the last view dies, not before; and the capsule, which was consumed, does not call it again."""
    calls = []
    deleter = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(calls.append)
    host = numbers(3)
    capsule = host.__dlpack__()
    managed, _ = structure(capsule)
    own = ctypes.cast(managed.deleter, ctypes.CFUNCTYPE(None, ctypes.c_void_p))
    address = ctypes.addressof(managed)
    managed.deleter = ctypes.cast(deleter, ctypes.c_void_p).value
    x = from_capsule(capsule, simulated.runtime)
    with pytest.raises(ValueError, match="consumed"):
        from_capsule(capsule, simulated.runtime)
    view = x[1:]
    del capsule, x
    gc.collect()
    assert calls == [] and view.tolist() == [1.0, 2.0]
    del view
    gc.collect()
    assert calls == [address]
    own(address)


def test_the_producers_object_is_released(simulated):
    class Host(np.ndarray):
        pass

    host = numbers(3).view(Host)
    gone = []
    weakref.finalize(host, gone.append, True)
    x = from_dlpack(host, simulated.runtime)
    del host
    assert not gone and x.tolist() == [0.0, 1.0, 2.0]
    del x
    assert gone == [True]


class Producer:
    """Says which stream it was asked for, and gives the capsule of another array."""

    def __init__(self, array, device=None):
        self.array, self.device, self.asked = array, device, {}

    def __dlpack__(self, **asked):
        self.asked = asked
        return self.array.__dlpack__(**asked)

    def __dlpack_device__(self):
        return self.device or self.array.__dlpack_device__()


def test_the_producer_is_told_our_stream(gpu):
    x = gpu.put(numbers(3))
    ours = gpu.runtime.stream(0)
    x.block.stream = FakeStream(name="the producer's")
    producer = Producer(x)
    y = from_dlpack(producer, gpu.runtime)
    assert producer.asked == {"stream": ours.handle, "max_version": (1, 0)} and y.block.stream is ours
    assert [(stream.handle, other) for stream, other in gpu.runtime.waits()] == [(ours.handle, x.block.stream)]


def test_what_cannot_be_read(gpu, simulated):
    with pytest.raises(BufferError, match="the data is on cpu:0, not on a CUDA device: use from_numpy"):
        from_dlpack(numbers(3), gpu.runtime)
    with pytest.raises(BufferError, match="there is no device cuda:5"):
        from_dlpack(Producer(gpu.put(numbers(3)), (CUDA, 5)), gpu.runtime)
    with pytest.raises(BufferError, match="ours are simulated"):
        from_dlpack(gpu.put(numbers(3)), simulated.runtime)
    with pytest.raises(TypeError, match="list has no __dlpack__"):
        from_dlpack([1, 2], gpu.runtime)
    for changes, message in [(dict(lanes=2), "2 lanes"), (dict(code=9), "type code 9"), (dict(bits=4), "4 bits"), (dict(bits=24), "24 bits")]:
        capsule = numbers(3).__dlpack__()
        managed, _ = structure(capsule)
        for name, value in changes.items():
            setattr(managed.tensor, name, value)
        with pytest.raises(BufferError, match=message):
            from_capsule(capsule, simulated.runtime)
    capsule = numbers(3).__dlpack__(max_version=(1, 0))
    structure(capsule)[0].major = 2
    with pytest.raises(BufferError, match="newer than 1"):
        from_capsule(capsule, simulated.runtime)
    with pytest.raises(ValueError, match="expected a capsule"):
        from_capsule(3, simulated.runtime)


# --- PyTorch -------------------------------------------------------------------------------------------------------------


@needs_torch
@pytest.mark.parametrize("dtype", [d for d in DTYPES if d not in ("uint16", "uint32", "uint64")])
def test_pytorch_reads_our_capsules_and_we_read_its(simulated, dtype):
    host = numbers(3, 4, dtype=dtype)
    for theirs in (host, host.T, host[1:, ::2], host[1], host[:0]):
        ours = simulated.put(host)
        tensor = torch.from_dlpack(from_dlpack(theirs, simulated.runtime))
        np.testing.assert_array_equal(tensor.numpy(), theirs, strict=True)
        again = from_dlpack(tensor, simulated.runtime)
        np.testing.assert_array_equal(again.numpy(), theirs, strict=True)
        assert not again.size or again.pointer == tensor.data_ptr()
        del ours, tensor, again
    assert simulated.allocator.allocated == 0


@needs_torch
def test_bfloat16_to_and_from_pytorch(simulated):
    x = simulated.put(np.array([0x3F80, 0xC000], np.uint16).view(BFLOAT16))
    tensor = torch.from_dlpack(x)
    assert tensor.dtype == torch.bfloat16 and tensor.tolist() == [1.0, -2.0]
    y = from_dlpack(tensor * 2, simulated.runtime)
    assert y.dtype == BFLOAT16 and y.tolist() == [2.0, -4.0]
    del x
    assert simulated.allocator.allocated == 4
    del tensor
    assert simulated.allocator.allocated == 0


@needs_torch
def test_a_capsule_is_consumed_once(simulated):
    capsule = to_capsule(simulated.put(numbers(3)))
    tensor = torch.utils.dlpack.from_dlpack(capsule)
    assert tensor.tolist() == [0.0, 1.0, 2.0]
    with pytest.raises(ValueError, match="consumed"):
        from_capsule(capsule, simulated.runtime)
    del tensor, capsule
    assert simulated.allocator.allocated == 0
