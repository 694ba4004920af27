"""Entries of the table of operations: manipulation beyond shapes, comparing with a tolerance, what is no number.

Imported at the end of operation_table.py, whose helpers it uses.
"""

from __future__ import annotations

import numpy as np
from operation_table import INF, NAN, SHAPE, Case, Domain, _shaped, _with, add, refuses

import autograd as ag


def _tile(x, repetitions):
    return ag.tile(x, repetitions)


def _repeat(x, repeats, axis=None):
    return ag.repeat(x, repeats, axis=axis)


_shaped("tile", _tile, lambda x, repetitions: np.tile(x, repetitions), Case(((2, 3),), {"repetitions": 2}),
        Case(((2, 3),), {"repetitions": (3, 1)}), Case(((3,),), {"repetitions": (2, 1, 2)}),
        Case(((2, 1, 2),), {"repetitions": (2, 3)}), Case(((),), {"repetitions": (2,)}), Case(((),), {"repetitions": ()}),
        Case(((2, 3),), {"repetitions": (0, 2)}), Case(((0, 2),), {"repetitions": (2, 2)}), refusals=(
    refuses(lambda: [ag.zeros(2)], ValueError, "tile: a number of repetitions is negative: -1", repetitions=(1, -1)),
    refuses(lambda: [ag.zeros(2)], TypeError, "tile: a number of repetitions must be an integer, got 1.5", repetitions=1.5),
))  # fmt: skip
_shaped("repeat", _repeat, lambda x, repeats, axis=None: np.repeat(x, repeats, axis), Case((SHAPE,), {"repeats": 2}),
        Case((SHAPE,), {"repeats": 3, "axis": 1}), Case((SHAPE,), {"repeats": (2, 0, 1), "axis": -2}),
        Case((SHAPE,), {"repeats": (1, 2, 2, 1), "axis": -1}), Case(((3,),), {"repeats": (0, 0, 0)}), Case(((3,),), {"repeats": 1}),
        Case(((3,),), {"repeats": 0}), Case(((),), {"repeats": 2}), Case(((2, 0),), {"repeats": 2, "axis": 0}),
        Case(((0,),), {"repeats": ()}), refusals=(
    refuses(lambda: [ag.zeros(3)], ValueError, "repeat: a number of repetitions is negative: -1", repeats=-1),
    refuses(lambda: [ag.zeros(3)], ValueError, "repeat: a number of repetitions is negative: -2", repeats=(1, -2, 1)),
    refuses(lambda: [ag.zeros(3)], ValueError, r"repeat: needs one number, or 3 of them for axis 0 of \(3,\)", repeats=(1, 2)),
    refuses(lambda: [ag.zeros(3)], TypeError, "repeat: the numbers of repetitions must be integers", repeats=(1.0, 2.0, 1.0)),
    refuses(lambda: [ag.zeros(3)], IndexError, "repeat: axis 1 is out of range", repeats=2, axis=1),
))  # fmt: skip
_shaped("roll", lambda x, **o: ag.roll(x, **o), np.roll, Case((SHAPE,), {"shift": 5}), Case((SHAPE,), {"shift": -1, "axis": 1}),
        Case((SHAPE,), {"shift": (1, 2), "axis": (0, -1)}), Case((SHAPE,), {"shift": 1, "axis": (0, 2)}),
        Case((SHAPE,), {"shift": (1, 2), "axis": (1, 1)}), Case((SHAPE,), {"shift": 0, "axis": 0}), Case(((),), {"shift": 1}),
        Case(((0, 2),), {"shift": 1, "axis": 0}), refusals=(
    refuses(lambda: [ag.zeros(2, 3)], ValueError, "roll: 2 shifts for 1 axes", shift=(1, 2), axis=0),
    refuses(lambda: [ag.zeros(2, 3)], ValueError, "roll: 2 shifts need as many axes", shift=(1, 2)),
    refuses(lambda: [ag.zeros(2, 3)], TypeError, "roll: a shift must be an integer, got 0.5", shift=0.5),
    refuses(lambda: [ag.zeros(2, 3)], IndexError, "roll: axis 2 is out of range", shift=1, axis=2),
))  # fmt: skip
_shaped("rot90", ag.rot90, np.rot90, *(Case(((2, 3),), {"k": k}) for k in (-1, 0, 1, 2, 3, 4)),
        Case((SHAPE,), {"k": 1, "axes": (2, 0)}), Case(((0, 2),)), refusals=(
    refuses(lambda: [ag.zeros(2, 3)], ValueError, r"rot90: the two axes must differ, got \(0, -2\)", axes=(0, -2)),
    refuses(lambda: [ag.zeros(2, 3)], ValueError, r"rot90: needs two axes, got \(0,\)", axes=(0,)),
    refuses(lambda: [ag.zeros(2)], IndexError, "rot90: axis 1 is out of range"),
))  # fmt: skip


def _np_pad(x, pad_width, mode="constant", **options):
    return np.pad(x, pad_width, mode, **options)


_shaped("pad", ag.pad, _np_pad, Case(((2, 3),), {"pad_width": 1}), Case(((2, 3),), {"pad_width": (1, 2), "constant_values": 3}),
        Case((SHAPE,), {"pad_width": ((0, 1), (2, 0), (0, 0))}), Case(((3,),), {"pad_width": 0}),
        Case(((),), {"pad_width": 2}), Case(((0, 2),), {"pad_width": 1}), Case(((2, 3),), {"pad_width": ((1, 2),), "mode": "edge"}),
        *(Case(((2, 3),), {"pad_width": ((1, 0), (2, 1)), "mode": mode}) for mode in ("edge", "reflect", "symmetric", "wrap")),
        *(Case(((3,),), {"pad_width": (5, 7), "mode": mode}) for mode in ("edge", "reflect", "symmetric", "wrap")),
        *(Case(((1,),), {"pad_width": (2, 3), "mode": mode}) for mode in ("edge", "reflect", "symmetric", "wrap")),
        Case(((2, 3),), {"pad_width": 0, "mode": "wrap"}), refusals=(
    refuses(lambda: [ag.zeros(2, 3)], ValueError, "pad: unknown mode 'linear_ramp'; there are constant, edge", pad_width=1, mode="linear_ramp"),
    refuses(lambda: [ag.zeros(2, 3)], ValueError, r"pad: pad_width -1 is no number of elements", pad_width=-1),
    refuses(lambda: [ag.zeros(2, 3)], ValueError, r"pad: pad_width .* the axes of a tensor of shape \(2, 3\)", pad_width=((1, 1),) * 3),
    refuses(lambda: [ag.zeros(0)], ValueError, "pad: axis 0 .* is empty: mode 'edge' finds nothing to repeat", pad_width=1, mode="edge"),
    refuses(lambda: [ag.zeros(2, dtype=ag.uint8)], OverflowError, "pad: the number 300 is out of bounds for uint8",
            pad_width=1, constant_values=300),
    refuses(lambda: [ag.zeros(2)], TypeError, "pad: constant_values must be one number", pad_width=1, constant_values="a"),
))  # fmt: skip
_shaped("broadcast_arrays", lambda *t: ag.broadcast_arrays(*t), lambda *a: tuple(np.broadcast_arrays(*a)), Case(((3, 1), (4,))),
        Case(((2, 1, 2), (), (3, 1))), Case(((1,), (0,))), refusals=(
    refuses(lambda: [ag.zeros(2), ag.zeros(3)], ValueError, r"broadcast_tensors: shapes \(2,\) and \(3,\) do not broadcast"),
))  # fmt: skip
_shaped("meshgrid", lambda *t, **o: ag.meshgrid(*t, **o), lambda *a, **o: tuple(np.meshgrid(*a, **o)), Case(((3,), (2,))),
        Case(((3,), (2,)), {"indexing": "ij"}), Case(((2,), (), (3,))), Case(((3,),)), Case(((0,), (2,))), refusals=(
    refuses(lambda: [ag.zeros(2), ag.zeros(3)], ValueError, "meshgrid: indexing is 'xy' or 'ij', got 'yx'", indexing="yx"),
    refuses(lambda: [ag.zeros(2, 2)], ValueError, r"meshgrid: needs tensors of one dimension, got shapes \(2, 2\)"),
    refuses(lambda: [ag.zeros(2), ag.zeros(3, dtype=int)], ValueError, "meshgrid: all dtypes must be equal, got float32, int64"),
))  # fmt: skip
_shaped("atleast_nd", lambda x, ndim: ag.atleast_nd(x, ndim=ndim), lambda x, ndim: np.array(x, ndmin=ndim),
        Case(((2, 3),), {"ndim": 4}), Case(((),), {"ndim": 1}), Case((SHAPE,), {"ndim": 2}), Case(((0,),), {"ndim": 2}))  # fmt: skip
for _name in ("atleast_1d", "atleast_2d", "atleast_3d"):
    _shaped(_name, getattr(ag, _name), getattr(np, _name), *(Case((s,)) for s in ((3,), (2, 3), SHAPE, (), (0,))))

_shaped("reshape_copy", lambda x, shape: ag.reshape(x, shape, copy=True), _with(np.reshape, "shape"),
        Case((SHAPE,), {"shape": (6, -1)}), Case((SHAPE,), {"shape": SHAPE}), Case(((),), {"shape": (1,)}))  # fmt: skip

# --- with a tolerance -------------------------------------------------------------------------------------------------

_POINTS = (0.0, 1.0, 1.0 + 1e-6, -1.0, 1e-9, INF, -INF, NAN)
add("isclose", ag.isclose, np.isclose, domains=(Domain(0.0, 1e-4, integers=(0, 3)),) * 2, kinds="iuf", order=0, exact=True,
    cases=(Case((SHAPE, SHAPE), {"rtol": 0.5}), Case(((3, 1), (4,)), {"atol": 1e-5}), Case(((), ())), Case(((0, 2), (2,))),
           Case(((3,), (3,)), {"equal_nan": True})),
    special=tuple((a, b) for a in _POINTS for b in _POINTS), refusals=(
    refuses(lambda: [ag.zeros(2), ag.zeros(3)], ValueError, r"shapes \(2,\) and \(3,\) do not broadcast"),
))  # fmt: skip
add("nan_to_num", ag.nan_to_num, lambda x, **o: np.nan_to_num(x, **o), kinds="biuf", exact=True, special=tuple((p,) for p in _POINTS),
    cases=(Case((SHAPE,), {"nan": 2.0, "posinf": 7.0, "neginf": -7.0}), Case((SHAPE,)), Case(((),)), Case(((0, 2),))))  # fmt: skip
