"""Hash-grid encoding as numba kernels.

The table gradient is free of races and bit-identical from run to run: one thread owns a level.
"""

from __future__ import annotations

import numba
import numpy as np

from sharpfield.ops.hash_spec import PRIMES

BLOCK = 512
"""Points that one thread takes through all levels at a time, so that their output stays in L1."""

_P1 = np.uint32(PRIMES[1])
_P2 = np.uint32(PRIMES[2])


@numba.njit(inline="always")
def _split(value, resolution):  # type: ignore[no-untyped-def]
    scaled = min(max(value, np.float32(0.0)), np.float32(1.0)) * np.float32(resolution)
    cell = min(np.int32(scaled), np.int32(resolution - 1))
    return cell, scaled - np.float32(cell)


@numba.njit(inline="always")
def _rows(x, y, z, resolution, hashed, mask, first, rows):  # type: ignore[no-untyped-def]
    """Table rows of the eight corners of a cell, x fastest."""
    if hashed:
        ux, uy, uz = np.uint32(x), np.uint32(y), np.uint32(z)
        y0, y1 = uy * _P1, (uy + np.uint32(1)) * _P1
        z0, z1 = uz * _P2, (uz + np.uint32(1)) * _P2
        x1 = ux + np.uint32(1)
        rows[0] = first + np.int64((ux ^ y0 ^ z0) & mask)
        rows[1] = first + np.int64((x1 ^ y0 ^ z0) & mask)
        rows[2] = first + np.int64((ux ^ y1 ^ z0) & mask)
        rows[3] = first + np.int64((x1 ^ y1 ^ z0) & mask)
        rows[4] = first + np.int64((ux ^ y0 ^ z1) & mask)
        rows[5] = first + np.int64((x1 ^ y0 ^ z1) & mask)
        rows[6] = first + np.int64((ux ^ y1 ^ z1) & mask)
        rows[7] = first + np.int64((x1 ^ y1 ^ z1) & mask)
    else:
        dy = resolution[0] + 1
        dz = dy * (resolution[1] + 1)
        base = first + x + dy * y + dz * z
        rows[0] = base
        rows[1] = base + 1
        rows[2] = base + dy
        rows[3] = base + dy + 1
        rows[4] = base + dz
        rows[5] = base + dz + 1
        rows[6] = base + dz + dy
        rows[7] = base + dz + dy + 1


@numba.njit(parallel=True, fastmath=True, cache=True)
def encode(points, table, resolutions, offsets, hashed, out):  # type: ignore[no-untyped-def]
    count, levels = points.shape[0], resolutions.shape[0]
    for block in numba.prange((count + BLOCK - 1) // BLOCK):
        rows = np.empty(8, np.int64)
        for level in range(levels):
            res = resolutions[level]
            first = offsets[level]
            mask = np.uint32(offsets[level + 1] - first - 1)
            for i in range(block * BLOCK, min(count, (block + 1) * BLOCK)):
                x, fx = _split(points[i, 0], res[0])
                y, fy = _split(points[i, 1], res[1])
                z, fz = _split(points[i, 2], res[2])
                _rows(x, y, z, res, hashed[level], mask, first, rows)
                gx, gy, gz = np.float32(1) - fx, np.float32(1) - fy, np.float32(1) - fz
                w00, w10, w01, w11 = gy * gz, fy * gz, gy * fz, fy * fz
                for f in range(2):
                    out[i, 2 * level + f] = (
                        w00 * (gx * table[rows[0], f] + fx * table[rows[1], f])
                        + w10 * (gx * table[rows[2], f] + fx * table[rows[3], f])
                        + w01 * (gx * table[rows[4], f] + fx * table[rows[5], f])
                        + w11 * (gx * table[rows[6], f] + fx * table[rows[7], f])
                    )


@numba.njit(parallel=True, fastmath=True, cache=True)
def scatter_table_gradient(points, gradient, resolutions, offsets, hashed, order, out):  # type: ignore[no-untyped-def]
    """Write d loss / d table to ``out``; ``order`` spreads dear and cheap levels over threads."""
    count, levels = points.shape[0], resolutions.shape[0]
    for slot in numba.prange(levels):
        level = order[slot]
        rows = np.empty(8, np.int64)
        res = resolutions[level]
        first = offsets[level]
        mask = np.uint32(offsets[level + 1] - first - 1)
        out[first : offsets[level + 1]] = 0
        for i in range(count):
            g0, g1 = gradient[i, 2 * level], gradient[i, 2 * level + 1]
            if g0 == 0 and g1 == 0:
                continue
            x, fx = _split(points[i, 0], res[0])
            y, fy = _split(points[i, 1], res[1])
            z, fz = _split(points[i, 2], res[2])
            _rows(x, y, z, res, hashed[level], mask, first, rows)
            gx, gy, gz = np.float32(1) - fx, np.float32(1) - fy, np.float32(1) - fz
            w00, w10, w01, w11 = gy * gz, fy * gz, gy * fz, fy * fz
            out[rows[0], 0] += w00 * gx * g0
            out[rows[0], 1] += w00 * gx * g1
            out[rows[1], 0] += w00 * fx * g0
            out[rows[1], 1] += w00 * fx * g1
            out[rows[2], 0] += w10 * gx * g0
            out[rows[2], 1] += w10 * gx * g1
            out[rows[3], 0] += w10 * fx * g0
            out[rows[3], 1] += w10 * fx * g1
            out[rows[4], 0] += w01 * gx * g0
            out[rows[4], 1] += w01 * gx * g1
            out[rows[5], 0] += w01 * fx * g0
            out[rows[5], 1] += w01 * fx * g1
            out[rows[6], 0] += w11 * gx * g0
            out[rows[6], 1] += w11 * gx * g1
            out[rows[7], 0] += w11 * fx * g0
            out[rows[7], 1] += w11 * fx * g1


@numba.njit(parallel=True, fastmath=True, cache=True)
def point_gradient(points, table, gradient, resolutions, offsets, hashed, out):  # type: ignore[no-untyped-def]
    """d loss / d points, zero where a coordinate was clamped."""
    count, levels = points.shape[0], resolutions.shape[0]
    for block in numba.prange((count + BLOCK - 1) // BLOCK):
        rows = np.empty(8, np.int64)
        v = np.empty(8, np.float32)
        for level in range(levels):
            res = resolutions[level]
            first = offsets[level]
            mask = np.uint32(offsets[level + 1] - first - 1)
            for i in range(block * BLOCK, min(count, (block + 1) * BLOCK)):
                x, fx = _split(points[i, 0], res[0])
                y, fy = _split(points[i, 1], res[1])
                z, fz = _split(points[i, 2], res[2])
                _rows(x, y, z, res, hashed[level], mask, first, rows)
                g0, g1 = gradient[i, 2 * level], gradient[i, 2 * level + 1]
                for corner in range(8):
                    v[corner] = g0 * table[rows[corner], 0] + g1 * table[rows[corner], 1]
                gx, gy, gz = np.float32(1) - fx, np.float32(1) - fy, np.float32(1) - fz
                out[i, 0] += np.float32(res[0]) * (
                    gy * gz * (v[1] - v[0])
                    + fy * gz * (v[3] - v[2])
                    + gy * fz * (v[5] - v[4])
                    + fy * fz * (v[7] - v[6])
                )
                out[i, 1] += np.float32(res[1]) * (
                    gx * gz * (v[2] - v[0])
                    + fx * gz * (v[3] - v[1])
                    + gx * fz * (v[6] - v[4])
                    + fx * fz * (v[7] - v[5])
                )
                out[i, 2] += np.float32(res[2]) * (
                    gx * gy * (v[4] - v[0])
                    + fx * gy * (v[5] - v[1])
                    + gx * fy * (v[6] - v[2])
                    + fx * fy * (v[7] - v[3])
                )
        for i in range(block * BLOCK, min(count, (block + 1) * BLOCK)):
            for axis in range(3):
                if points[i, axis] < 0 or points[i, axis] > 1:
                    out[i, axis] = 0
