"""Random numbers: generators that are a seed and a counter.

    generator = Generator(0)
    generator.normal((2, 3))                 # an array; the counter moves on
    manual_seed(0)                           # the generator that is used when none is named

A generator holds no other state, so it can be saved as two integers, and its numbers do not depend on the device, the
number of threads, or how an array was divided between them: number i of an array is a function of the seed, the offset
at the call and i (`kernels.philox`). So the first ten of a hundred are those that a call for ten would have given.

The seed is the key of Philox4x32-10 and the offset counts its blocks of four 32-bit words. A call takes as many blocks
as it needs, the same on every device.
"""

from __future__ import annotations

import hashlib
import operator
import os
import threading
from collections.abc import Sequence
from typing import Any

import numpy as np

from kernels.devices import backend_for

Shape = int | Sequence[int]

_lock = threading.Lock()  # one for all generators: it is held for two additions
_BITS_64 = (1 << 64) - 1


def _unlock_after_fork() -> None:
    """Another thread of the parent may have held the lock; the child has no other thread."""
    global _lock
    _lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_unlock_after_fork)


class Generator:
    """A source of random numbers, made from a seed; without one, from the operating system's randomness.

    Any integer is a seed. From 0 to 2**64 - 1 it is the key itself; another is hashed to 64 bits (the first eight bytes
    of the SHA-256 of its hexadecimal digits), so that -1 and 2**64 - 1 differ. Different keys give independent streams,
    each of 2**66 words.

    A generator may be used by several threads at once: each call gets numbers of its own, in the order of the calls. A
    forked child continues with the parent's seed and offset, so both produce the same numbers, as with NumPy and
    PyTorch: give each child a seed of its own. Pickling, copying and `state` carry the seed and the offset.

    >>> generator = Generator(0)
    >>> generator.uniform(3)
    array([0.39904642, 0.88052016, 0.73571277], dtype=float32)
    >>> generator.state()
    {'seed': 0, 'offset': 1}
    """

    __slots__ = ("_offset", "_seed")

    def __init__(self, seed: int | None = None) -> None:
        self._seed, self._offset = _key_of_seed(_fresh_seed() if seed is None else seed), 0

    def __repr__(self) -> str:
        return f"Generator(seed={self._seed}, offset={self._offset})"

    # --- state

    def manual_seed(self, seed: int) -> Generator:
        """Start again from `seed`, any integer; the generator itself is returned."""
        key = _key_of_seed(seed)
        with _lock:
            self._seed, self._offset = key, 0
        return self

    def seed(self) -> int:
        """Start again from a seed of the operating system's randomness, which is returned."""
        seed = _fresh_seed()
        self.manual_seed(seed)
        return seed

    def initial_seed(self) -> int:
        """The seed as the 64-bit key that it became."""
        return self._seed

    def state(self) -> dict[str, int]:
        """Seed and offset, for `set_state`: the numbers that follow are determined by them."""
        with _lock:
            return {"seed": self._seed, "offset": self._offset}

    def set_state(self, state: dict[str, int]) -> None:
        """Continue from what `state` returned.

        >>> generator = Generator(7)
        >>> state = generator.state()
        >>> first = generator.normal(2)
        >>> generator.set_state(state)
        >>> bool((generator.normal(2) == first).all())
        True
        """
        if not isinstance(state, dict) or state.keys() != {"seed", "offset"}:
            raise ValueError(f"Generator.set_state: expected a dict with 'seed' and 'offset', got {state!r}")
        seed, offset = (_integer(state[name], f"Generator.set_state: {name}") for name in ("seed", "offset"))
        if not (0 <= seed <= _BITS_64 and 0 <= offset <= _BITS_64):
            raise ValueError(f"Generator.set_state: seed and offset must be from 0 to 2**64 - 1, got {state!r}")
        with _lock:
            self._seed, self._offset = seed, offset

    def __getstate__(self) -> dict[str, int]:
        return self.state()

    def __setstate__(self, state: dict[str, int]) -> None:
        self.set_state(state)

    def _take(self, count: int, per_block: int) -> tuple[int, int]:
        """(key, number of the first block) of blocks enough for `count` values, which nobody else gets."""
        with _lock:
            key, offset = self._seed, self._offset
            self._offset = (offset + -(-count // per_block)) & _BITS_64
        return key, offset

    def take_blocks(self, count: int) -> tuple[int, int]:
        """(key, number of the first) of `count` blocks of four words, for a kernel that makes its random numbers itself.

        >>> generator = Generator(7)
        >>> generator.take_blocks(3), generator.take_blocks(1)
        ((7, 0), (7, 3))
        """
        return self._take(count, 1)

    # --- numbers

    def uniform(
        self, shape: Shape, dtype: Any = np.float32, low: float = 0.0, high: float = 1.0, device: str = "cpu"
    ) -> Any:
        """Numbers spread evenly over [low, high), float32 (multiples of 2**-24 of the range) or float64 (2**-53).

        `high` itself never occurs, also where rounding would give it; low = high gives that number throughout.
        """
        shape, dtype = _shape(shape, "uniform"), _real(dtype, "uniform")
        low, high = _finite(low, "uniform: low", dtype), _finite(high, "uniform: high", dtype)
        if high < low:
            raise ValueError(f"uniform: low must not be above high, got low={low} and high={high}")
        if high - low > _LARGEST[dtype]:
            raise ValueError(f"uniform: high - low must be finite in {dtype}, got low={low} and high={high}")
        backend = backend_for(device)
        out = backend.empty(shape, dtype)
        if out.size:
            backend.uniform(out, *self._take(out.size, 4 if dtype == np.float32 else 2), low, high)
        return out

    def normal(
        self, shape: Shape, dtype: Any = np.float32, mean: float = 0.0, std: float = 1.0, device: str = "cpu"
    ) -> Any:
        """Normally distributed numbers, float32 (up to 6.7 standard deviations from the mean) or float64 (8.6)."""
        shape, dtype = _shape(shape, "normal"), _real(dtype, "normal")
        mean, std = _finite(mean, "normal: mean", dtype), _finite(std, "normal: std", dtype)
        if std < 0:
            raise ValueError(f"normal: std, the standard deviation, must not be negative, got {std}")
        backend = backend_for(device)
        out = backend.empty(shape, dtype)
        if out.size:
            backend.normal(out, *self._take(out.size, 4 if dtype == np.float32 else 2), mean, std)
        return out

    def integers(self, low: int, high: int, shape: Shape, dtype: Any = np.int64, device: str = "cpu") -> Any:
        """Integers low, ..., high - 1, equally likely: a product of random bits and high - low, without rejection.

        The bits are 64 up to high - low = 2**32 and 128 above, so no probability is off by more than 2**-32 of itself.
        """
        shape, dtype = _shape(shape, "integers"), _dtype(dtype, "integers", "iu", "an integer type")
        low, high = _integer(low, "integers: low"), _integer(high, "integers: high")
        limits = np.iinfo(dtype)
        if high <= low:
            raise ValueError(f"integers: high must be above low, for high is excluded; got low={low} and high={high}")
        if low < limits.min or high - 1 > limits.max:
            raise ValueError(
                f"integers: {dtype} holds {limits.min} to {limits.max}, got low={low} and high={high} (excluded)"
            )
        backend = backend_for(device)
        out = backend.empty(shape, dtype)
        span = high - low
        if out.size:
            backend.integers(out, *self._take(out.size, 2 if span <= 1 << 32 else 1), low, span)
        return out

    def permutation(self, count: int, device: str = "cpu") -> Any:
        """The integers 0, ..., count - 1 (int64) in random order: the order of `count` random keys of 64 bits.

        The host draws and sorts them; another device gets a copy.

        >>> Generator(0).permutation(5)
        array([4, 0, 3, 1, 2])
        """
        count = _integer(count, "permutation: count")
        if count < 0:
            raise ValueError(f"permutation: count must not be negative, got {count}")
        return backend_for(device).permutation(count, *self._take(count, 2))

    def bernoulli(self, shape: Shape, p: float = 0.5, dtype: Any = np.float32, device: str = "cpu") -> Any:
        """1 with probability p, else 0, in any number type or bool. p = 0 and 1 are exact, others to 2**-33."""
        shape, dtype = _shape(shape, "bernoulli"), _dtype(dtype, "bernoulli", "fiub", "a real type or bool")
        return self._mask(shape, _probability(p, "bernoulli"), dtype, 1.0, device)

    def dropout_mask(self, shape: Shape, p: float = 0.5, dtype: Any = np.float32, device: str = "cpu") -> Any:
        """0 with probability p, else 1 / (1 - p): what dropout multiplies with. p = 0 gives 1 and p = 1 gives 0."""
        shape, dtype, p = _shape(shape, "dropout_mask"), _real(dtype, "dropout_mask"), _probability(p, "dropout_mask")
        return self._mask(shape, 1.0 - p, dtype, 1.0 / (1.0 - p) if p < 1.0 else 0.0, device)

    def _mask(self, shape: tuple[int, ...], p: float, dtype: np.dtype, one: float, device: str) -> Any:
        backend = backend_for(device)
        out = backend.empty(shape, dtype)
        if out.size:
            backend.mask(out, *self._take(out.size, 4), round(p * 2**32), one)
        return out


# --- arguments -------------------------------------------------------------------------------------------------------


def _fresh_seed() -> int:
    return int.from_bytes(os.urandom(8), "little")


def _key_of_seed(seed: int) -> int:
    seed = _integer(seed, "seed")
    if 0 <= seed <= _BITS_64:
        return seed
    digits = hex(seed)  # decimal digits would be refused from 4,300 of them on
    return int.from_bytes(hashlib.sha256(digits.encode()).digest()[:8], "little")


def _integer(value: Any, what: str) -> int:
    if not isinstance(value, bool | np.bool_):
        try:
            return operator.index(value)
        except TypeError:
            pass
    raise TypeError(f"{what} must be an integer, got {value!r}")


def _shape(shape: Shape, caller: str) -> tuple[int, ...]:
    sizes = tuple(shape) if isinstance(shape, (tuple, list, Sequence, np.ndarray)) else (shape,)
    what = f"{caller}: each size in shape"
    result = tuple([size if type(size) is int else _integer(size, what) for size in sizes])
    if result and min(result) < 0:
        raise ValueError(f"{caller}: sizes must not be negative, got shape {result}")
    return result


def _dtype(dtype: Any, caller: str, kinds: str, wanted: str) -> np.dtype:
    try:
        result = np.dtype(dtype)
    except TypeError:
        raise TypeError(f"{caller}: dtype must be {wanted}, got {dtype!r}") from None
    if result.kind not in kinds or not result.isnative or result.itemsize not in (1, 2, 4, 8):
        raise TypeError(f"{caller}: dtype must be {wanted}, got {result}")
    return result


def _real(dtype: Any, caller: str) -> np.dtype:
    result = _dtype(dtype, caller, "f", "float32 or float64")
    if result.itemsize < 4:
        raise TypeError(f"{caller}: dtype must be float32 or float64, got {result}")
    return result


_LARGEST = {np.dtype(real): float(np.finfo(real).max) for real in (np.float32, np.float64)}


def _finite(value: Any, what: str, dtype: np.dtype) -> float:
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise TypeError(f"{what} must be a number, got {value!r}") from None
    if not abs(number) <= _LARGEST[dtype]:  # NaN is not
        raise ValueError(f"{what} must be finite in {dtype}, got {value!r}")
    return number


def _probability(p: Any, caller: str) -> float:
    try:
        number = float(p)
    except (TypeError, ValueError):
        raise TypeError(f"{caller}: p must be a number, got {p!r}") from None
    if not 0.0 <= number <= 1.0:
        raise ValueError(f"{caller}: p is a probability and must be from 0 to 1, got {p!r}")
    return number


# --- the generator that is used when none is named ------------------------------------------------------------------

default_generator = Generator()


def manual_seed(seed: int) -> Generator:
    """Start the default generator again from `seed`, any integer, and return it.

    >>> manual_seed(0).integers(0, 10, 5)
    array([3, 7, 9, 6, 0])
    """
    return default_generator.manual_seed(seed)


def seed() -> int:
    """Start the default generator again from a seed of the operating system's randomness, which is returned."""
    return default_generator.seed()


def as_generator(generator: Generator | int | None) -> Generator:
    """A generator itself, a new one from a seed, or the default one for None."""
    if generator is None:
        return default_generator
    return generator if isinstance(generator, Generator) else Generator(generator)
