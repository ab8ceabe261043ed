"""Hash-grid encoding as numba kernels.

Each thread takes its share of the points through one level after the other, so that the rows of a
level stay in its cache meanwhile, and through each level in blocks: where the points lie, what the
table holds there, what follows from it. Each of these is a loop that the compiler vectorises.

Points lie axis by axis in memory, encoded ones feature by feature, as ``radiance_cpu`` wants them.

The table gradient is free of races and bit-identical from run to run: one thread owns a level.
"""

from __future__ import annotations

import numba
import numpy as np

from sharpfield.jit import cached_njit
from sharpfield.ops.hash_spec import PRIMES
from sharpfield.ops.table_cpu import add_to_row, look_up_tile
from sharpfield.ops.tiles_cpu import LANES

_BLOCK = 128
"""Points of a block, a multiple of LANES."""

_STRIDE = _BLOCK + 16
"""Numbers from one row of scratch to the next: a power of two would crowd the cache's sets."""

_CORNERS = 8
"""Of a cell. Their rows, weights and values lie one after another in scratch, x fastest."""

_LINE = 8
"""Table rows in a cache line."""

_ZERO, _ONE = np.float32(0), np.float32(1)
_P1 = np.uint32(PRIMES[1])
_P2 = np.uint32(PRIMES[2])


@numba.njit
def _scratch(rows, dtype):  # type: ignore[no-untyped-def]
    return np.zeros(rows * _STRIDE, dtype)


@numba.njit
def _corner_scratch():  # type: ignore[no-untyped-def]
    return _scratch(_CORNERS, np.float32)


@numba.njit
def _place_scratch():  # type: ignore[no-untyped-def]
    """For what ``_locate`` writes: cells, how far the points lie in them, rows of their corners."""
    return _scratch(3, np.int32), _scratch(3, np.float32), _scratch(_CORNERS, np.uint32)


@numba.njit
def _split(x, cells, last, cell, fraction):  # type: ignore[no-untyped-def]
    """The cell that each coordinate of a block is in, and how far."""
    for i in range(x.shape[0]):
        inside = x[i] if x[i] > _ZERO else _ZERO
        scaled = (inside if inside < _ONE else _ONE) * cells
        whole = np.int32(scaled)
        whole = whole if whole < last else last
        cell[i] = whole
        fraction[i] = scaled - np.float32(whole)


@numba.njit
def _hashed_corners(cell, count, mask, first, row):  # type: ignore[no-untyped-def]
    for i in range(count):
        x0 = np.uint32(cell[i])
        x1 = np.uint32(x0 + 1)
        y0 = np.uint32(np.uint32(cell[_STRIDE + i]) * _P1)
        y1 = np.uint32(y0 + _P1)
        z0 = np.uint32(np.uint32(cell[2 * _STRIDE + i]) * _P2)
        z1 = np.uint32(z0 + _P2)
        row[i] = first + ((x0 ^ y0 ^ z0) & mask)
        row[_STRIDE + i] = first + ((x1 ^ y0 ^ z0) & mask)
        row[2 * _STRIDE + i] = first + ((x0 ^ y1 ^ z0) & mask)
        row[3 * _STRIDE + i] = first + ((x1 ^ y1 ^ z0) & mask)
        row[4 * _STRIDE + i] = first + ((x0 ^ y0 ^ z1) & mask)
        row[5 * _STRIDE + i] = first + ((x1 ^ y0 ^ z1) & mask)
        row[6 * _STRIDE + i] = first + ((x0 ^ y1 ^ z1) & mask)
        row[7 * _STRIDE + i] = first + ((x1 ^ y1 ^ z1) & mask)


@numba.njit
def _dense_corners(cell, count, dy, dz, first, row):  # type: ignore[no-untyped-def]
    for i in range(count):
        base = first + np.uint32(cell[i] + cell[_STRIDE + i] * dy + cell[2 * _STRIDE + i] * dz)
        for z in range(2):
            for y in range(2):
                for x in range(2):
                    row[(4 * z + 2 * y + x) * _STRIDE + i] = base + x + y * dy + z * dz


@numba.njit
def _locate(points, i, j, level, grid, places):  # type: ignore[no-untyped-def]
    """Where in their cells the points from i to j lie, and the table rows of the cells' corners."""
    resolutions, offsets, hashed = grid
    cell, fraction, row = places
    resolution, first = resolutions[level], np.uint32(offsets[level])
    for axis in range(3):
        cells, last = np.float32(resolution[axis]), np.int32(resolution[axis] - 1)
        at = axis * _STRIDE
        _split(points[axis, i:j], cells, last, cell[at:], fraction[at:])
    if hashed[level]:
        mask = np.uint32(offsets[level + 1] - offsets[level] - 1)
        _hashed_corners(cell, j - i, mask, first, row)
    else:
        dy = np.int32(resolution[0] + 1)
        dz = np.int32(dy * (resolution[1] + 1))
        _dense_corners(cell, j - i, dy, dz, first, row)


@numba.njit
def _look_up(points, i, j, table, level, grid, places, first, second):  # type: ignore[no-untyped-def]
    """Locate points, and read both features of their corners.

    What a vector reads behind the last point is of an earlier block, or row 0.
    """
    _locate(points, i, j, level, grid, places)
    row = places[2]
    for corner in range(_CORNERS):
        for k in range(0, j - i, LANES):
            look_up_tile(table, row, first, second, corner * _STRIDE + k)


@numba.njit(fastmath=True)
def _fetch(table, first, end):  # type: ignore[no-untyped-def]
    """Read rows in order, before they are looked up at random: a sum, or it would be left out.

    Adam has just touched four times as much memory as the table takes, which is then far away.
    """
    total = np.float32(0)
    for row in range(first, end, _LINE):
        total += table[row, 0]
    return total


@numba.njit
def _sides(fraction, i):  # type: ignore[no-untyped-def]
    """How near a point is to either side of its cell along each axis."""
    x, y, z = fraction[i], fraction[_STRIDE + i], fraction[2 * _STRIDE + i]
    return _ONE - x, x, _ONE - y, y, _ONE - z, z


@numba.njit(fastmath=True)
def _interpolate(value, fraction, out):  # type: ignore[no-untyped-def]
    s = _STRIDE
    for i in range(out.shape[0]):
        gx, fx, gy, fy, gz, fz = _sides(fraction, i)
        near = gy * (gx * value[i] + fx * value[s + i])
        near += fy * (gx * value[2 * s + i] + fx * value[3 * s + i])
        far = gy * (gx * value[4 * s + i] + fx * value[5 * s + i])
        far += fy * (gx * value[6 * s + i] + fx * value[7 * s + i])
        out[i] = gz * near + fz * far


@cached_njit(parallel=True)
def encode(points, table, resolutions, offsets, hashed, threads, out):  # type: ignore[no-untyped-def]
    count, levels = points.shape[1], resolutions.shape[0]
    grid = (resolutions, offsets, hashed)
    fetched = np.zeros(threads, np.float32)
    for thread in numba.prange(threads):
        places, first, second = _place_scratch(), _corner_scratch(), _corner_scratch()
        end = (thread + 1) * count // threads
        for level in range(levels):
            fetched[thread] += _fetch(table, offsets[level], offsets[level + 1])
            for i in range(thread * count // threads, end, _BLOCK):
                j = min(i + _BLOCK, end)
                _look_up(points, i, j, table, level, grid, places, first, second)
                _interpolate(first, places[1], out[2 * level, i:j])
                _interpolate(second, places[1], out[2 * level + 1, i:j])


@numba.njit(fastmath=True)
def _weigh(fraction, count, weight):  # type: ignore[no-untyped-def]
    """What each corner counts."""
    for i in range(count):
        gx, fx, gy, fy, gz, fz = _sides(fraction, i)
        weight[i] = gx * gy * gz
        weight[_STRIDE + i] = fx * gy * gz
        weight[2 * _STRIDE + i] = gx * fy * gz
        weight[3 * _STRIDE + i] = fx * fy * gz
        weight[4 * _STRIDE + i] = gx * gy * fz
        weight[5 * _STRIDE + i] = fx * gy * fz
        weight[6 * _STRIDE + i] = gx * fy * fz
        weight[7 * _STRIDE + i] = fx * fy * fz


@numba.njit(fastmath=True)
def _scatter(g0, g1, weight, row, out):  # type: ignore[no-untyped-def]
    for i in range(g0.shape[0]):
        for corner in range(_CORNERS):
            at = corner * _STRIDE + i
            add_to_row(out, row[at], weight[at], g0[i], g1[i])


@cached_njit(parallel=True)
def scatter_table_gradient(points, gradient, resolutions, offsets, hashed, order, out):  # type: ignore[no-untyped-def]
    """Write d loss / d table to ``out``; ``order`` spreads dear and cheap levels over threads."""
    count, levels = points.shape[1], resolutions.shape[0]
    grid = (resolutions, offsets, hashed)
    for slot in numba.prange(levels):
        level = order[slot]
        places, weight = _place_scratch(), _corner_scratch()
        _, fraction, row = places
        out[offsets[level] : offsets[level + 1]] = 0
        for i in range(0, count, _BLOCK):
            j = min(i + _BLOCK, count)
            _locate(points, i, j, level, grid, places)
            _weigh(fraction, j - i, weight)
            _scatter(gradient[2 * level, i:j], gradient[2 * level + 1, i:j], weight, row, out)


@numba.njit(fastmath=True)
def _combine(first, second, g0, g1, value):  # type: ignore[no-untyped-def]
    """The gradient of the features times what each corner holds of them."""
    for corner in range(_CORNERS):
        at = corner * _STRIDE
        for i in range(g0.shape[0]):
            value[at + i] = g0[i] * first[at + i] + g1[i] * second[at + i]


@numba.njit(fastmath=True)
def _add_slope(value, fraction, cells, x, y, z):  # type: ignore[no-untyped-def]
    """Add the slope of what ``_interpolate`` makes of ``value``, per unit of the cube."""
    s = _STRIDE
    for i in range(x.shape[0]):
        gx, fx, gy, fy, gz, fz = _sides(fraction, i)
        v0, v1, v2, v3 = value[i], value[s + i], value[2 * s + i], value[3 * s + i]
        v4, v5, v6, v7 = value[4 * s + i], value[5 * s + i], value[6 * s + i], value[7 * s + i]
        along_x = gz * (gy * (v1 - v0) + fy * (v3 - v2)) + fz * (gy * (v5 - v4) + fy * (v7 - v6))
        along_y = gz * (gx * (v2 - v0) + fx * (v3 - v1)) + fz * (gx * (v6 - v4) + fx * (v7 - v5))
        along_z = gy * (gx * (v4 - v0) + fx * (v5 - v1)) + fy * (gx * (v6 - v2) + fx * (v7 - v3))
        x[i] += cells[0] * along_x
        y[i] += cells[1] * along_y
        z[i] += cells[2] * along_z


@cached_njit(parallel=True)
def point_gradient(points, table, gradient, resolutions, offsets, hashed, threads, out):  # type: ignore[no-untyped-def]
    """d loss / d points, zero where a coordinate was clamped."""
    count, levels = points.shape[1], resolutions.shape[0]
    grid = (resolutions, offsets, hashed)
    fetched = np.zeros(threads, np.float32)
    for thread in numba.prange(threads):
        places, first, second = _place_scratch(), _corner_scratch(), _corner_scratch()
        value = _corner_scratch()
        end = (thread + 1) * count // threads
        for level in range(levels):
            fetched[thread] += _fetch(table, offsets[level], offsets[level + 1])
            for i in range(thread * count // threads, end, _BLOCK):
                j = min(i + _BLOCK, end)
                _look_up(points, i, j, table, level, grid, places, first, second)
                g0, g1 = gradient[2 * level, i:j], gradient[2 * level + 1, i:j]
                _combine(first, second, g0, g1, value)
                cells = resolutions[level].astype(np.float32)
                _add_slope(value, places[1], cells, out[0, i:j], out[1, i:j], out[2, i:j])
        for axis in range(3):
            for i in range(thread * count // threads, end):
                if points[axis, i] < 0 or points[axis, i] > 1:
                    out[axis, i] = 0
