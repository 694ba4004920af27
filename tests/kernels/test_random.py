"""Random numbers: the published vectors, the recipe in plain Python, independence of threads, statistics, arguments.

The statistical tests use fixed seeds, so they pass or fail for good; their bounds are those of a 5 sigma event.
"""

import copy
import math
import os
import pickle
import subprocess
import sys
import threading
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from numba import config

from kernels import launch, philox
from kernels.cpu import random as cpu_random
from kernels.random import Generator, as_generator, default_generator, manual_seed, seed

ROOT = Path(__file__).parents[2]
LARGEST = 2**64 - 1

DRAWS = {
    "uniform float32": lambda g, n: g.uniform(n),
    "uniform float64": lambda g, n: g.uniform(n, np.float64, -3, 5),
    "normal float32": lambda g, n: g.normal(n, mean=1, std=2),
    "normal float64": lambda g, n: g.normal(n, np.float64),
    "integers": lambda g, n: g.integers(-5, 100, n),
    "integers int8": lambda g, n: g.integers(-128, 128, n, np.int8),
    "wide integers": lambda g, n: g.integers(-(2**63), 2**63 - 5, n),
    "bernoulli": lambda g, n: g.bernoulli(n, 0.3, np.bool_),
    "dropout": lambda g, n: g.dropout_mask(n, 0.3),
}


@pytest.fixture(params=DRAWS, ids=lambda name: name.replace(" ", "-"))
def draw(request):
    """A function of (generator, count) that draws that many numbers."""
    return DRAWS[request.param]


def words_of(key, offset, blocks):
    """The words of consecutive blocks, from the recipe in Python, as lists of four integers."""
    signed = cpu_random.signed
    return [[int(w) for w in philox.random_words(signed(key), signed(offset + i))] for i in range(blocks)]


def python_philox(counter, key):
    """Philox4x32-10 written from the paper in Python integers, a second time."""
    c, k = list(counter), list(key)
    for _ in range(10):
        high0, low0 = divmod(0xD2511F53 * c[0], 1 << 32)
        high1, low1 = divmod(0xCD9E8D57 * c[2], 1 << 32)
        c = [high1 ^ c[1] ^ k[0], low1, high0 ^ c[3] ^ k[1], low0]
        k = [(k[0] + 0x9E3779B9) % (1 << 32), (k[1] + 0xBB67AE85) % (1 << 32)]
    return c


# --- bits ------------------------------------------------------------------------------------------------------------

VECTORS = [  # counter, key and output of Random123's kat_vectors
    ("00000000 00000000 00000000 00000000", "00000000 00000000", "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
    ("ffffffff ffffffff ffffffff ffffffff", "ffffffff ffffffff", "408f276d 41c83b0e a20bc7c6 6d5451fd"),
    ("243f6a88 85a308d3 13198a2e 03707344", "a4093822 299f31d0", "d16cfe09 94fdcceb 5001e420 24126ea1"),
]


@pytest.mark.parametrize(("counter", "key", "expected"), VECTORS)
def test_published_vectors(counter, key, expected):
    numbers = [[int(word, 16) for word in text.split()] for text in (counter, key)]
    block = philox.philox(*(np.uint64(n) for n in numbers[0] + numbers[1]))
    assert " ".join(f"{int(word):08x}" for word in block) == expected
    assert " ".join(f"{word:08x}" for word in python_philox(*numbers)) == expected


def test_kernel_gives_published_vector():
    out = np.empty(4, np.uint32)
    cpu_random.words(out, 0, 0)
    assert [f"{word:08x}" for word in out] == VECTORS[0][2].split()


@pytest.mark.parametrize("key", [0, 1, 2**32 - 1, 2**32, 0x0123456789ABCDEF, 2**63, LARGEST])
@pytest.mark.parametrize("offset", [0, 5, 2**32 - 2, 2**63 - 2, LARGEST - 1])
def test_kernel_words_follow_the_paper(key, offset):
    out = np.empty(15, np.uint32)
    cpu_random.words(out, key, offset)
    counters = [(offset + i) % 2**64 for i in range(4)]
    expected = [python_philox((c % 2**32, c >> 32, 0, 0), (key % 2**32, key >> 32)) for c in counters]
    assert out.tolist() == [word for block in expected for word in block][:15]


def test_uniform_is_made_of_the_upper_bits():
    flat = np.array(words_of(9, 0, 5), np.uint64).reshape(-1)
    assert np.array_equal(Generator(9).uniform(19), ((flat >> 8) * 2.0**-24).astype(np.float32)[:19])
    pairs = flat.reshape(-1, 2)
    expected = ((pairs[:, 0] << 21) | (pairs[:, 1] >> 11)).astype(np.float64) * 2.0**-53
    assert np.array_equal(Generator(9).uniform(9, np.float64), expected[:9])


def test_normal_has_the_bits_of_the_recipe():
    with np.errstate(over="ignore"):
        blocks = [[np.uint64(w) for w in block] for block in words_of(4, 0, 200)]
        halves = [half for block in blocks for half in (block[:2], block[2:])]
        single = [v for half in halves for v in philox.normal_pair_float32(*half)]
        double = [v for block in blocks for v in philox.normal_pair_float64(*block)]
    assert np.array_equal(Generator(4).normal(800), np.array(single))
    if config.DISABLE_JIT:  # Python rounds a float64 product before it adds
        assert np.allclose(Generator(4).normal(400, np.float64), double, rtol=1e-14)
    else:
        assert np.array_equal(Generator(4).normal(400, np.float64), np.array(double))


def test_normal_is_the_transform_of_box_and_muller():
    words = np.empty((1 << 16, 4), np.uint32)
    cpu_random.words(words, 11, 0)
    wide = words.astype(np.longdouble)
    radius = np.sqrt(-2 * np.log((wide[:, 0::2] + 0.5) / 2**32))
    angle = 2 * np.longdouble(math.pi) * wide[:, 1::2] / 2**32
    expected = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=-1).reshape(-1)
    # The word is rounded to 24 bits, which matters to log(u) where u is near 1: weigh by the radius, small there.
    error = np.abs(Generator(11).normal(expected.size) - expected) * np.repeat(radius.reshape(-1), 2)
    assert error.max() < 3e-6
    bits = words.astype(np.uint64)
    u = ((((bits[:, 0] << 32) | bits[:, 1]) >> 11).astype(np.longdouble) + 0.5) / 2**53
    angle = 2 * np.longdouble(math.pi) * (((bits[:, 2] << 32) | bits[:, 3]).astype(np.longdouble) / 2**64)
    radius = np.sqrt(-2 * np.log(u))
    expected = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=-1).reshape(-1)
    error = np.abs(Generator(11).normal(expected.size, np.float64) - expected) * np.repeat(radius, 2)
    assert error.max() < 2e-14


@pytest.mark.parametrize("first", [0, 1, 2**32 - 1])
@pytest.mark.parametrize("second", [0, 2**29, 2**30, 2**31, 2**32 - 1])
def test_normal_is_finite_at_the_ends(first, second):
    a, b = np.uint64(first), np.uint64(second)
    with np.errstate(over="ignore"):
        values = [*philox.normal_pair_float32(a, b), *philox.normal_pair_float64(a, a, b, b)]
    assert all(math.isfinite(v) and abs(v) < 8.7 for v in values)


def test_integers_are_exact_products():
    numbers = [(a << 32) | b for block in words_of(5, 0, 50) for a, b in (block[:2], block[2:])]
    for span in (1, 2, 7, 1000, 2**31, 2**32 - 1, 2**32):
        assert Generator(5).integers(-3, span - 3, 100).tolist() == [(x * span >> 64) - 3 for x in numbers]
    wide = [(a << 96) | (b << 64) | (c << 32) | d for a, b, c, d in words_of(5, 0, 100)]
    for span in (2**32 + 1, 10**15, 2**63 + 12345, 2**64 - 1, 2**64):
        expected = [x * span >> 128 for x in wide]
        assert Generator(5).integers(0, span, 100, np.uint64).tolist() == expected
        assert Generator(5).integers(-(2**63), span - 2**63, 100).tolist() == [x - 2**63 for x in expected]


def test_wide_product_carries():
    for digits in ([2**32 - 1] * 4, [0, 0, 0, 2**32 - 1], [2**32 - 1, 0, 2**32 - 1, 0], [1, 2**32 - 1, 1, 2**31]):
        x = sum(d << (96 - 32 * i) for i, d in enumerate(digits))
        for span in (2**32 + 1, 2**63, 2**64 - 1, 2**64 - 2**32):
            got = philox.below_wide(*(np.uint64(d) for d in digits), np.uint64(span))
            assert int(got) == x * span >> 128


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int16, np.uint16, np.int32, np.uint32, np.int64, np.uint64])
def test_integers_of_every_type_reach_both_ends(dtype):
    limits = np.iinfo(dtype)
    whole = Generator(1).integers(limits.min, limits.max + 1, 2000, dtype)
    low, high = (int(v) - limits.min for v in (whole.min(), whole.max()))
    range_of_type = limits.max - limits.min
    assert whole.dtype == dtype and low < range_of_type * 0.02 and high > range_of_type * 0.98
    top = Generator(1).integers(limits.max - 2, limits.max + 1, 100, dtype)
    assert set(top.tolist()) == {limits.max - 2, limits.max - 1, limits.max}
    bottom = Generator(1).integers(limits.min, limits.min + 2, 100, dtype)
    assert set(bottom.tolist()) == {limits.min, limits.min + 1}


def test_dtypes_share_their_draws():
    same = [Generator(2).integers(0, 100, 50, dtype).tolist() for dtype in (np.int8, np.uint16, np.int32, np.int64)]
    assert all(numbers == same[0] for numbers in same)
    names = ["bool", "int8", "float16", "float32", "float64"]
    masks = [Generator(2).bernoulli(50, 0.4, name) for name in names]
    assert all(np.array_equal(mask, masks[0].astype(mask.dtype)) for mask in masks)
    assert [mask.dtype.name for mask in masks] == names


# --- the same numbers, however they are made ------------------------------------------------------------------------


def test_threads_do_not_matter(draw, monkeypatch):
    serial = [draw(Generator(8), n) for n in (1, 2, 3, 5, 4099)]
    monkeypatch.setattr(launch, "parallel_work", 1)
    spread = [draw(Generator(8), n) for n in (1, 2, 3, 5, 4099)]
    assert all(np.array_equal(a, b) for a, b in zip(serial, spread, strict=True))


@pytest.mark.parametrize("cuts", [[1], [2, 3, 7], list(range(1, 26))])
def test_any_split_gives_the_same_bits(draw, cuts, monkeypatch):
    expected = draw(Generator(3), 101)

    def in_parts(kernel, items, *arguments, work=1):
        bounds = [0, *(c for c in cuts if c < items), items]
        for low, high in reversed(list(pairwise(bounds))):
            kernel.native(low, high, *arguments)

    monkeypatch.setattr(launch.Kernel, "__call__", in_parts)
    assert np.array_equal(draw(Generator(3), 101), expected)


def test_fewer_numbers_are_the_first_of_more(draw):
    many = draw(Generator(6), 37)
    for count in range(37):
        few = draw(Generator(6), count)
        assert few.shape == (count,) and few.dtype == many.dtype
        assert np.array_equal(few, many[:count])


def test_nothing_is_written_beyond_the_end(draw, monkeypatch):
    from kernels import cpu

    for count in (0, 1, 2, 3, 4, 5, 9):
        memory = {}

        def guarded(shape, dtype, memory=memory):
            memory["bytes"] = np.full(math.prod(shape) * dtype.itemsize + 64, 0xA5, np.uint8)
            return memory["bytes"][: math.prod(shape) * dtype.itemsize].view(dtype).reshape(shape)

        monkeypatch.setattr(cpu, "empty", guarded)
        draw(Generator(0), count)
        assert (memory["bytes"][-64:] == 0xA5).all()


def test_shapes(draw):
    flat = draw(Generator(1), 24)
    for shape in ((24,), (2, 3, 4), [4, 6], (1, 24, 1), np.array([6, 4])):
        out = draw(Generator(1), shape)
        assert out.shape == tuple(shape) and np.array_equal(out.reshape(-1), flat)
    assert draw(Generator(1), ()).shape == () and draw(Generator(1), ()) == flat[0]
    empty = Generator(1)
    assert draw(empty, (3, 0, 2)).shape == (3, 0, 2) and empty.state()["offset"] == 0


def test_interpreted_loops_mean_the_same():
    """With Numba's compiler off the same sources run as plain Python."""
    program = (
        "import sys, numpy as np; from kernels.random import Generator\n"
        "g = Generator(21)\n"
        "out = [g.uniform(7), g.uniform(7, np.float64, -1, 1), g.normal(7, std=2), g.normal(7, np.float64), "
        "g.integers(-3, 9, 7), g.integers(-5, 2**40, 7), g.integers(0, 200, 7, np.uint8), g.permutation(7), "
        "g.bernoulli(7, 0.5), g.dropout_mask(7, 0.25, np.float64)]\n"
        "sys.stdout.write(repr([a.tolist() for a in out]))"
    )
    results = []
    for switch in ("0", "1"):
        environment = {**os.environ, "NUMBA_DISABLE_JIT": switch}
        done = subprocess.run(
            [sys.executable, "-c", program], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
        )
        results.append(eval(done.stdout))
    for compiled, interpreted in zip(*results, strict=True):
        assert np.allclose(compiled, interpreted, rtol=1e-14, atol=1e-14)


# --- state -----------------------------------------------------------------------------------------------------------


def test_seed_determines_everything(draw):
    assert np.array_equal(draw(Generator(1), 50), draw(Generator(1), 50))
    assert not np.array_equal(draw(Generator(1), 50), draw(Generator(2), 50))
    generator = Generator(1)
    assert not np.array_equal(draw(generator, 50), draw(generator, 50))


def test_offset_counts_blocks():
    generator, expected = Generator(0), 0
    for call, blocks in [
        (lambda: generator.uniform(9), 3),
        (lambda: generator.uniform(9, np.float64), 5),
        (lambda: generator.normal((3, 3)), 3),
        (lambda: generator.normal(9, np.float64), 5),
        (lambda: generator.integers(0, 2**32, 9), 5),
        (lambda: generator.integers(0, 2**32 + 1, 9), 9),
        (lambda: generator.permutation(9), 5),
        (lambda: generator.bernoulli(9), 3),
        (lambda: generator.dropout_mask(9), 3),
    ]:
        call()
        expected += blocks
        assert generator.state() == {"seed": 0, "offset": expected}


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, lambda g: pickle.loads(pickle.dumps(g))])
def test_copies_continue_alike_and_apart(copied):
    generator = Generator(5)
    generator.normal(10)
    other = copied(generator)
    assert other.state() == generator.state()
    assert np.array_equal(other.normal(10), generator.normal(10))
    other.normal(1)
    assert other.state() != generator.state()


def test_state_is_plain_and_restores():
    generator = Generator(123)
    generator.uniform(100)
    state = generator.state()
    assert state == {"seed": 123, "offset": 25} and all(type(v) is int for v in state.values())
    first = generator.normal(20)
    fresh = Generator(0)
    fresh.set_state(state)
    assert np.array_equal(fresh.normal(20), first)
    assert repr(fresh) == "Generator(seed=123, offset=30)"


def test_offset_wraps():
    generator = Generator(0)
    generator.set_state({"seed": 7, "offset": LARGEST})
    assert np.array_equal(generator.uniform(8)[4:], Generator(7).uniform(4))
    assert generator.state()["offset"] == 1


def test_any_integer_is_a_seed():
    assert Generator(LARGEST).initial_seed() == LARGEST
    hashed = [-1, -2, 2**64, -(2**64), 10**5000, np.int64(-7)]
    keys = [Generator(s).initial_seed() for s in hashed]
    assert len(set(keys)) == len(keys) and all(0 <= k <= LARGEST for k in keys)
    assert keys == [Generator(s).initial_seed() for s in hashed]
    assert Generator(-1).initial_seed() == 14083796069553230423
    assert Generator(np.int64(3)).state() == Generator(3).state()


def test_default_generator():
    before = default_generator.state()
    try:
        assert manual_seed(3) is default_generator and as_generator(None) is default_generator
        assert np.array_equal(default_generator.normal(5), Generator(3).normal(5))
        first, second = seed(), seed()
        assert first != second and default_generator.state() == {"seed": second, "offset": 0}
        assert as_generator(4).state() == {"seed": 4, "offset": 0}
        assert as_generator(generator := Generator(1)) is generator
    finally:
        default_generator.set_state(before)
    assert Generator().initial_seed() != Generator().initial_seed()


def test_threads_get_numbers_of_their_own():
    generator, calls, drawn = Generator(17), 500, [[] for _ in range(4)]

    def work(mine):
        for _ in range(calls):
            mine.append(generator.integers(0, 2**63, 2).tobytes())

    workers = [threading.Thread(target=work, args=(mine,)) for mine in drawn]
    old = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
    finally:
        sys.setswitchinterval(old)
    together = Generator(17).integers(0, 2**63, 2 * 4 * calls).reshape(-1, 2)
    assert {b for mine in drawn for b in mine} == {pair.tobytes() for pair in together}
    assert generator.state()["offset"] == 2 * 4 * calls


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
def test_forked_child_continues_from_the_same_state():
    program = (
        "import os, threading, kernels.random as r; from kernels import random\n"
        "g = r.Generator(5); g.normal(3); r._lock.acquire()\n"
        "read, write = os.pipe()\n"
        "if os.fork() == 0:\n"
        "    os.write(write, repr(g.normal(6).tolist()).encode()); os._exit(0)\n"
        "r._lock.release(); os.wait()\n"
        "assert os.read(read, 1000).decode() == repr(g.normal(6).tolist())\n"
    )
    subprocess.run([sys.executable, "-W", "ignore", "-c", program], cwd=ROOT, check=True, timeout=120)


# --- distributions ---------------------------------------------------------------------------------------------------


def kolmogorov_distance(values, distribution):
    """sqrt(n) times the largest distance between the sample's distribution function and the given one."""
    ordered = np.sort(values.astype(np.float64))
    exact = distribution(ordered)
    steps = np.arange(ordered.size + 1) / ordered.size
    return math.sqrt(ordered.size) * max((steps[1:] - exact).max(), (exact - steps[:-1]).max())


def normal_distribution(x):
    return np.vectorize(lambda v: 0.5 * math.erfc(-v / math.sqrt(2)))(x)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_uniform_statistics(dtype):
    values = Generator(100).uniform(1 << 20, dtype)
    assert values.min() >= 0 and values.max() < 1 and values.min() < 1e-5 and values.max() > 1 - 1e-5
    count = values.size
    wide = values.astype(np.float64)
    assert abs(wide.mean() - 0.5) < 5 * math.sqrt(1 / 12 / count)
    assert abs(wide.var() - 1 / 12) < 5 * math.sqrt(1 / 180 / count)
    assert kolmogorov_distance(values, lambda x: x) < 2.2
    assert abs(np.corrcoef(wide[:-1], wide[1:])[0, 1]) < 5 / math.sqrt(count)
    cells = np.histogram2d(wide[0::2], wide[1::2], 32, [[0, 1], [0, 1]])[0]
    expected = count / 2 / 1024
    assert abs(((cells - expected) ** 2 / expected).sum() - 1023) < 5 * math.sqrt(2 * 1023)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_normal_statistics(dtype):
    values = Generator(101).normal(1 << 20, dtype)
    count, wide = values.size, values.astype(np.float64)
    for power, moment, variance in [(1, 0, 1), (2, 1, 2), (3, 0, 15), (4, 3, 96)]:
        assert abs((wide**power).mean() - moment) < 5 * math.sqrt(variance / count)
    assert kolmogorov_distance(values[: 1 << 16], normal_distribution) < 2.2
    for lag in (1, 2, 3, 4):
        assert abs((wide[:-lag] * wide[lag:]).mean()) < 5 / math.sqrt(count)
    # The two of a pair are independent beyond correlation: so are their squares.
    squares = wide**2 - 1
    assert abs((squares[0::2] * squares[1::2]).mean()) < 5 * 2 / math.sqrt(count / 2)
    for level in (3.0, 4.0):
        expected = count * math.erfc(level / math.sqrt(2))
        assert abs((abs(wide) > level).sum() - expected) < 5 * math.sqrt(expected)
    assert abs(Generator(102).normal(1 << 18, dtype, 3, 0.5).mean(dtype=np.float64) - 3) < 5 * 0.5 / 512


def test_integer_statistics():
    count = 1 << 18
    for span in (2, 3, 10, 1000):
        cells = np.bincount(Generator(103).integers(0, span, count), minlength=span)
        chi = ((cells - count / span) ** 2 / (count / span)).sum()
        assert abs(chi - (span - 1)) < 5 * math.sqrt(2 * max(span - 1, 1))
    wide = Generator(104).integers(-(2**62), 2**62 + 1, count).astype(np.float64) / 2**62
    assert kolmogorov_distance(wide, lambda x: (x + 1) / 2) < 2.2


def test_streams_of_neighbouring_seeds_are_unrelated():
    numbers = np.stack([Generator(s).normal(4096, np.float64) for s in range(32)])
    correlation = np.corrcoef(numbers)[~np.eye(32, dtype=bool)]
    assert abs(correlation).max() < 5.5 / math.sqrt(4096)


@pytest.mark.parametrize("p", [0.0, 1e-4, 0.1, 0.5, 0.9, 1.0])
def test_mask_statistics(p):
    count = 1 << 18
    ones = Generator(105).bernoulli(count, p)
    assert set(np.unique(ones)) <= {0.0, 1.0}
    assert abs(ones.mean(dtype=np.float64) - p) <= 5 * math.sqrt(p * (1 - p) / count)
    for dtype in (np.float32, np.float64):
        mask = Generator(106).dropout_mask(count, p, dtype)
        kept = mask != 0
        assert mask.dtype == dtype and np.isfinite(mask).all()
        assert abs(kept.mean() - (1 - p)) <= 5 * math.sqrt(p * (1 - p) / count)
        assert (mask[kept] == dtype(1 / (1 - p) if p < 1 else 0)).all()


def test_mask_at_the_ends_is_exact():
    assert (Generator(0).dropout_mask(1000, 0.0) == 1).all() and (Generator(0).dropout_mask(1000, 1.0) == 0).all()
    assert not Generator(0).bernoulli(1000, 0, np.bool_).any() and Generator(0).bernoulli(1000, 1, np.bool_).all()
    assert Generator(0).bernoulli(3, 1, np.bool_).view(np.uint8).tolist() == [1, 1, 1]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_uniform_never_reaches_high(dtype):
    high = float(np.nextafter(dtype(1), dtype(2)))
    assert (Generator(0).uniform(1000, dtype, 1, high) == 1).all()  # half of them would round to high
    assert (Generator(0).uniform(100, dtype, 2.5, 2.5) == 2.5).all()
    values = Generator(0).uniform(10000, dtype, -1e-3, 1e6)
    assert values.min() >= dtype(-1e-3) and values.max() < 1e6
    largest = float(np.finfo(dtype).max)
    assert np.isfinite(Generator(0).uniform(100, dtype, 0, largest)).all()


def test_normal_of_no_deviation_is_the_mean():
    assert (Generator(0).normal(100, mean=-2.5, std=0) == -2.5).all()


# --- permutations ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [0, 1, 2, 3, 7, 256, 257, 10_000])
def test_permutation_holds_every_number_once(count):
    order = Generator(3).permutation(count)
    assert order.dtype == np.int64 and order.shape == (count,)
    assert np.array_equal(np.sort(order), np.arange(count))
    assert np.array_equal(order, Generator(3).permutation(count))


def test_permutation_sorts_64_bit_keys():
    keys = [(a << 32) | b for block in words_of(3, 0, 50) for a, b in (block[:2], block[2:])]
    assert Generator(3).permutation(100).tolist() == sorted(range(100), key=keys.__getitem__)


def test_permutation_with_equal_keys_goes_by_index(monkeypatch):
    def few_different(out, key, offset):
        out[:, 0], out[:, 1] = 0, np.arange(len(out)) % 3

    monkeypatch.setattr(cpu_random, "words", few_different)
    assert Generator(0).permutation(8).tolist() == [0, 3, 6, 1, 4, 7, 2, 5]


def test_permutation_statistics():
    generator = Generator(107)
    cells = np.zeros((5, 5))
    for _ in range(4000):
        cells[np.arange(5), generator.permutation(5)] += 1
    assert abs(((cells - 800) ** 2 / 800).sum() - 16) < 5 * math.sqrt(2 * 16)
    orders = {tuple(generator.permutation(4)) for _ in range(1000)}
    assert len(orders) == 24


# --- arguments -------------------------------------------------------------------------------------------------------

BAD = [
    (lambda g: g.normal(3, std=-1), ValueError, "normal: std, the standard deviation, must not be negative, got -1.0"),
    (lambda g: g.normal(3, std=math.nan), ValueError, "normal: std must be finite in float32, got nan"),
    (lambda g: g.normal(3, mean=1e39), ValueError, "normal: mean must be finite in float32, got 1e\\+39"),
    (lambda g: g.normal(3, mean="a"), TypeError, "normal: mean must be a number, got 'a'"),
    (lambda g: g.normal(3, np.int32), TypeError, "normal: dtype must be float32 or float64, got int32"),
    (lambda g: g.normal(3, np.float16), TypeError, "normal: dtype must be float32 or float64, got float16"),
    (lambda g: g.normal(3, np.complex64), TypeError, "float32 or float64, got complex64"),
    (lambda g: g.uniform(3, ">f4"), TypeError, "uniform: dtype must be float32 or float64, got >f4"),
    (lambda g: g.uniform(3, "floaty"), TypeError, "uniform: dtype must be float32 or float64, got 'floaty'"),
    (lambda g: g.uniform(-1), ValueError, "uniform: sizes must not be negative, got shape \\(-1,\\)"),
    (lambda g: g.uniform((2, -3)), ValueError, "sizes must not be negative, got shape \\(2, -3\\)"),
    (lambda g: g.uniform(2.0), TypeError, "uniform: each size in shape must be an integer, got 2.0"),
    (lambda g: g.uniform((2, "x")), TypeError, "each size in shape must be an integer, got 'x'"),
    (lambda g: g.uniform(True), TypeError, "each size in shape must be an integer, got True"),
    (lambda g: g.uniform(3, low=1, high=0), ValueError, "low must not be above high, got low=1.0 and high=0.0"),
    (lambda g: g.uniform(3, high=math.inf), ValueError, "uniform: high must be finite in float32, got inf"),
    (lambda g: g.uniform(3, low=-3e38, high=3e38), ValueError, "high - low must be finite in float32"),
    (lambda g: g.uniform(3, device="tpu"), ValueError, "device"),
    (lambda g: g.integers(5, 5, 3), ValueError, "high must be above low, .* got low=5 and high=5"),
    (lambda g: g.integers(5, 4, 3), ValueError, "high must be above low"),
    (lambda g: g.integers(0, 300, 3, np.uint8), ValueError, "uint8 holds 0 to 255, got low=0 and high=300"),
    (lambda g: g.integers(-1, 3, 3, np.uint8), ValueError, "uint8 holds 0 to 255"),
    (lambda g: g.integers(0.5, 3, 3), TypeError, "integers: low must be an integer, got 0.5"),
    (lambda g: g.integers(0, 3, 3, np.float32), TypeError, "integers: dtype must be an integer type, got float32"),
    (lambda g: g.integers(0, 3, 3, bool), TypeError, "integers: dtype must be an integer type, got bool"),
    (lambda g: g.permutation(-1), ValueError, "permutation: count must not be negative, got -1"),
    (lambda g: g.permutation(3.0), TypeError, "permutation: count must be an integer, got 3.0"),
    (lambda g: g.bernoulli(3, 1.5), ValueError, "bernoulli: p is a probability and must be from 0 to 1, got 1.5"),
    (lambda g: g.bernoulli(3, math.nan), ValueError, "p is a probability and must be from 0 to 1, got nan"),
    (lambda g: g.bernoulli(3, 0.5, str), TypeError, "bernoulli: dtype must be a real type or bool, got <U0"),
    (lambda g: g.dropout_mask(3, -0.1), ValueError, "dropout_mask: p is a probability .* got -0.1"),
    (lambda g: g.dropout_mask(3, None), TypeError, "dropout_mask: p must be a number, got None"),
    (lambda g: g.dropout_mask(3, 0.5, bool), TypeError, "dropout_mask: dtype must be float32 or float64, got bool"),
    (lambda g: g.manual_seed("abc"), TypeError, "seed must be an integer, got 'abc'"),
    (lambda g: g.manual_seed(True), TypeError, "seed must be an integer, got True"),
    (lambda g: g.manual_seed(1.0), TypeError, "seed must be an integer, got 1.0"),
    (lambda g: g.set_state({"seed": 1}), ValueError, "expected a dict with 'seed' and 'offset', got {'seed': 1}"),
    (lambda g: g.set_state({"seed": -1, "offset": 0}), ValueError, "must be from 0 to 2\\*\\*64 - 1"),
    (lambda g: g.set_state({"seed": "1", "offset": 0}), TypeError, "set_state: seed must be an integer, got '1'"),
]


@pytest.mark.parametrize(("call", "error", "message"), BAD)
def test_bad_arguments_are_named(call, error, message):
    generator = Generator(0)
    with pytest.raises(error, match=message):
        call(generator)
    assert generator.state() == {"seed": 0, "offset": 0}
