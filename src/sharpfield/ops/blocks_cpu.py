"""Layers of perceptrons over blocks of rows, as parts of numba kernels.

A block of rows is copied into scratch that stays in cache, feature by feature, and goes through
layers in tiles of features and rows.

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

STRIDE = BLOCK + 16
"""Floats from feature to feature: a power of two would crowd them into few sets of the cache."""


@numba.njit(inline="always")
def _whole_tiles(features):  # type: ignore[no-untyped-def]
    return (features + FEATURES - 1) // FEATURES * FEATURES


@numba.njit
def padded(matrix):  # type: ignore[no-untyped-def]
    """With zeros up to whole tiles."""
    rows, columns = matrix.shape
    out = np.zeros((_whole_tiles(rows), _whole_tiles(columns)), np.float32)
    for row in range(rows):
        for column in range(columns):
            out[row, column] = matrix[row, column]
    return out


@numba.njit
def scratch(features):  # type: ignore[no-untyped-def]
    return np.zeros(_whole_tiles(features) * STRIDE, np.float32)


@numba.njit(inline="always")
def blocks_of(chunk, rows):  # type: ignore[no-untyped-def]
    """The blocks that a chunk has of so many rows, as a range."""
    blocks = (rows + BLOCK - 1) // BLOCK
    return range(chunk * blocks // CHUNKS, (chunk + 1) * blocks // CHUNKS)


@numba.njit
def load(columns, first, out):  # type: ignore[no-untyped-def]
    """Copy the block from row ``first`` on into scratch; missing rows are zero."""
    count = min(BLOCK, columns.shape[1] - first)
    if count < BLOCK:
        out[:] = 0
    for k in range(columns.shape[0]):
        for i in range(count):
            out[k * STRIDE + i] = columns[k, first + i]


@numba.njit
def store(block, first, out):  # type: ignore[no-untyped-def]
    """Copy a block of scratch to the rows from ``first`` on."""
    for k in range(out.shape[0]):
        for i in range(min(BLOCK, out.shape[1] - first)):
            out[k, first + i] = block[k * STRIDE + i]


def _over_tiles(tile: Callable[..., Any]) -> Callable[..., Any]:
    """A kernel that makes a whole block with ``tile``, for a padded (outputs, inputs) matrix."""

    @numba.njit
    def product(w, x, gate, out):  # type: ignore[no-untyped-def]
        for j in range(0, w.shape[0], FEATURES):
            for s in range(0, BLOCK, ROWS):
                tile(w, x, gate, out, w.shape[1], STRIDE, j, s)

    return product


product = _over_tiles(product_tile)
"""``out = w @ x``; the gate does not matter."""

relu_product = _over_tiles(relu_product_tile)
"""``out = relu(w @ x)``; the gate does not matter."""

gated_product = _over_tiles(gated_product_tile)
"""``out = w @ x`` where the gate is positive, else 0: the gradient of a ReLU that gave it."""


@numba.njit
def outer_parts(left, right):  # type: ignore[no-untyped-def]
    """Zeros for ``add_outer`` of so many features by so many, per chunk, tile after tile."""
    rows, columns = _whole_tiles(left) // FEATURES, _whole_tiles(right) // PAIR
    return np.zeros((CHUNKS, rows, columns, FEATURES * PAIR), np.float32)


@numba.njit
def add_outer(x, y, part):  # type: ignore[no-untyped-def]
    """``part += x @ y.T``, for one chunk of ``outer_parts``."""
    rows, columns = part.shape[:2]
    for row in range(rows):
        for column in range(columns):
            tile = row * columns + column
            add_outer_tile(x, y, part, tile, BLOCK, STRIDE, row * FEATURES, column * PAIR)


@numba.njit
def sum_parts(parts, out):  # type: ignore[no-untyped-def]
    """Add up the chunks of ``outer_parts``."""
    total = parts[0].copy()
    for chunk in range(1, CHUNKS):
        total += parts[chunk]
    for row in range(out.shape[0]):
        for column in range(out.shape[1]):
            lane = row % FEATURES * PAIR + column % PAIR
            out[row, column] = total[row // FEATURES, column // PAIR, lane]
