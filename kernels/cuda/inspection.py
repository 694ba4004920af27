"""What a compiled kernel looks like: its PTX, its machine code, the registers it needs. No GPU is needed.

>>> from kernels.cuda.inspection import compile_ptx, disassemble, link      # doctest: +SKIP
>>> ptx, name = compile_ptx(kernel, signature, threads=256)                 # doctest: +SKIP
>>> cubin, report = link(ptx)                                               # doctest: +SKIP
>>> report.registers, report.spill_stores                                   # doctest: +SKIP
(23, 0)
"""

from __future__ import annotations

import re
import shutil
import struct
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

from kernels.cuda import driver

Capability = tuple[int, int]

_lock = threading.RLock()


class _Device:
    """What numba-cuda asks a device for while it compiles."""

    def __init__(self, cc: Capability) -> None:
        self.compute_capability = cc


@contextmanager
def offline(cc: Capability, contract: bool = True) -> Iterator[None]:
    """Let numba-cuda compile for `cc`, whatever device is there, if any; one thread at a time.

    Where a kernel calls a device function, numba-cuda asks the driver for the current device, only to learn its compute
    capability. And it has no argument for what NVVM calls "fma": without `contract`, a*b + c stays two instructions.
    """
    cuda = driver.numba_cuda()
    dispatcher: Any = import_module(f"{cuda.__name__}.dispatcher")
    nvvm: Any = import_module(f"{cuda.__name__}.cudadrv.nvvm")
    with _lock:
        current_device, compile_ir = dispatcher.get_current_device, nvvm.compile_ir
        dispatcher.get_current_device = lambda: _Device(cc)
        if not contract:
            nvvm.compile_ir = lambda *modules, **options: compile_ir(*modules, fma=False, **options)
        try:
            yield
        finally:
            dispatcher.get_current_device, nvvm.compile_ir = current_device, compile_ir


def compile_ptx(
    function: Callable,
    signature: Any,
    threads: int | tuple[int, ...],
    cc: Capability = (9, 0),
    contract: bool = True,
) -> tuple[str, str]:
    """A kernel's PTX and the name of its entry, the function's name and "_kernel".

    Args:
        function: the kernel, a plain Python function.
        signature: void(...) of numba-cuda's types; see `ptx.Pointer` for memory.
        threads: the largest number of threads in a block, or (that, the least number of blocks on a multiprocessor).
        cc: the compute capability.
        contract: whether a*b + c may become one fused multiply-add.
    """
    cuda = driver.numba_cuda()
    with offline(cc, contract):
        ptx, _ = cuda.compile(function, signature, device=False, abi="numba", cc=cc, output="ptx", launch_bounds=threads)
    entry = re.search(r"\.entry\s+([\w$]+)", ptx)
    assert entry is not None
    return _with_stable_names(ptx, entry[1], f"{function.__name__}_kernel")


def _with_stable_names(ptx: str, entry: str, name: str) -> tuple[str, str]:
    """PTX without Numba's running numbers, so that a kernel has the same text in every process, and a readable name."""
    ptx = re.sub(r"^\.common \.global \S+ \d+ \.u64 _ZN08NumbaEnv.*\n", "", ptx, flags=re.MULTILINE)
    arrays = list(dict.fromkeys(re.findall(r"\b_cudapy_smem_\d+\b", ptx)))
    ptx = re.sub(r"\b_cudapy_smem_\d+\b", lambda found: f"shared_{arrays.index(found[0])}", ptx)
    return ptx.replace(entry, name), name


def architecture(cc: Capability) -> str:
    """The name of an architecture: "sm_90" for (9, 0)."""
    return f"sm_{cc[0]}{cc[1]}"


@dataclass(frozen=True)
class Report:
    """What ptxas tells of a kernel. All but `registers` (per thread) and `barriers` is in bytes.

    spill_stores, spill_loads: what had to leave the registers, and `stack`, where it went (also arrays with a computed
    index). shared: a block's shared arrays of fixed size; the 1024 bytes that the system takes are not counted.
    """

    registers: int
    spill_stores: int
    spill_loads: int
    stack: int
    shared: int
    barriers: int


def link(ptx: str, arch: str = "sm_90") -> tuple[bytes, Report]:
    """Machine code for one architecture.

    Raises:
        RuntimeError: ptxas refuses the PTX; its message follows.
    """
    core = driver.cuda_core()

    try:
        linker = core.Linker(core.ObjectCode.from_ptx(ptx.encode()), options=core.LinkerOptions(arch=arch, ptxas_options=["-v"]))
        cubin = bytes(linker.link("cubin").code)
    except Exception as error:  # whose message ends with ptxas's own
        raise RuntimeError(f"ptxas does not accept this PTX for {arch}:\n{error}") from error
    return cubin, _report(linker.get_info_log(), cubin, arch)


def _report(log: str, cubin: bytes, arch: str) -> Report:
    def number(pattern: str) -> int:
        return max(map(int, re.findall(pattern, log)), default=0)  # of the kernel and of functions that it calls

    return Report(
        registers=number(r"Used (\d+) registers"),
        spill_stores=number(r"(\d+) bytes spill stores"),
        spill_loads=number(r"(\d+) bytes spill loads"),
        stack=number(r"(\d+) bytes stack frame"),
        shared=_shared_bytes(cubin, reserved=1024 if int(re.sub(r"\D", "", arch)) >= 90 else 0),
        barriers=number(r"used (\d+) barriers"),
    )


def _shared_bytes(cubin: bytes, reserved: int) -> int:
    """The size of the section .nv.shared.KERNEL: numba-cuda's arrays are placed when linking, too late for ptxas's log."""
    (table,) = struct.unpack_from("<Q", cubin, 0x28)
    size, count, names = struct.unpack_from("<HHH", cubin, 0x3A)
    sections = [struct.unpack_from("<IIQQQQ", cubin, table + size * k) for k in range(count)]
    texts = sections[names][4]  # where the names lie in the file
    found = {cubin[texts + name : cubin.index(0, texts + name)]: length for name, _, _, _, _, length in sections}
    total = sum(length for name, length in found.items() if re.match(rb"\.nv\.shared\.(?!reserved)", name))
    return max(total - reserved, 0)


@cache
def _disassembler() -> str:
    """Where nvdisasm is.

    Raises:
        ImportError: it is not installed.
    """
    for folder in sys.path:
        for found in sorted(Path(folder or ".").glob("nvidia/*/bin/nvdisasm*")):
            return str(found)
    found = shutil.which("nvdisasm")
    if found is None:
        raise ImportError("machine code is shown by nvdisasm, which is not installed: pip install nvidia-cuda-nvdisasm")
    return found


def disassemble(cubin: bytes) -> list[str]:
    """The machine instructions (SASS) in order, without addresses: "@!P0 LDG.E.128 R4, desc[UR4][R2.64]".

    Raises:
        ImportError: nvdisasm is not installed.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "kernel.cubin"
        path.write_bytes(cubin)
        done = subprocess.run([_disassembler(), "-c", str(path)], capture_output=True, text=True, check=True)
    return re.findall(r"^\s*/\*[0-9a-f]{4,}\*/\s+(.*?)\s*;", done.stdout, re.MULTILINE)


def mnemonics(cubin: bytes) -> Counter[str]:
    """How often each machine instruction occurs, by its full name ("LDG.E.128"), in the code and not in time."""
    return Counter(re.sub(r"^@!?U?P\w+\s+", "", instruction).split()[0] for instruction in disassemble(cubin))


def has_float64_arithmetic(cubin: bytes) -> bool:
    """Whether anything is calculated in float64, or converted from or to it: 1/2 (H200) to 1/64 of float32's speed."""
    return any(re.match(r"D(ADD|MUL|FMA|SETP|MNMX)\b|(F2F|F2I|I2F|FRND)\S*\.F64|MUFU\.\w+64H", name) for name in mnemonics(cubin))
