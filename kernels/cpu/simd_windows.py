"""Windows of a convolution as vectors: a stretch of a line copied, with zeros where it reaches over the line's ends.

As in `kernels.cpu.simd`, a function exists as plain Python and as an intrinsic of the same name and meaning.
"""

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from kernels.cpu.pointer import JIT_DISABLED
from kernels.cpu.simd import DEPTH_PANEL_float32, DEPTH_PANEL_float64, LANES_float32, LANES_float64, PANEL_float32, PANEL_float64
from kernels.cpu.simd_code import (
    INDEX,
    _broadcast,
    _load,
    _load_masked,
    _multiply_add,
    _store,
    _store_masked,
    integer,
    lanes_of,
    moved,
)

# A panel of windows, and behind it room for what the last vector writes too much.
WINDOWS_float32, WINDOWS_float64 = DEPTH_PANEL_float32 + LANES_float32, DEPTH_PANEL_float64 + LANES_float64
RUN = 7  # numbers that describe a run: see `kernels.cpu.conv_kernels`
RUNS_float32, RUNS_float64 = RUN * PANEL_float32, RUN * PANEL_float64
SOME_ROWS = 128  # results that are not neighbours in memory are computed so many rows at a time
SOME_float32, SOME_float64 = SOME_ROWS * PANEL_float32, SOME_ROWS * PANEL_float64

# For the gradient by the weight: windows and gradients of so many positions are multiplied at a time, so many rows of
# windows and columns of gradients. Both lie in the nearest two caches.
STEPS, STEP_RUNS = 128, RUN * 128
WINDOW_ROWS = 32
WINDOW_LINES = (WINDOW_ROWS + 1) * STEPS
COLUMNS_float32, COLUMNS_float64 = 4 * PANEL_float32, 4 * PANEL_float64
GRADIENTS_float32, GRADIENTS_float64 = STEPS * COLUMNS_float32, STEPS * COLUMNS_float64

# Depthwise convolutions: taps at most, and vectors of partial sums that lie in the nearest cache.
MOST_TAPS, PARTIAL = 64, 512
PLACES = 1024  # of taps, worked out at a time
PARTIAL_float32, PARTIAL_float64 = PARTIAL * LANES_float32, PARTIAL * LANES_float64

if JIT_DISABLED:

    def window_sums(out, out_at, count, source, source_at, weight, weight_at, start, offsets, masks, place, taps):
        """out[j] = start + sum over t of weight[t] * source[offsets[place + t] + j]; see the intrinsic of this name."""
        for j in range(count):
            total = out.scalar(start)
            for t in range(taps):
                if masks[place + t] >> j & 1:
                    total += weight[weight_at + t] * source[source_at + offsets[place + t] + j]
            out[out_at + j] = total

    def add_window_products(sums, sums_at, grad, grad_at, count, source, source_at, offsets, masks, place, taps):
        """sums[t, j] += grad[j] * source[offsets[place + t] + j] for j in range(count), where bit j of masks[place + t] is 1."""
        lanes = LANES_float32 if grad.scalar(0).itemsize == 4 else LANES_float64
        for t in range(taps):
            for j in range(count):
                if masks[place + t] >> j & 1:
                    sums[sums_at + t * lanes + j] += grad[grad_at + j] * source[source_at + offsets[place + t] + j]

    def copy_windows(
        STEP, panel, panel_at, panel_step, source, source_at, source_step, low, high, count, repeats, exact
    ):  # fmt: skip
        """panel[r*panel_step + j] = source[r*source_step + j*STEP], or 0 outside; see the intrinsic of this name."""
        for r in range(repeats):
            for j in range(count):
                inside = low <= j * STEP < high
                panel[panel_at + r * panel_step + j] = source[source_at + r * source_step + j * STEP] if inside else 0.0

else:
    from kernels.cpu.simd import _call_own_function

    _I = types.int64
    _BITS = ir.IntType(32)

    def _clamped(builder, value, most):
        """The value brought into 0 .. most, as a 32-bit number."""
        zero, top = integer(0), integer(most)
        value = builder.select(builder.icmp_signed("<", value, zero), zero, value)
        return builder.trunc(builder.select(builder.icmp_signed(">", value, top), top, value), _BITS)

    def window_mask(builder, low, high, lanes):
        """True in the lanes low .. high - 1."""
        one = ir.Constant(_BITS, 1)
        first = builder.sub(builder.shl(one, _clamped(builder, low, lanes)), one)
        last = builder.sub(builder.shl(one, _clamped(builder, high, lanes)), one)
        bits = builder.and_(last, builder.not_(first))
        return builder.bitcast(builder.trunc(bits, ir.IntType(lanes)), ir.VectorType(ir.IntType(1), lanes))

    def _evens(builder, first, second):
        """Every other element of two vectors."""
        lanes = first.type.count
        return builder.shuffle_vector(first, second, ir.Constant(ir.VectorType(_BITS, lanes), list(range(0, 2 * lanes, 2))))

    @intrinsic(prefer_literal=True)
    def copy_windows(
        typing_context, STEP, panel, panel_at, panel_step, source, source_at, source_step, low, high, count, repeats, exact
    ):  # fmt: skip
        """panel[panel_at + r*panel_step + j] = source[source_at + r*source_step + j*STEP], for r in range(repeats) and j in
        range(count); or 0 where j*STEP is not in range(low, high): there `source` is not read. STEP is 1 or 2.

        Whole vectors are written, up to LANES - 1 elements more than `count`, unless `exact` is set: loads that follow a
        masked store closely wait for it.
        """
        if not isinstance(panel, types.CPointer) or panel != source:
            return None
        step = STEP.literal_value

        def body(
            builder, panel, panel_at, panel_step, source, source_at, source_step, low, high, count, repeats, exact
        ):  # fmt: skip
            lanes = lanes_of(panel.type.pointee)
            if step == 2:  # what lies behind the last window is not read either
                last = builder.sub(builder.add(count, count), integer(1))
                high = builder.select(builder.icmp_signed("<", high, last), high, last)
            panel, source = moved(builder, panel, panel_at), moved(builder, source, source_at)
            with cgutils.for_range_slice(builder, integer(0), count, integer(lanes), INDEX) as (first, _):
                begins = [builder.add(builder.mul(first, integer(step)), integer(v * lanes)) for v in range(step)]
                masks = [window_mask(builder, builder.sub(low, b), builder.sub(high, b), lanes) for b in begins]
                places = [moved(builder, source, b) for b in begins]
                to = moved(builder, panel, first)
                left = builder.sub(count, first)

                def loop(store, masks=masks, places=places, to=to):
                    with cgutils.for_range(builder, repeats) as each:
                        further = builder.mul(each.index, source_step)
                        loaded = [
                            _load_masked(builder, moved(builder, place, further), mask)
                            for place, mask in zip(places, masks, strict=True)
                        ]
                        value = loaded[0] if step == 1 else _evens(builder, *loaded)
                        store(value, moved(builder, to, builder.mul(each.index, panel_step)))

                cut = builder.and_(builder.icmp_signed("!=", exact, integer(0)), builder.icmp_signed("<", left, integer(lanes)))
                with builder.if_else(cut) as (part, full):
                    with full:
                        loop(lambda value, place: _store(builder, value, place))
                    with part:
                        written = window_mask(builder, integer(0), left, lanes)
                        loop(lambda value, place, mask=written: _store_masked(builder, value, place, mask))

        def generate(context, builder, signature, arguments):
            return _call_own_function(context, builder, f"copy_windows_{step}_{panel.dtype}", arguments[1:], body)

        return types.void(STEP, panel, _I, _I, source, _I, _I, _I, _I, _I, _I, _I), generate

    def _tap(builder, source, offsets, masks, t, lanes):
        """What tap number t reads: one vector."""
        bits = builder.trunc(builder.load(moved(builder, masks, t)), ir.IntType(lanes))
        mask = builder.bitcast(bits, ir.VectorType(ir.IntType(1), lanes))
        return _load_masked(builder, moved(builder, source, builder.load(moved(builder, offsets, t))), mask)

    @intrinsic
    def window_sums(
        typing_context, out, out_at, count, source, source_at, weight, weight_at, start, offsets, masks, place, taps
    ):  # fmt: skip
        """out[out_at + j] = start + sum over t of weight[weight_at + t] * source[source_at + offsets[place + t] + j], t < taps.

        The source counts as 0 where bit j of masks[place + t] is 0. For j in range(count), at most a vector.
        """
        if not isinstance(out, types.CPointer) or not out == source == weight:
            return None
        signature = types.void(out, _I, _I, source, _I, weight, _I, out.dtype, offsets, masks, _I, _I)

        def body(builder, out, out_at, count, source, source_at, weight, weight_at, start, offsets, masks, place, taps):
            lanes = lanes_of(out.type.pointee)
            offsets, masks = moved(builder, offsets, place), moved(builder, masks, place)
            out, source = moved(builder, out, out_at), moved(builder, source, source_at)
            weight = moved(builder, weight, weight_at)
            first = _broadcast(builder, start)
            total = cgutils.alloca_once_value(builder, first)
            with cgutils.for_range(builder, taps) as each:
                value = _tap(builder, source, offsets, masks, each.index, lanes)
                factor = _broadcast(builder, builder.load(moved(builder, weight, each.index)))
                builder.store(_multiply_add(builder, factor, value, builder.load(total)), total)
            with builder.if_else(builder.icmp_signed(">=", count, integer(lanes))) as (whole, part):
                with whole:
                    _store(builder, builder.load(total), out)
                with part:
                    _store_masked(builder, builder.load(total), out, window_mask(builder, integer(0), count, lanes))

        def generate(context, builder, signature, arguments):
            return _call_own_function(context, builder, f"window_sums_{out.dtype}", arguments, body)

        return signature, generate

    @intrinsic
    def add_window_products(
        typing_context, sums, sums_at, grad, grad_at, count, source, source_at, offsets, masks, place, taps
    ):  # fmt: skip
        """sums[sums_at + t * LANES + j] += grad[grad_at + j] * source[source_at + offsets[place + t] + j] for t in range(taps).

        The source counts as 0 where bit j of masks[place + t] is 0. For j in range(count), at most a vector.
        """
        if not isinstance(sums, types.CPointer) or not sums == source == grad:
            return None
        signature = types.void(sums, _I, grad, _I, _I, source, _I, offsets, masks, _I, _I)

        def body(builder, sums, sums_at, grad, grad_at, count, source, source_at, offsets, masks, place, taps):
            lanes = lanes_of(sums.type.pointee)
            offsets, masks = moved(builder, offsets, place), moved(builder, masks, place)
            sums, source = moved(builder, sums, sums_at), moved(builder, source, source_at)
            grad = moved(builder, grad, grad_at)
            factor = _load_masked(builder, grad, window_mask(builder, integer(0), count, lanes))
            with cgutils.for_range(builder, taps) as each:
                own = moved(builder, sums, builder.mul(each.index, integer(lanes)))
                value = _tap(builder, source, offsets, masks, each.index, lanes)
                _store(builder, _multiply_add(builder, factor, value, _load(builder, own)), own)

        def generate(context, builder, signature, arguments):
            return _call_own_function(context, builder, f"add_window_products_{sums.dtype}", arguments, body)

        return signature, generate
