"""Matrix products on tiles that stay in vector registers, as instructions for numba kernels.

The compiler vectorises innermost loops only, and here that is the sum, so it would keep the sums in
memory. The tiles are therefore written in LLVM's language; any processor can run its vectors.

Matrices of activations are flat arrays, feature after feature, ``stride`` floats apart.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.codegen import get_host_cpu_features
from numba.extending import intrinsic

LANES = 16 if "+avx512f" in get_host_cpu_features() else 8
"""Floats in a vector: as many as AVX-512 has, else AVX2, and two vectors of SSE or NEON."""

FEATURES = 4
"""Features of a tile. Its sums and what they are made of fit into 16 registers."""

VECTORS = 2
"""Vectors of rows of a tile of ``product``, its other side."""

ROWS = LANES * VECTORS
"""Rows of a tile of ``product``."""

PAIR = LANES // FEATURES
"""Features on the other side of a tile of ``add_outer``, whose sums fill a vector."""

_FLOAT, _INT, _WORD = ir.FloatType(), ir.IntType(64), ir.IntType(32)
_VECTOR = ir.VectorType(_FLOAT, LANES)
_ZEROS = ir.Constant(_VECTOR, [0.0] * LANES)
FUSED = ("contract",)
"""A product and its sum may share a rounding. NaN stays: a diverging fit must show."""

_Value = Any
_Finish = Callable[[ir.IRBuilder, _Value, _Value], _Value]
"""Makes a tile's result of a sum and of what the array ``gate`` holds in its place."""


def _int(value: int) -> ir.Constant:
    return ir.Constant(_INT, value)


def pointers(
    context: Any, builder: ir.IRBuilder, kinds: Sequence[Any], arrays: Sequence[_Value]
) -> list[_Value]:
    return [
        context.make_array(kind)(context, builder, array).data
        for kind, array in zip(kinds, arrays, strict=True)
    ]


def _at(builder: ir.IRBuilder, base: _Value, row: _Value, stride: _Value, column: _Value) -> _Value:
    return builder.gep(base, [builder.add(builder.mul(row, stride), column)])


def _load(builder: ir.IRBuilder, pointer: _Value) -> _Value:
    return builder.load(builder.bitcast(pointer, _VECTOR.as_pointer()), align=4)


def store_vector(builder: ir.IRBuilder, vector: _Value, pointer: _Value) -> None:
    builder.store(vector, builder.bitcast(pointer, _VECTOR.as_pointer()), align=4)


def _spread(builder: ir.IRBuilder, scalar: _Value) -> _Value:
    """The scalar in every lane."""
    nothing = ir.Constant(_VECTOR, ir.Undefined)
    first = builder.insert_element(nothing, scalar, ir.Constant(_WORD, 0))
    everywhere = ir.Constant(ir.VectorType(_WORD, LANES), [0] * LANES)
    return builder.shuffle_vector(first, nothing, everywhere)


def _sums_of_lanes(builder: ir.IRBuilder, vectors: list[_Value]) -> _Value:
    """The sum of each of LANES vectors, in its own lane.

    Two vectors are folded into one: from both, the lanes of one half of each group, plus those of
    the other.
    """
    width = LANES
    while width > 1:
        width //= 2
        half = len(vectors) // 2
        near = [start + lane for start in range(0, LANES, 2 * width) for lane in range(width)]
        vectors = [_fold(builder, vectors[i], vectors[i + half], width, near) for i in range(half)]
    return vectors[0]


def _fold(builder: ir.IRBuilder, a: _Value, b: _Value, width: int, near: list[int]) -> _Value:
    def lanes(shift: int) -> _Value:
        of_a = [lane + shift for lane in near]
        mixed = [
            lane
            for start in range(0, len(of_a), width)
            for side in (0, LANES)
            for lane in (side + place for place in of_a[start : start + width])
        ]
        return builder.shuffle_vector(a, b, ir.Constant(ir.VectorType(_WORD, LANES), mixed))

    return builder.fadd(lanes(0), lanes(width))


def _zero_sums(builder: ir.IRBuilder, others: int) -> list[list[_Value]]:
    """Variables of FEATURES x ``others`` vectors, which the compiler puts into registers."""
    sums = [[cgutils.alloca_once(builder, _VECTOR) for _ in range(others)] for _ in range(FEATURES)]
    for total in (total for row in sums for total in row):
        builder.store(_ZEROS, total)
    return sums


def _add_product(builder: ir.IRBuilder, total: _Value, a: _Value, b: _Value) -> None:
    product = builder.fmul(a, b, flags=FUSED)
    builder.store(builder.fadd(builder.load(total), product, flags=FUSED), total)


def _product_tile(finish: _Finish) -> Callable[..., Any]:
    """``out = finish(w @ x, gate)`` for FEATURES outputs from ``j`` on and ROWS rows from ``s``.

    ``w`` is an (outputs, inputs) matrix; ``out``, ``x`` and ``gate`` are activations.
    """

    def declare(typing, w, x, gate, out, inputs, stride, j, s):  # type: ignore[no-untyped-def]
        signature = types.void(w, x, gate, out, *[types.intp] * 4)

        def generate(context, builder, signature, values):  # type: ignore[no-untyped-def]
            w, x, gate, out = pointers(context, builder, signature.args[:4], values[:4])
            inputs, stride, j, s = values[4:]
            outputs = [builder.add(j, _int(feature)) for feature in range(FEATURES)]
            places = [builder.add(s, _int(first)) for first in range(0, ROWS, LANES)]
            sums = _zero_sums(builder, VECTORS)
            with cgutils.for_range(builder, inputs, intp=_INT) as loop:
                rows = [_load(builder, _at(builder, x, loop.index, stride, s)) for s in places]
                for output, totals in zip(outputs, sums, strict=True):
                    weight = builder.load(_at(builder, w, output, inputs, loop.index))
                    for total, row in zip(totals, rows, strict=True):
                        _add_product(builder, total, _spread(builder, weight), row)
            for output, totals in zip(outputs, sums, strict=True):
                for total, place in zip(totals, places, strict=True):
                    held = _load(builder, _at(builder, gate, output, stride, place))
                    result = finish(builder, builder.load(total), held)
                    target = _at(builder, out, output, stride, place)
                    store_vector(builder, result, target)
            return context.get_dummy_value()

        return signature, generate

    return intrinsic(declare)


def _positive(builder: ir.IRBuilder, total: _Value, _: _Value) -> _Value:
    return builder.select(builder.fcmp_ordered("<", total, _ZEROS), _ZEROS, total)


def _where_gate_is_positive(builder: ir.IRBuilder, total: _Value, gate: _Value) -> _Value:
    return builder.select(builder.fcmp_ordered("<=", gate, _ZEROS), _ZEROS, total)


product_tile = _product_tile(lambda builder, total, gate: total)
relu_product_tile = _product_tile(_positive)
gated_product_tile = _product_tile(_where_gate_is_positive)


def _add_outer_tile(typing, x, y, out, tile, rows, stride, j, k):  # type: ignore[no-untyped-def]
    """``out += x @ y.T`` for FEATURES features of ``x`` from ``j`` on and PAIR of ``y`` from ``k``.

    The results of a tile lie side by side, ``out`` holding one after another; ``rows`` is a
    multiple of LANES.
    """
    signature = types.void(x, y, out, *[types.intp] * 5)

    def generate(context, builder, signature, values):  # type: ignore[no-untyped-def]
        x, y, out = pointers(context, builder, signature.args[:3], values[:3])
        tile, rows, stride, j, k = values[3:]
        left = [builder.add(j, _int(feature)) for feature in range(FEATURES)]
        right = [builder.add(k, _int(feature)) for feature in range(PAIR)]
        sums = _zero_sums(builder, PAIR)
        with cgutils.for_range(builder, builder.udiv(rows, _int(LANES)), intp=_INT) as loop:
            s = builder.mul(loop.index, _int(LANES))
            others = [_load(builder, _at(builder, y, feature, stride, s)) for feature in right]
            for feature, totals in zip(left, sums, strict=True):
                one = _load(builder, _at(builder, x, feature, stride, s))
                for total, other in zip(totals, others, strict=True):
                    _add_product(builder, total, one, other)
        fresh = _sums_of_lanes(builder, [builder.load(total) for row in sums for total in row])
        target = builder.gep(out, [builder.mul(tile, _int(LANES))])
        store_vector(builder, builder.fadd(_load(builder, target), fresh), target)
        return context.get_dummy_value()

    return signature, generate


add_outer_tile: Callable[..., Any] = intrinsic(_add_outer_tile)
