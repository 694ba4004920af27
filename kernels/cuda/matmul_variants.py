"""Which kernel of a matrix product is wanted, and its text completed: types, tiles, vectors, bias and activation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from kernels import formulas, scalar
from kernels.cuda import matmul_kernels, matmul_tensor, matvec_kernels
from kernels.cuda.compiler import Kernel
from kernels.cuda.unrolling import UnrolledTemplate, written_out
from kernels.formula import Formula
from kernels.template import plain_source

HALVES = {"float16": ("float32_of_half", "half_of_float32"), "bfloat16": ("float32_of_bfloat16", "bfloat16_of_float32")}
THREADS = 256
_LOADS = {1: "", 2: "load2", 4: "load4", 8: "load8"}


@dataclass(frozen=True)
class Tile:
    """The part of the result that a block computes, and its depth: rows x columns x steps.

    groups: a thread of `matmul_tile` has (groups * vector) ** 2 results. warp: rows and columns of a warp of
    `matmul_tensor`. blocks: how many of them a multiprocessor shall have room for; 0 where the compiler may choose.
    """

    rows: int
    columns: int
    steps: int
    groups: int = 1
    warp: tuple[int, int] = (0, 0)
    blocks: int = 0


# The largest first; which is taken depends on how many blocks there are to fill the device with.
TILES = {
    "float32": (Tile(128, 128, 16, groups=2, blocks=2), Tile(64, 64, 16), Tile(32, 32, 16)),
    "float64": (Tile(64, 64, 16, groups=2, blocks=2), Tile(32, 32, 16)),
}
TENSOR_TILES = {
    "16": (Tile(128, 128, 32, warp=(64, 64)), Tile(64, 64, 32, warp=(32, 32))),
    "tf32": (Tile(128, 128, 16, warp=(64, 64)), Tile(64, 64, 16, warp=(32, 32))),
    "3xtf32": (Tile(128, 128, 16, warp=(64, 32)), Tile(64, 64, 16, warp=(32, 32))),
}
STAGES = 3


@dataclass(frozen=True)
class Ending:
    """What is done with a sum before it is stored.

    stored: the dtype of the operands and of the bias. result: that of the output. activation: name of a formula, or "".
    """

    stored: str
    result: str
    bias: bool = False
    activation: str = ""

    def helpers(self) -> list[str]:
        """`widened`, `activated` and `narrowed` as text."""
        return [
            _function("widened", f"{HALVES[self.stored][0]}(x)" if self.stored in HALVES else "R(x)"),
            _activation_source(self.activation),
            _function("narrowed", f"{HALVES[self.result][1]}(x)" if self.result in HALVES else "O(x)"),
        ]

    def types(self, compute: str) -> dict[str, str]:
        """The type variables of a kernel that computes in this dtype."""
        return {"R": compute, "T": in_memory(self.stored), "O": in_memory(self.result)}


def in_memory(dtype: str) -> str:
    """What a kernel sees: the bits of small floats, bool as bytes."""
    return "uint16" if dtype in HALVES else "uint8" if dtype == "bool" else dtype


def computed_in(dtype: str) -> str:
    """The dtype of sums: wide integers wrap around as narrow ones do when they are cut off at the end."""
    if dtype in HALVES or dtype == "float32":
        return "float32"
    return "float64" if dtype == "float64" else "uint64" if dtype.startswith("uint") else "int64"


def _function(name: str, value: str) -> str:
    return f"@_inlined\ndef {name}(x):\n    return {value}"


@cache
def activation_formula(name: str) -> Formula:
    """The formula of an activation.

    Raises:
        ValueError: there is no elementwise operation of that name that takes one number.
    """
    found = getattr(formulas, name, None)
    if not isinstance(found, Formula) or len(found.inputs) != 1 or found.parameters or len(found.outputs) != 1:
        raise ValueError(f"matmul: activation {name!r} is no operation of one number such as 'relu', 'gelu', 'silu', 'tanh'")
    return found


@cache
def _activation_source(name: str) -> str:
    if not name:
        return _function("activated", "x")
    formula = activation_formula(name).hoisted
    lines, (result,) = scalar.render(formula.outputs, {formula.inputs[0]: "x"})
    return "\n".join(["@_inlined", "def activated(x):", *(f"    {line}" for line in lines), f"    return real({result})"])


# --- register tiles ---------------------------------------------------------------------------------------------------


@cache
def tile_kernel(ending: Ending, tile: Tile, a_along: bool, b_along: bool, a_width: int, b_width: int, out_width: int) -> Kernel:
    """`matmul_tile` in float32 or float64."""
    dtype = ending.stored
    vector = 16 // np.dtype(dtype).itemsize
    side = tile.groups * vector
    warps_m = tile.rows // (4 * side)
    threads = 32 * warps_m * (tile.columns // (8 * side))
    swizzle = 32 // (np.dtype(dtype).itemsize // 4) // (tile.steps // vector)
    for size, width in ((tile.rows, a_width), (tile.columns, b_width)):
        assert size * tile.steps % (threads * width) == 0 and size // width <= threads, f"{tile}: no whole share per thread"
    constants = {
        "TILE_M": tile.rows, "TILE_N": tile.columns, "TILE_K": tile.steps, "GROUPS": tile.groups, "VECTOR": vector,
        "A_ALONG": int(a_along), "B_ALONG": int(b_along), "A_WIDTH": a_width, "B_WIDTH": b_width, "OUT_WIDTH": out_width,
        "BIAS": int(ending.bias),
    }  # fmt: skip
    derived = {
        "WARPS_M": warps_m, "SWIZZLE": swizzle, "SHARED": 2 * (tile.rows + tile.columns) * tile.steps, "SUMS": side * side,
        "FRAGMENT": side, "STAGED_A": tile.rows * tile.steps // threads, "STAGED_B": tile.columns * tile.steps // threads,
    }  # fmt: skip
    helpers = ending.helpers()
    for letter, size, along, width in (("a", tile.rows, a_along, a_width), ("b", tile.columns, b_along, b_width)):
        own = {
            "ALONG": int(along), "TILE": size, "TILE_K": tile.steps, "WIDTH": width, "VECTOR": vector, "SWIZZLE": swizzle,
            "LOADS": size * tile.steps // threads // width, "THREADS": threads,
        }  # fmt: skip
        helpers += [_copied(f, letter, own) for f in (matmul_kernels.origin, matmul_kernels.fetch, matmul_kernels.put)]
    blocks = tile.blocks if a_width == b_width == vector else 0  # single loads need more registers for their addresses
    names = {"STEPS": "unrolled" if tile.groups > 1 else "range"}
    return _built(matmul_kernels.matmul_tile, ending, dtype, threads, constants, derived, helpers, blocks, names)


def _copied(function, letter: str, constants: dict[str, int]) -> str:
    """A helper for one of the operands."""
    return written_out(plain_source(function, f"{function.__name__}_{letter}"), constants)


def _built(
    template: UnrolledTemplate,
    ending: Ending,
    compute: str,
    threads: int,
    constants: dict[str, int],
    derived: dict[str, int] | None = None,
    helpers: list[str] | None = None,
    blocks: int = 0,
    names: dict[str, str] | None = None,
) -> Kernel:
    """The kernel; only `constants` are part of its name."""
    if blocks:
        constants = {**constants, "MIN_BLOCKS": blocks}
    helpers = helpers if helpers is not None else ending.helpers()
    return template.built(ending.types(compute), threads, constants, helpers, names, derived)


# --- tensor cores -----------------------------------------------------------------------------------------------------


@cache
def tensor_kernel(
    ending: Ending, tile: Tile, products: int, a_along: bool, b_along: bool, a_async: bool, b_async: bool, out_width: int
) -> Kernel:
    """`matmul_tensor`: float16 and bfloat16, or float32 as tf32 (products=1) or as two of them (products=3)."""
    chunk = 4 if ending.stored == "float32" else 8
    threads = 32 * (tile.rows // tile.warp[0]) * (tile.columns // tile.warp[1])
    constants = {
        "TILE_M": tile.rows, "TILE_N": tile.columns, "WARP_M": tile.warp[0], "WARP_N": tile.warp[1], "PRODUCTS": products,
        "A_ALONG": int(a_along), "B_ALONG": int(b_along), "A_ASYNC": int(a_async), "B_ASYNC": int(b_async),
        "OUT_WIDTH": out_width, "BIAS": int(ending.bias),
    }  # fmt: skip
    assert min(tile.rows, tile.columns) * tile.steps % (threads * chunk) == 0, f"{tile}: no whole share per thread"
    stage = (tile.rows + tile.columns) * tile.steps
    derived = {
        "TILE_K": tile.steps, "CHUNK": chunk, "STAGES": STAGES, "STAGE": stage, "SHARED": STAGES * stage,
        "SUMS": tile.warp[0] * tile.warp[1] // 32, "RIGHT": tile.warp[1] // 4 * (2 if products == 3 else 1),
    }  # fmt: skip
    helpers = ending.helpers()
    both = (("a", tile.rows, a_along, a_async), ("b", tile.columns, b_along, b_async))
    for letter, size, along, asynchronous in both:
        own = {
            "ALONG": int(along), "TILE": size, "TILE_K": tile.steps, "CHUNK": chunk, "ASYNC": int(asynchronous),
            "LOADS": size * tile.steps // chunk // threads, "THREADS": threads,
            "MASK": min(8, size // 8) if chunk == 8 else 4, "SPREAD": 1 if chunk == 8 else 2,
        }  # fmt: skip
        shared = (matmul_kernels.origin, matmul_tensor.copy, matmul_tensor.fragment)
        helpers += [_copied(f, letter, own) for f in shared]
    product = {"float32": "mma_tf32", "float16": "mma_f16", "bfloat16": "mma_bf16"}[ending.stored]
    names = {"MMA": product, "WAIT": f"cp_async_wait{STAGES - 2}"}
    return _built(matmul_tensor.matmul_tensor, ending, "float32", threads, constants, derived, helpers, tile.blocks, names)


# --- vectors, integers, and the sum of parts --------------------------------------------------------------------------


@cache
def rows_kernel(ending: Ending, width: int, lanes: int) -> Kernel:
    """`matmul_rows`."""
    constants = {"WIDTH": width, "LANES": lanes, "BIAS": int(ending.bias)}
    derived = {"SUMS": 4 * width, "LOG_SUMS": (4 * width).bit_length() - 1}
    names = {"LOAD": _LOADS[width]}
    compute = computed_in(ending.stored)
    return _built(matvec_kernels.matmul_rows, ending, compute, THREADS, constants, derived, blocks=2, names=names)


@cache
def columns_kernel(ending: Ending, width: int) -> Kernel:
    """`matmul_columns`."""
    constants = {"WIDTH": width, "BIAS": int(ending.bias)}
    derived = {"SUMS": 4 * width, "SHARED": THREADS * width}
    names = {"LOAD": _LOADS[width]}
    compute = computed_in(ending.stored)
    return _built(matvec_kernels.matmul_columns, ending, compute, THREADS, constants, derived, blocks=2, names=names)


@cache
def shared_kernel(ending: Ending, side: int = 16) -> Kernel:
    """`matmul_shared`."""
    helpers = ending.helpers()
    if ending.stored == "bool":
        helpers[0] = _function("widened", "R(x != uint8(0))")
        helpers[2] = _function("narrowed", "O(x != int64(0))")
    constants = {"TILE": side, "BIAS": int(ending.bias)}
    compute = computed_in(ending.stored)
    return _built(matmul_kernels.matmul_shared, ending, compute, side * side, constants, {"AREA": side * side}, helpers)


@cache
def combine_kernel(ending: Ending) -> Kernel:
    """`matmul_combine`."""
    return _built(matmul_kernels.matmul_combine, ending, computed_in(ending.stored), THREADS, {"BIAS": int(ending.bias)})


# --- for the tests of what the compiler makes of this -----------------------------------------------------------------


def _tile(dtype: str, tile: int, along: tuple[bool, bool], vectors: bool = True, **ending: Any) -> Callable[[], Kernel]:
    width = 16 // np.dtype(dtype).itemsize if vectors else 1
    return lambda: tile_kernel(Ending(dtype, dtype, **ending), TILES[dtype][tile], *along, width, width, width)


def _tensor(
    family: str, dtype: str, tile: int, along: tuple[bool, bool], whole: bool = True, **more: Any
) -> Callable[[], Kernel]:
    ending, products = Ending(dtype, more.pop("result", dtype), **more), 3 if family == "3xtf32" else 1
    return lambda: tensor_kernel(ending, TENSOR_TILES[family][tile], products, *along, whole, whole, 2 if whole else 1)


def _vectors(dtype: str, width: int) -> list[Callable[[], Kernel]]:
    ending = Ending(dtype, dtype)
    made = [lambda lanes=lanes: rows_kernel(ending, width, lanes) for lanes in (32, THREADS)]
    return [*made, lambda: columns_kernel(ending, width)]


VARIANTS: list[Callable[[], Kernel]] = [
    _tile("float32", 0, (True, False)),
    _tile("float32", 0, (False, True)),
    _tile("float32", 0, (True, True), False, bias=True, activation="gelu"),
    _tile("float32", 1, (True, False)),
    _tile("float32", 2, (False, False)),
    _tile("float64", 0, (True, False)),
    _tile("float64", 1, (False, True), False, bias=True, activation="silu"),
    _tensor("16", "bfloat16", 0, (True, False)),
    _tensor("16", "float16", 0, (False, True)),
    _tensor("16", "bfloat16", 1, (True, True), False, result="float32", bias=True, activation="silu"),
    _tensor("tf32", "float32", 0, (True, False)),
    _tensor("tf32", "float32", 1, (False, True), bias=True, activation="relu"),
    _tensor("3xtf32", "float32", 0, (True, False)),
    _tensor("3xtf32", "float32", 1, (False, True), False),
    *_vectors("float32", 4),
    *_vectors("float32", 1),
    *_vectors("float64", 2),
    *_vectors("bfloat16", 8),
    lambda: shared_kernel(Ending("int8", "int8")),
    lambda: shared_kernel(Ending("uint64", "uint64", bias=True)),
    lambda: shared_kernel(Ending("bool", "bool")),
    lambda: combine_kernel(Ending("float32", "float32", True, "gelu")),
    lambda: combine_kernel(Ending("float16", "float16")),
]
_COPIES = ("LDGSTS.E.BYPASS.128", "LDGDEPBAR", "LDSM")
PROMISES: dict[str, tuple[str, ...]] = {
    "matmul_tile[float32*_WIDTH4_*": ("LDG.E.128", "LDS.128", "STG.E.128", "FFMA"),
    "matmul_tile[float64*": ("LDS.128", "DFMA"),
    "matmul_tensor[float32_uint16_uint16*": (*_COPIES, "HMMA.16816.F32"),
    "matmul_tensor[float32_float32*_ASYNC1_*": (*_COPIES, "HMMA.1688.F32.TF32"),
    "matmul_rows[*_WIDTH4_*": ("LDG.E.128", "SHFL.BFLY"),
    "matmul_columns[*_WIDTH4_*": ("LDG.E.128",),
}
