"""Two-layer perceptrons as numba kernels.

Inputs and outputs lie feature by feature in memory: ``columns`` are (features, rows). A block of
rows is copied into scratch that stays in cache, and goes through both layers in tiles of features
and rows.

A weight gradient is summed over chunks of rows that do not depend on the threads, in a fixed
order: it is bit-identical from run to run.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba
import numpy as np

from sharpfield.ops.tiles_cpu import (
    FEATURES,
    PAIR,
    ROWS,
    add_outer_tile,
    gated_product_tile,
    product_tile,
    relu_product_tile,
)

BLOCK = 64
"""Rows per block, a multiple of a tile's rows."""

CHUNKS = 64
"""Shares of the rows, each taken by one thread."""

_STRIDE = BLOCK + 16
"""Floats from feature to feature: a power of two would crowd them into few sets of the cache."""


@numba.njit(inline="always")
def _whole_tiles(features):  # type: ignore[no-untyped-def]
    return (features + FEATURES - 1) // FEATURES * FEATURES


@numba.njit
def _padded(matrix):  # type: ignore[no-untyped-def]
    """With zeros up to whole tiles."""
    rows, columns = matrix.shape
    out = np.zeros((_whole_tiles(rows), _whole_tiles(columns)), np.float32)
    for row in range(rows):
        for column in range(columns):
            out[row, column] = matrix[row, column]
    return out


@numba.njit
def _scratch(features):  # type: ignore[no-untyped-def]
    return np.zeros(_whole_tiles(features) * _STRIDE, np.float32)


@numba.njit
def _load(columns, first, out):  # type: ignore[no-untyped-def]
    """Copy the block from row ``first`` on into scratch; missing rows are zero."""
    count = min(BLOCK, columns.shape[1] - first)
    if count < BLOCK:
        out[:] = 0
    for k in range(columns.shape[0]):
        for i in range(count):
            out[k * _STRIDE + i] = columns[k, first + i]


@numba.njit
def _store(block, first, out):  # type: ignore[no-untyped-def]
    """Copy a block of scratch to the rows from ``first`` on."""
    for k in range(out.shape[0]):
        for i in range(min(BLOCK, out.shape[1] - first)):
            out[k, first + i] = block[k * _STRIDE + i]


def _over_tiles(tile: Callable[..., Any]) -> Callable[..., Any]:
    """A kernel that makes a whole block with ``tile``, for a padded (outputs, inputs) matrix."""

    @numba.njit
    def product(w, x, gate, out):  # type: ignore[no-untyped-def]
        for j in range(0, w.shape[0], FEATURES):
            for s in range(0, BLOCK, ROWS):
                tile(w, x, gate, out, w.shape[1], _STRIDE, j, s)

    return product


_product = _over_tiles(product_tile)
"""``out = w @ x``; the gate does not matter."""

_relu_product = _over_tiles(relu_product_tile)
"""``out = relu(w @ x)``; the gate does not matter."""

_gated_product = _over_tiles(gated_product_tile)
"""``out = w @ x`` where the gate is positive, else 0: the gradient of a ReLU that gave it."""


@numba.njit
def _add_outer(x, y, out):  # type: ignore[no-untyped-def]
    """``out += x @ y.T`` for a padded (features of x, features of y) matrix."""
    for j in range(0, out.shape[0], FEATURES):
        for k in range(0, out.shape[1], PAIR):
            add_outer_tile(x, y, out, out.shape[1], BLOCK, _STRIDE, j, k)


@numba.njit
def _parts(padded):  # type: ignore[no-untyped-def]
    return np.zeros((CHUNKS, padded.shape[0], padded.shape[1]), np.float32)


@numba.njit
def _sum_parts(parts, out):  # type: ignore[no-untyped-def]
    out[:] = 0
    for chunk in range(CHUNKS):
        for row in range(out.shape[0]):
            for column in range(out.shape[1]):
                out[row, column] += parts[chunk, row, column]


@numba.njit(parallel=True, cache=True)
def mlp(columns, w1, w2, out):  # type: ignore[no-untyped-def]
    to_hidden, to_out = _padded(w1.T), _padded(w2.T)
    blocks = (columns.shape[1] + BLOCK - 1) // BLOCK
    for chunk in numba.prange(CHUNKS):
        x, hidden, y = _scratch(w1.shape[0]), _scratch(w1.shape[1]), _scratch(w2.shape[1])
        for block in range(chunk * blocks // CHUNKS, (chunk + 1) * blocks // CHUNKS):
            _load(columns, block * BLOCK, x)
            _relu_product(to_hidden, x, hidden, hidden)
            _product(to_out, hidden, y, y)
            _store(y, block * BLOCK, out)


@numba.njit(parallel=True, cache=True)
def mlp_gradient(columns, w1, w2, upstream, needs_columns, d_columns, d_w1, d_w2):  # type: ignore[no-untyped-def]
    """Write the gradients; that of the columns only if it ``needs_columns``."""
    to_hidden, from_hidden, from_out = _padded(w1.T), _padded(w1), _padded(w2)
    parts1, parts2 = _parts(from_hidden), _parts(from_out)
    blocks = (columns.shape[1] + BLOCK - 1) // BLOCK
    for chunk in numba.prange(CHUNKS):
        x, hidden, g = _scratch(w1.shape[0]), _scratch(w1.shape[1]), _scratch(w2.shape[1])
        d_x, d_hidden = _scratch(w1.shape[0]), _scratch(w1.shape[1])
        for block in range(chunk * blocks // CHUNKS, (chunk + 1) * blocks // CHUNKS):
            _load(columns, block * BLOCK, x)
            _load(upstream, block * BLOCK, g)
            _relu_product(to_hidden, x, hidden, hidden)
            _add_outer(hidden, g, parts2[chunk])
            _gated_product(from_out, g, hidden, d_hidden)
            _add_outer(x, d_hidden, parts1[chunk])
            if needs_columns:
                _product(from_hidden, d_hidden, d_x, d_x)
                _store(d_x, block * BLOCK, d_columns)
    _sum_parts(parts1, d_w1)
    _sum_parts(parts2, d_w2)
