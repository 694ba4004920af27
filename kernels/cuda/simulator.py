"""Runs kernels without a GPU, one instruction stream at a time, in an order that never changes.

A kernel is the Python function that the vocabulary of `kernels.cuda.emulation` was put into. Its threads are plain calls
where nothing makes them wait for one another, and greenlets otherwise: a thread runs up to a barrier or a common operation
of its warp, then the next one does. What the hardware forbids or leaves undefined raises: an access outside an array, a
barrier that only some threads reach, a race in shared memory, an address that is not aligned. Memory that was never
written is NaN.

    from kernels.cuda import simulator
    simulator.launch(function, grid=4, block=128, arguments=(simulator.Pointer.of(x), simulator.Pointer.of(y), 500))
    print(simulator.trace(function, 4, 128, (pointer, other, 500)).text())
"""

import atexit
import itertools
import threading
from collections.abc import Callable, Generator, Iterator
from functools import lru_cache
from types import CodeType, FunctionType
from typing import Any

import numpy as np

from .collectives import BLOCK_WIDE, cuda
from .execution import (
    INTERNAL,
    Dimensions,
    DivergentBarrier,
    Misaligned,
    OutOfBounds,
    SharedMemoryRace,
    SimulationError,
    Thread,
    at_line,
    current,
    here,
    names_of,
    new_sites,
    site_of,
)
from .places import Pointer, SharedMemory
from .races import check_races
from .tracing import Step, Trace, traced_arguments

__all__ = [
    "DivergentBarrier", "Misaligned", "OutOfBounds", "Pointer", "SharedMemoryRace", "SimulationError", "Step", "Trace",
    "launch", "needs_threads", "trace",
]  # fmt: skip

INTERNAL.add(__file__)
MOST_THREADS = 1024
MOST_BLOCKS = (2**31 - 1, 65535, 65535)
Size = int | tuple[int, ...]
_lock = threading.RLock()
_LANES = [np.int32(lane) for lane in range(32)]

_MEETINGS = set(
    """syncthreads syncthreads_count syncthreads_and syncthreads_or syncwarp shfl_sync shfl_up_sync shfl_down_sync
    shfl_xor_sync ballot_sync any_sync all_sync ldmatrix_x2 ldmatrix_x4 ldmatrix_x2_transposed ldmatrix_x4_transposed
    mma_bf16 mma_f16 mma_tf32 cp_async_wait0 cp_async_wait1 cp_async_wait2 cp_async_wait3""".split()
)


@lru_cache(maxsize=1024)
def needs_threads(function: Callable) -> bool:
    """Whether a kernel, or a function that it calls, waits for other threads anywhere."""
    seen: set[Any] = set()
    pending: list[Any] = [function]
    while pending:
        called = pending.pop()
        if not isinstance(called, FunctionType) or called in seen:
            continue
        seen.add(called)
        if called.__code__.co_filename in INTERNAL:
            continue
        cells = zip(called.__code__.co_freevars, called.__closure__ or (), strict=True)
        known = {**called.__globals__, **{name: cell.cell_contents for name, cell in cells}}
        for name in _names_of_code(called.__code__):
            if name in _MEETINGS or getattr(known.get(name), "__name__", "") in _MEETINGS:
                return True
            pending.append(known.get(name))
    return False


def _names_of_code(code: CodeType) -> set[str]:
    names = {*code.co_names, *code.co_freevars}
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            names |= _names_of_code(constant)
    return names


# --- launches ---------------------------------------------------------------------------------------------------------


def launch(
    function: Any,
    grid: Size,
    block: Size,
    arguments: tuple,
    shared_bytes: int = 0,
    name: str = "",
    needs_threads: bool | None = None,
) -> None:
    """Run all blocks of a kernel.

    Args:
        function: the kernel as a Python function, or something whose `simulated` is one.
        grid: how many blocks, in up to three dimensions.
        block: how many threads a block has, in up to three dimensions.
        arguments: what the function takes; arrays are `Pointer`s.
        shared_bytes: the size of the dynamic shared memory.
        name: what errors call the kernel.
        needs_threads: whether threads wait for one another; None finds out from the names that the function uses.

    Raises:
        OutOfBounds, Misaligned, DivergentBarrier, SharedMemoryRace: the mistake, with kernel, block, thread and line.
        SimulationError: another one, such as a launch that is too large for the hardware.
    """
    _run(function, grid, block, arguments, shared_bytes, name, needs_threads)


def trace(
    function: Any,
    grid: Size,
    block: Size | None,
    arguments: tuple,
    shared_bytes: int = 0,
    at_block: tuple[int, int, int] = (0, 0, 0),
) -> Trace:
    """Run all blocks of a kernel as `launch` does, and note what each thread of one block reads and writes.

    Args:
        function: a Python function, or a `Kernel` of ours (whose own block size is taken where `block` is None).
        grid, block, arguments, shared_bytes: as for `launch`; a Kernel takes device arrays of the simulator, as it always does.
        at_block: the block to watch, as its (x, y, z).
    """
    sizes: Size = function.threads if block is None else block
    if any(hasattr(argument, "block") for argument in arguments):
        from .simulated import simulated_arguments

        arguments = tuple(simulated_arguments(function, arguments))
    if not all(0 <= at < size for at, size in zip(at_block, _three(grid), strict=True)):
        raise SimulationError(f"there is no block {at_block} in a grid of {grid}")
    trace = Trace(_name(function), at_block)
    _run(function, grid, sizes, arguments, shared_bytes, "", None, trace)
    return trace


def _name(function: Any) -> str:
    return getattr(function, "name", "") or getattr(function, "__name__", "") or repr(function)


def _three(size: Size) -> tuple[int, int, int]:
    sizes = tuple(int(n) for n in size) if isinstance(size, (tuple, list)) else (int(size),)
    if len(sizes) > 3:
        raise SimulationError(f"grids and blocks have at most three dimensions, got {size}")
    return (*sizes, 1, 1, 1)[:3]  # pyright: ignore[reportReturnType]


def _positions(sizes: tuple[int, int, int]) -> Iterator[tuple[int, int, int]]:
    """All (x, y, z), x first."""
    for z, y, x in itertools.product(range(sizes[2]), range(sizes[1]), range(sizes[0])):
        yield x, y, z


def _check_sizes(name: str, grid: tuple[int, int, int], block: tuple[int, int, int]) -> None:
    if any(not 1 <= n <= most for n, most in zip(grid, MOST_BLOCKS, strict=True)):
        raise SimulationError(f"kernel {name}: a grid of {grid}; the hardware takes 1 to {MOST_BLOCKS}")
    if min(block) < 1 or np.prod(block) > MOST_THREADS or block[2] > 64:
        raise SimulationError(f"kernel {name}: a block of {block}; it has 1 to {MOST_THREADS} threads, at most 64 along z")


def _run(
    function: Any,
    grid: Size,
    block: Size,
    arguments: tuple,
    shared_bytes: int,
    name: str,
    threaded: bool | None,
    trace: Trace | None = None,
) -> None:
    grid, block, name = _three(grid), _three(block), name or _name(function)
    _check_sizes(name, grid, block)
    function = getattr(function, "simulated", function)
    if threaded is None:
        threaded = needs_threads(function)
    threads = [Thread(number, position) for number, position in enumerate(_positions(block))]
    traced = traced_arguments(function, arguments) if trace else ()
    with _lock, np.errstate(all="ignore"):
        try:
            new_sites()
            current.name, current.function = name, function
            current.shared = SharedMemory(shared_bytes)
            cuda.blockDim, cuda.gridDim = Dimensions(block), Dimensions(grid)
            run_block = _scheduled(threads) if threaded else _called(threads)
            for current.block in _positions(grid):
                cuda.blockIdx = Dimensions(current.block)
                current.trace = trace if trace and current.block == tuple(trace.block) else None
                current.arguments = arguments if current.trace is None else traced
                current.log.clear()
                current.orderings = [[] for _ in range(-(-len(threads) // 32))]
                current.shared.poison()
                next(run_block)
            run_block.close()
        except Exception as error:
            if not isinstance(error, (DivergentBarrier, SharedMemoryRace)):
                _explain(error, threads)
            raise
        finally:
            current.thread = current.switch = current.shared = current.trace = None
            current.function, current.arguments = None, ()
            current.log.clear()


def _explain(error: Exception, threads: list[Thread]) -> None:
    """Say where a kernel failed; a race before it is the likelier cause, and is raised instead."""
    frames = []
    step = error.__traceback__
    while step is not None:
        if step.tb_frame.f_code.co_filename not in INTERNAL:
            frames.append((step.tb_frame, step.tb_lineno))
        step = step.tb_next
    if frames and current.thread is not None and not isinstance(error, SimulationError):
        frame, line = frames[-1]
        site = site_of(frame) - frame.f_lineno + line
        error.add_note(f"in {here(site)}")
    try:
        check_races(threads)
    except SharedMemoryRace as race:
        raise race from error


# --- threads as plain calls -------------------------------------------------------------------------------------------


def _called(threads: list[Thread]) -> Generator[None, None, None]:
    """Each step runs a block, thread after thread."""
    function = current.function
    while True:
        arguments = current.arguments
        for thread in threads:
            current.thread, cuda.threadIdx, cuda.laneid = thread, thread.index, _LANES[thread.lane]
            function(*arguments)
        check_races(threads)
        yield


# --- threads as greenlets ---------------------------------------------------------------------------------------------


_idle: list[Any] = []  # greenlets of the main thread between two blocks: making and ending one costs 30 switches


def _body() -> None:
    """What a greenlet does: one thread of a block after another."""
    with np.errstate(all="ignore"):  # a greenlet has a context of its own
        while True:
            current.function(*current.arguments)
            current.switch()


@atexit.register
def _end_idle() -> None:
    while _idle:
        _idle.pop().throw()


def _scheduled(threads: list[Thread]) -> Generator[None, None, None]:
    """Each step runs a block, its threads in turn up to where they wait."""
    from greenlet import getcurrent, greenlet

    scheduler = getcurrent()
    # A greenlet belongs to the thread and the greenlet that started it, and must end before them.
    lasting = threading.current_thread() is threading.main_thread() and scheduler.parent is None
    reused = [_idle.pop() for _ in threads if lasting and _idle and _idle[-1].parent is scheduler]
    greenlets = reused + [greenlet(_body, scheduler) for _ in threads[len(reused) :]]
    for thread, each in zip(threads, greenlets, strict=True):
        thread.switch = each.switch
    warps = [threads[i : i + 32] for i in range(0, len(threads), 32)]
    current.switch = scheduler.switch
    running = True
    try:
        while True:
            running = True
            for thread in threads:
                thread.start()
            _run_block(threads, warps)
            running = False
            yield
    finally:
        if lasting and not running:
            _idle.extend(greenlets)
        else:
            for each in greenlets:
                each.throw()  # ends those that wait


def _run_block(threads: list[Thread], warps: list[list[Thread]]) -> None:
    while True:
        for warp in warps:
            _run_warp(warp)
        check_races(threads)
        resolve, site = threads[0].resolve, threads[0].site
        if any(thread.resolve is not resolve or (thread.site != site and resolve) for thread in threads):
            raise DivergentBarrier(_divergence(threads, "a barrier that not all threads of the block reach"))
        if resolve is None:
            return
        resolve(threads)
        if current.trace is not None:
            current.trace.new_interval()


def _run_warp(warp: list[Thread]) -> None:
    """Run the threads of a warp until each waits for the block or has returned."""
    ready = warp
    while ready:
        for thread in ready:
            thread.resolve = None  # stays so if the thread returns
            current.thread, cuda.threadIdx, cuda.laneid = thread, thread.index, _LANES[thread.lane]
            thread.switch()
        ready = _released(warp)


def _released(warp: list[Thread]) -> list[Thread]:
    """The threads whose common operation is complete, with its results; none if all wait for the block or are done."""
    waiting = [thread for thread in warp if thread.resolve is not None and thread.resolve not in BLOCK_WIDE]
    if not waiting:
        return []
    groups: dict[tuple, list[Thread]] = {}
    for thread in waiting:
        groups.setdefault((thread.mask, thread.site, thread.resolve), []).append(thread)
    released = []
    for (mask, _, resolve), members in groups.items():
        if len(members) == len(warp) or len(members) == sum(mask >> thread.lane & 1 for thread in warp):
            resolve(members)
            released += members
    if not released:
        raise DivergentBarrier(_divergence(warp, "a warp's common operation that only part of its mask reaches"))
    return released if len(groups) == 1 else sorted(released, key=lambda thread: thread.number)


def _divergence(threads: list[Thread], what: str) -> str:
    groups: dict[Any, list[Thread]] = {}
    for thread in threads:
        groups.setdefault((thread.resolve, thread.resolve and thread.site), []).append(thread)
    parts = [
        f"{names_of(members)} {'wait at ' + at_line(site) if resolve else 'have returned'}"
        for (resolve, site), members in groups.items()
    ]
    return f"kernel {current.name}, block {current.block}: {what}: {', while '.join(parts)}"
