"""Two-layer perceptrons as numba kernels.

Inputs and outputs lie feature by feature in memory: ``columns`` are (features, rows). A block of
rows is copied into scratch that stays in cache. The innermost loops run over rows and vectorise;
2 x 4 features at a time are as many as 16 vector registers hold. Indices into scratch are unsigned:
the check for negative ones would keep the compiler from vectorising.

A weight gradient is summed over chunks of rows that do not depend on the threads, in a fixed
order: it is bit-identical from run to run.
"""

from __future__ import annotations

import numba
import numpy as np

BLOCK = 256
"""Rows per block, a multiple of the vector width."""

CHUNKS = 64
"""Shares of the rows, each taken by one thread."""

_FLAGS = {"reassoc", "contract", "nsz"}
"""``fastmath`` without the promise that no value is NaN: a diverging fit must show."""

_TILE = 4
"""Features are padded with zeros to a multiple of this: loops take four, or two, at a time."""

_ROWS = np.uint64(BLOCK)
_STRIDE = BLOCK + 16
"""Floats from feature to feature: a power of two would crowd them into few sets of the cache."""


@numba.njit(inline="always")
def _at(feature):  # type: ignore[no-untyped-def]
    return np.uint64(feature) * np.uint64(_STRIDE)


@numba.njit(inline="always")
def _tiles(features):  # type: ignore[no-untyped-def]
    return (features + _TILE - 1) // _TILE


@numba.njit
def _padded(matrix):  # type: ignore[no-untyped-def]
    """With zeros up to whole tiles."""
    rows, columns = matrix.shape
    out = np.zeros((_tiles(rows) * _TILE, _tiles(columns) * _TILE), np.float32)
    for row in range(rows):
        for column in range(columns):
            out[row, column] = matrix[row, column]
    return out


@numba.njit
def _scratch(features):  # type: ignore[no-untyped-def]
    return np.zeros(_tiles(features) * _TILE * _STRIDE, np.float32)


@numba.njit
def _load(columns, first, out):  # type: ignore[no-untyped-def]
    """Copy the block from row ``first`` on into scratch; missing rows are zero."""
    count = min(BLOCK, columns.shape[1] - first)
    if count < BLOCK:
        out[:] = 0
    for k in range(columns.shape[0]):
        for i in range(count):
            out[_at(k) + np.uint64(i)] = columns[k, first + i]


@numba.njit
def _store(block, first, out):  # type: ignore[no-untyped-def]
    """Copy a block of scratch to the rows from ``first`` on."""
    for k in range(out.shape[0]):
        for i in range(min(BLOCK, out.shape[1] - first)):
            out[k, first + i] = block[_at(k) + np.uint64(i)]


@numba.njit(fastmath=_FLAGS)
def _product(w, x, out):  # type: ignore[no-untyped-def]
    """``out = w @ x`` for a padded (outputs, inputs) matrix."""
    outputs, inputs = w.shape
    for j in range(0, outputs, _TILE // 2):
        j0, j1 = _at(j), _at(j + 1)
        for k in range(0, inputs, _TILE):
            k0, k1, k2, k3 = _at(k), _at(k + 1), _at(k + 2), _at(k + 3)
            w00, w01, w02, w03 = w[j, k], w[j, k + 1], w[j, k + 2], w[j, k + 3]
            w10, w11, w12, w13 = w[j + 1, k], w[j + 1, k + 1], w[j + 1, k + 2], w[j + 1, k + 3]
            if k == 0:
                for s in range(_ROWS):
                    x0, x1, x2, x3 = x[k0 + s], x[k1 + s], x[k2 + s], x[k3 + s]
                    out[j0 + s] = w00 * x0 + w01 * x1 + w02 * x2 + w03 * x3
                    out[j1 + s] = w10 * x0 + w11 * x1 + w12 * x2 + w13 * x3
                continue
            for s in range(_ROWS):
                x0, x1, x2, x3 = x[k0 + s], x[k1 + s], x[k2 + s], x[k3 + s]
                out[j0 + s] += w00 * x0 + w01 * x1 + w02 * x2 + w03 * x3
                out[j1 + s] += w10 * x0 + w11 * x1 + w12 * x2 + w13 * x3


@numba.njit(fastmath=_FLAGS)
def _add_outer(x, y, out):  # type: ignore[no-untyped-def]
    """``out += x @ y.T`` for a padded (features of x, features of y) matrix."""
    for j in range(0, out.shape[0], _TILE // 2):
        j0, j1 = _at(j), _at(j + 1)
        for k in range(0, out.shape[1], _TILE):
            k0, k1, k2, k3 = _at(k), _at(k + 1), _at(k + 2), _at(k + 3)
            a00 = a01 = a02 = a03 = a10 = a11 = a12 = a13 = np.float32(0)
            for s in range(_ROWS):
                x0, x1 = x[j0 + s], x[j1 + s]
                y0, y1, y2, y3 = y[k0 + s], y[k1 + s], y[k2 + s], y[k3 + s]
                a00, a01, a02, a03 = a00 + x0 * y0, a01 + x0 * y1, a02 + x0 * y2, a03 + x0 * y3
                a10, a11, a12, a13 = a10 + x1 * y0, a11 + x1 * y1, a12 + x1 * y2, a13 + x1 * y3
            for row, (b0, b1, b2, b3) in enumerate(((a00, a01, a02, a03), (a10, a11, a12, a13))):
                out[j + row, k] += b0
                out[j + row, k + 1] += b1
                out[j + row, k + 2] += b2
                out[j + row, k + 3] += b3


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


@numba.njit
def _relu(block):  # type: ignore[no-untyped-def]
    for i in range(block.shape[0]):
        # As a choice, the compiler would make it a branch around the store, and not vectorise.
        block[i] *= np.float32(block[i] > 0)


@numba.njit
def _relu_gradient(hidden, gradient):  # type: ignore[no-untyped-def]
    for i in range(gradient.shape[0]):
        gradient[i] = np.float32(0) if hidden[i] <= 0 else gradient[i]


@numba.njit(parallel=True, cache=True)
def mlp(columns, w1, w2, out):  # type: ignore[no-untyped-def]
    to_hidden, to_out = _padded(w1.T), _padded(w2.T)
    blocks = (columns.shape[1] + BLOCK - 1) // BLOCK
    for chunk in numba.prange(CHUNKS):
        x, hidden, y = _scratch(w1.shape[0]), _scratch(w1.shape[1]), _scratch(w2.shape[1])
        for block in range(chunk * blocks // CHUNKS, (chunk + 1) * blocks // CHUNKS):
            _load(columns, block * BLOCK, x)
            _product(to_hidden, x, hidden)
            _relu(hidden)
            _product(to_out, hidden, y)
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
            _product(to_hidden, x, hidden)
            _relu(hidden)
            _add_outer(hidden, g, parts2[chunk])
            _product(from_out, g, d_hidden)
            _relu_gradient(hidden, d_hidden)
            _add_outer(x, d_hidden, parts1[chunk])
            if needs_columns:
                _product(from_hidden, d_hidden, d_x)
                _store(d_x, block * BLOCK, d_columns)
    _sum_parts(parts1, d_w1)
    _sum_parts(parts2, d_w2)
