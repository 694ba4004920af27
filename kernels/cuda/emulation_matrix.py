"""Matrix instructions of a warp in the simulator; `ptx_matrix.py` has the same names for hardware.

Which thread holds which element is told in the PTX ISA manual, section 9.7.14 "Warp Level Matrix Multiply-Accumulate
Instructions". With g = lane // 4 and t = lane % 4, registers hold these elements (row, column):

    a of m16n8k16: a0 (g, 2t..2t+1), a1 (g+8, 2t..), a2 (g, 2t+8..), a3 (g+8, 2t+8..)   pairs, the lower column below
    b of m16n8k16: b0 (2t..2t+1, g), b1 (2t+8.., g)                                     pairs, the lower row below
    a of m16n8k8:  a0 (g, t), a1 (g+8, t), a2 (g, t+4), a3 (g+8, t+4)
    b of m16n8k8:  b0 (t, g), b1 (t+4, g)
    c and d:       c0 (g, 2t), c1 (g, 2t+1), c2 (g+8, 2t), c3 (g+8, 2t+1)
"""

from typing import Any

import numpy as np

from .collectives import collective
from .execution import INTERNAL, SimulationError, Thread, current, here
from .places import SharedArray
from .races import READ

INTERNAL.add(__file__)
_ALL = 0xFFFFFFFF
_LANE = np.arange(32)
_G, _T = _LANE // 4, _LANE % 4


def _check_whole(threads: list[Thread], what: str) -> None:
    if len(threads) != 32:
        raise SimulationError(f"{here(threads[0].site)}: {what} needs a whole warp, and this one has {len(threads)} threads")


# --- ldmatrix ---------------------------------------------------------------------------------------------------------


def _load_matrices(threads: list[Thread]) -> None:
    """Thread 8*m + r names the row r of matrix m; a thread's register m holds elements 2t and 2t+1 of row g."""
    _check_whole(threads, "ldmatrix")
    count, transposed = threads[0].payload[2:]
    rows = np.empty((count, 8, 8), np.uint16)
    for thread in threads[: 8 * count]:
        shared, index = thread.payload[:2]
        data = shared.bytes_at(index, 16, "reads")
        shared.note_at(shared.position(index, 1, "reads"), 16 // shared.itemsize, READ, thread.stamp, thread.site)
        rows[divmod(thread.lane, 8)] = data.view(np.uint16)
        if current.trace is not None:
            current.trace.record(thread, thread.site, "read", shared, index, tuple(data.view(shared.dtype)))
    if transposed:
        rows = rows.transpose(0, 2, 1)
    registers = rows[:, _G, 2 * _T].astype(np.uint32) | rows[:, _G, 2 * _T + 1].astype(np.uint32) << 16
    for thread, mine in zip(threads, registers.T, strict=True):
        thread.result = tuple(mine)


def _matrix_load(shared: Any, index: Any, count: int, transposed: bool) -> tuple:
    if not isinstance(shared, SharedArray):
        raise SimulationError(f"{here()}: ldmatrix reads shared memory, not {shared!r}")
    return collective(_load_matrices, _ALL, (shared, index, count, transposed), 3)


def ldmatrix_x4(shared: Any, index: Any) -> tuple:
    """4 matrices of 8 rows of 16 bytes: 4 uint32. Thread 8*m + r gives the element at which row r of matrix m begins."""
    return _matrix_load(shared, index, 4, False)


def ldmatrix_x4_transposed(shared: Any, index: Any) -> tuple:
    """4 matrices, transposed: 4 uint32."""
    return _matrix_load(shared, index, 4, True)


def ldmatrix_x2(shared: Any, index: Any) -> tuple:
    """2 matrices of 8 rows of 16 bytes: 2 uint32. Threads 0 to 15 give the rows."""
    return _matrix_load(shared, index, 2, False)


def ldmatrix_x2_transposed(shared: Any, index: Any) -> tuple:
    """2 matrices, transposed: 2 uint32."""
    return _matrix_load(shared, index, 2, True)


# --- mma --------------------------------------------------------------------------------------------------------------


def _gathered(threads: list[Thread]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(a, b, c): the registers of all lanes, (4, 32) and (2, 32) uint32, and c as a 16x8 matrix."""
    _check_whole(threads, "mma")
    words = np.array([[int(word) for word in thread.payload[:6]] for thread in threads], np.uint32).T
    sums = np.array([thread.payload[6:] for thread in threads], np.float32).T
    c = np.empty((16, 8))
    for i in range(4):
        c[_G + 8 * (i // 2), 2 * _T + i % 2] = sums[i]
    return words[:4], words[4:], c


def _scatter(threads: list[Thread], d: np.ndarray) -> None:
    with np.errstate(all="ignore"):
        d = d.astype(np.float32)
    columns = [d[_G + 8 * (i // 2), 2 * _T + i % 2] for i in range(4)]
    for thread, *mine in zip(threads, *columns, strict=True):
        thread.result = tuple(mine)


def _bfloat16_values(words: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return (words << np.uint32(16)).view(np.float32), (words & np.uint32(0xFFFF0000)).view(np.float32)


def _half_values(words: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return words.astype(np.uint16).view(np.float16), (words >> np.uint32(16)).astype(np.uint16).view(np.float16)


def _multiply_16(threads: list[Thread], values: Any) -> None:
    """m16n8k16 of packed pairs: products are exact in float64, and their sum is rounded once."""
    words_a, words_b, c = _gathered(threads)
    a, b = np.empty((16, 16)), np.empty((16, 8))
    for half, (part_a, part_b) in enumerate(zip(values(words_a), values(words_b), strict=True)):
        for i in range(4):
            a[_G + 8 * (i % 2), 2 * _T + half + 8 * (i // 2)] = part_a[i]
        for i in range(2):
            b[2 * _T + half + 8 * i, _G] = part_b[i]
    _scatter(threads, a @ b + c)


def _multiply_bfloat16(threads: list[Thread]) -> None:
    _multiply_16(threads, _bfloat16_values)


def _multiply_half(threads: list[Thread]) -> None:
    _multiply_16(threads, _half_values)


def _multiply_tf32(threads: list[Thread]) -> None:
    words_a, words_b, c = _gathered(threads)
    values_a, values_b = ((words & np.uint32(0xFFFFE000)).view(np.float32) for words in (words_a, words_b))
    a, b = np.empty((16, 8)), np.empty((8, 8))
    for i in range(4):
        a[_G + 8 * (i % 2), _T + 4 * (i // 2)] = values_a[i]
    for i in range(2):
        b[_T + 4 * i, _G] = values_b[i]
    _scatter(threads, a @ b + c)


def mma_bf16(a0: Any, a1: Any, a2: Any, a3: Any, b0: Any, b1: Any, c0: Any, c1: Any, c2: Any, c3: Any) -> tuple:
    """a @ b + c for one warp, m16n8k16 of bfloat16, summed in float32: the thread's four elements."""
    return collective(_multiply_bfloat16, _ALL, (a0, a1, a2, a3, b0, b1, c0, c1, c2, c3), 2)


def mma_f16(a0: Any, a1: Any, a2: Any, a3: Any, b0: Any, b1: Any, c0: Any, c1: Any, c2: Any, c3: Any) -> tuple:
    """a @ b + c for one warp, m16n8k16 of float16, summed in float32: the thread's four elements."""
    return collective(_multiply_half, _ALL, (a0, a1, a2, a3, b0, b1, c0, c1, c2, c3), 2)


def mma_tf32(a0: Any, a1: Any, a2: Any, a3: Any, b0: Any, b1: Any, c0: Any, c1: Any, c2: Any, c3: Any) -> tuple:
    """a @ b + c for one warp, m16n8k8 of tf32, summed in float32: the thread's four elements."""
    return collective(_multiply_tf32, _ALL, (a0, a1, a2, a3, b0, b1, c0, c1, c2, c3), 2)
