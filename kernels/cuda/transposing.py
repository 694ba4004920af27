"""Copies that transpose, on the GPU.

A copy whose two sides run along different axes would read (or write) one element of every 32 bytes that come along. So it
goes through tiles in shared memory: see `kernels.cuda.transposing_kernels`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from kernels.cuda.array import DeviceArray
from kernels.cuda.compiler import MAX_GRID, Kernel
from kernels.cuda.transposing_kernels import transpose_tiles
from kernels.layout import Layout, layout_of
from kernels.transposing import Transposition, transposition

_THREADS = 256
_BLOCKS = 4  # of a multiprocessor at least: what is under way hides the memory's latency
_NARROW = 8  # elements: along a shorter side, what a warp reads of each row is little more than what it uses
_BATCH_AXES = 4
_KEPT = 1 << 12

# For an element's size: the word's type, words of an element, elements along a tile. Small elements get large tiles, or too
# few bytes would be under way.
_FORMS = {
    1: ("uint8", 1, 64), 2: ("uint16", 1, 64), 4: ("uint32", 1, 32), 8: ("uint64", 1, 32), 16: ("uint64", 2, 16),
}  # fmt: skip


@cache
def kernel_for(itemsize: int) -> Kernel:
    """The kernel for elements of this size."""
    word, words, tile = _FORMS[itemsize]
    pitch = (tile + 1) * words
    constants = {"TILE": tile, "WORDS": words, "MIN_BLOCKS": _BLOCKS}
    derived = {"PITCH": pitch, "CELLS": tile * pitch, "STEP": _THREADS // (tile * words)}
    derived["EACH"] = tile // derived["STEP"]
    names = {"CELL": "uint64" if word == "uint64" else "uint32"}
    return transpose_tiles.built({"T": word}, _THREADS, constants, (), names, derived)


_Launch = tuple[Kernel, int, tuple[int, ...], int]
_launches: dict[tuple[Layout, Layout], _Launch | None] = {}


def transposed(source: DeviceArray, target: DeviceArray) -> bool:
    """Copy elements between two arrays of one shape and dtype that do not overlap, if that transposes; else False."""
    key = layout_of(source), layout_of(target)
    try:
        launch = _launches[key]
    except KeyError:
        if len(_launches) >= _KEPT:
            _launches.clear()
        launch = _launches[key] = _new_launch(*key)
    if launch is None:
        return False
    kernel, grid, numbers, word = launch
    if (source.pointer | target.pointer) % word:
        return False
    if source.itemsize == 16:
        source, target = source.as_pairs(), target.as_pairs()
    kernel(grid, source, target, *numbers)
    return True


def _new_launch(source: Layout, target: Layout) -> _Launch | None:
    found = transposition(source, target) if source.dtype == target.dtype else None
    if found is None or min(found.rows, found.columns) < _NARROW or len(found.outer) > _BATCH_AXES:
        return None
    item = source.dtype.itemsize
    tile = _FORMS[item][2]
    down, across = -(-found.rows // tile), -(-found.columns // tile)
    grid = found.count * down * across
    return (kernel_for(item), grid, _numbers(found, down, across), min(item, 8)) if grid <= MAX_GRID[0] else None


def _numbers(found: Transposition, down: int, across: int) -> tuple[int, ...]:
    """The kernel's arguments behind the arrays."""
    fill = _BATCH_AXES - len(found.outer)
    sizes = (*found.outer[::-1], *(1,) * fill)
    steps_in, steps_out = ((*steps[::-1], *(0,) * fill) for steps in (found.outer_in, found.outer_out))
    return (*found[:4], down, across, *sizes[: _BATCH_AXES - 1], *steps_in, *steps_out)


VARIANTS: list[Callable[[], Kernel]] = [lambda item=item: kernel_for(item) for item in _FORMS]
PROMISES: dict[str, tuple[str, ...]] = {
    "transpose_tiles[uint32*": ("LDG.E", "STS", "BAR.SYNC", "LDS", "STG.E"),
    "transpose_tiles[uint64_*": ("LDG.E.64", "STS.64", "BAR.SYNC", "LDS.64", "STG.E.64"),
    "transpose_tiles[uint8*": ("LDG.E.U8", "STG.E.U8"),
}
