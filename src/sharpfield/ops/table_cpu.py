"""Rows of a table in any order, read and added to, as instructions for numba kernels.

The compiler vectorises no loop over rows in any order, and takes their two features one by one. In
LLVM's language, a row is one word.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from sharpfield.ops.tiles_cpu import FUSED, LANES, pointers, store_vector

_FLOAT, _WORD, _PAIR = ir.FloatType(), ir.IntType(32), ir.IntType(64)
_LANES = ir.VectorType(_WORD, LANES)
_ROW = ir.VectorType(_FLOAT, 2)


def _look_up_tile(typing, table, rows, first, second, place):  # type: ignore[no-untyped-def]
    """``first[place + i], second[place + i] = table[rows[place + i]]`` for i < LANES.

    ``table`` is float32 (rows, 2), ``rows`` uint32; all but the table are flat.
    """
    signature = types.void(table, rows, first, second, types.intp)

    def generate(context, builder, signature, values):  # type: ignore[no-untyped-def]
        table, rows, *features = pointers(context, builder, signature.args[:4], values[:4])
        place = values[4]
        pairs = builder.bitcast(table, _PAIR.as_pointer())
        found = ir.Constant(ir.VectorType(_PAIR, LANES), ir.Undefined)
        for lane in range(LANES):
            at = builder.add(place, ir.Constant(_PAIR, lane))
            row = builder.zext(builder.load(builder.gep(rows, [at])), _PAIR)
            pair = builder.load(builder.gep(pairs, [row]), align=4)
            found = builder.insert_element(found, pair, ir.Constant(_WORD, lane))
        both = builder.bitcast(found, ir.VectorType(_FLOAT, 2 * LANES))
        for feature, out in enumerate(features):
            own = ir.Constant(_LANES, list(range(feature, 2 * LANES, 2)))
            one = builder.shuffle_vector(both, both, own)
            store_vector(builder, one, builder.gep(out, [place]))
        return context.get_dummy_value()

    return signature, generate


def _add_to_row(typing, out, row, weight, first, second):  # type: ignore[no-untyped-def]
    """``out[row] += weight * (first, second)``, for a float32 (rows, 2) ``out``."""
    signature = types.void(out, types.uint32, *[types.float32] * 3)

    def generate(context, builder, signature, values):  # type: ignore[no-untyped-def]
        (out,) = pointers(context, builder, signature.args[:1], values[:1])
        row, weight, *features = values[1:]
        target = builder.gep(builder.bitcast(out, _ROW.as_pointer()), [builder.zext(row, _PAIR)])
        share = weights = ir.Constant(_ROW, ir.Undefined)
        for place, feature in enumerate(features):
            lane = ir.Constant(_WORD, place)
            share = builder.insert_element(share, feature, lane)
            weights = builder.insert_element(weights, weight, lane)
        share = builder.fmul(weights, share, flags=FUSED)
        total = builder.fadd(builder.load(target, align=4), share, flags=FUSED)
        builder.store(total, target, align=4)
        return context.get_dummy_value()

    return signature, generate


look_up_tile: Callable[..., Any] = intrinsic(_look_up_tile)
add_to_row: Callable[..., Any] = intrinsic(_add_to_row)
