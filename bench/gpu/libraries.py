"""Ours, PyTorch and CuPy alike: how each takes an array to the GPU and back, and how it measures time on its stream.

In a rehearsal there is no GPU: ours is the simulator, PyTorch computes on the CPU and NumPy stands in for CuPy, whose
functions have its names. Nothing is timed then.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

BFLOAT16 = "bfloat16"
Run = Callable[[], None]


class Library:
    """What a contest needs of a library."""

    name = ""

    def array(self, host: np.ndarray, dtype: str | None = None) -> Any:
        """The elements on the device, dense in the host array's shape; `dtype` "bfloat16" rounds float32 to it."""
        raise NotImplementedError

    def to_host(self, result: Any) -> np.ndarray:
        """The elements of a result."""
        raise NotImplementedError

    def timed(self, run: Run) -> float:
        """The seconds that the device spends on what `run` starts."""
        raise NotImplementedError

    def fill(self, scratch: Any) -> None:
        """Queue one pass over the scratch memory, which keeps the device busy while calls are queued behind it."""
        raise NotImplementedError

    def scratch(self, nbytes: int) -> Any:
        """Memory for `fill`."""
        raise NotImplementedError

    def release(self) -> None:
        """Give memory back that no array uses."""


def bfloat16_bits(host: np.ndarray) -> np.ndarray:
    """float32 rounded to bfloat16, ties to even, as the bits."""
    bits = np.ascontiguousarray(host, np.float32).view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)


def widened(bits: np.ndarray) -> np.ndarray:
    """bfloat16's bits as float32."""
    return (bits.astype(np.uint32) << 16).view(np.float32)


class Ours(Library):
    """gradloom: kernels on device arrays, and tensors around them."""

    name = "ours"

    def __init__(self) -> None:
        import autograd as ag
        from kernels import backend_for
        from kernels.cuda import runtime

        self.ag, self.kernels, self.runtime = ag, backend_for("cuda"), runtime.current()

    def array(self, host, dtype=None):
        if dtype == BFLOAT16:
            from kernels.cuda.array import BFLOAT16 as storage

            return self.kernels.from_numpy(bfloat16_bits(host).view(storage).reshape(host.shape))
        return self.kernels.from_numpy(host if dtype is None else host.astype(dtype))

    def tensor(self, host: np.ndarray, requires_grad: bool = False) -> Any:
        """A tensor on device cuda."""
        return self.ag.tensor(host, device="cuda", requires_grad=requires_grad)

    def to_host(self, result):
        host = result.detach().numpy() if hasattr(result, "detach") else self.kernels.to_numpy(result)
        return widened(host.view(np.uint16)) if host.dtype.kind == "V" else host

    def timed(self, run):
        return self.runtime.timed(0, run)

    def scratch(self, nbytes):
        return self.kernels.empty((nbytes,), np.uint8)

    def fill(self, scratch):
        self.runtime.fill_bytes(scratch.pointer, 0, scratch.nbytes, self.runtime.stream(0))

    def release(self):
        self.ag.cuda.empty_cache()


class Torch(Library):
    """PyTorch, eager."""

    name = "torch"

    def __init__(self, rehearsal: bool) -> None:
        import torch

        if not rehearsal and not torch.cuda.is_available():
            raise ImportError(f"PyTorch {torch.__version__} sees no GPU")
        self.module, self.device = torch, "cpu" if rehearsal else "cuda"
        torch.backends.cuda.matmul.allow_tf32 = False  # the default, said aloud

    def array(self, host, dtype=None):
        tensor = self.module.from_numpy(np.ascontiguousarray(host)).to(self.device, copy=True)
        return tensor if dtype is None else tensor.to(getattr(self.module, dtype))

    def to_host(self, result):
        tensor = result.detach()
        if tensor.dtype == self.module.bfloat16:
            tensor = tensor.float()
        return tensor.cpu().numpy()

    def timed(self, run):
        before, after = (self.module.cuda.Event(enable_timing=True) for _ in range(2))
        before.record()
        run()
        after.record()
        after.synchronize()
        return before.elapsed_time(after) / 1e3

    def scratch(self, nbytes):
        return self.module.empty(nbytes, dtype=self.module.uint8, device=self.device)

    def fill(self, scratch):
        scratch.zero_()

    def release(self):
        if self.device == "cuda":
            self.module.cuda.empty_cache()


class CuPy(Library):
    """CuPy."""

    name = "cupy"

    def __init__(self, rehearsal: bool) -> None:
        self.module: Any = np
        if not rehearsal:
            import cupy  # pyright: ignore[reportMissingImports]

            self.module = cupy
            cupy.cuda.runtime.getDeviceCount()

    def array(self, host, dtype=None):
        return self.module.array(host if dtype is None else host.astype(dtype))

    def to_host(self, result):
        return result.get() if hasattr(result, "get") else np.asarray(result)

    def timed(self, run):
        events = self.module.cuda
        before, after = events.Event(), events.Event()
        before.record()
        run()
        after.record()
        after.synchronize()
        return events.get_elapsed_time(before, after) / 1e3

    def scratch(self, nbytes):
        return self.module.empty(nbytes, np.uint8)

    def fill(self, scratch):
        scratch.data.memset_async(0, scratch.nbytes)

    def release(self):
        if self.module is not np:
            self.module.get_default_memory_pool().free_all_blocks()


def found(rehearsal: bool) -> tuple[dict[str, Library], dict[str, str]]:
    """The libraries that are there, ours first, and what the others answered."""
    made: dict[str, Library] = {}
    missing: dict[str, str] = {}
    for name, make in (("torch", Torch), ("cupy", CuPy)):
        try:
            made[name] = make(rehearsal)
        except Exception as error:
            missing[name] = f"{type(error).__name__}: {error}"
    return {"ours": Ours(), **made}, missing
