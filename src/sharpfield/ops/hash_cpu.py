"""Hash-grid encoding as numba kernels.

Each thread takes its share of the points through one level after the other, so that the rows of a
level stay in its cache meanwhile. Encoded points lie feature by feature in memory, as
``radiance_cpu`` wants them.

The table gradient is free of races and bit-identical from run to run: one thread owns a level.
"""

from __future__ import annotations

import numba
import numpy as np

from sharpfield.ops.hash_spec import PRIMES

_LINE = 8
"""Table rows in a cache line."""

_P1 = np.uint32(PRIMES[1])
_P2 = np.uint32(PRIMES[2])


@numba.njit(inline="always")
def _split(value, resolution):  # type: ignore[no-untyped-def]
    scaled = min(max(value, np.float32(0.0)), np.float32(1.0)) * np.float32(resolution)
    cell = min(np.int32(scaled), np.int32(resolution - 1))
    return cell, scaled - np.float32(cell)


@numba.njit(inline="always")
def _corners(x, y, z, resolution, hashed, mask, first):  # type: ignore[no-untyped-def]
    """Table rows of the eight corners of a cell, x fastest; unsigned, so that none is negative."""
    if hashed:
        x0, x1 = np.uint32(x), np.uint32(x) + np.uint32(1)
        y0 = np.uint32(y) * _P1
        y1 = y0 + _P1
        z0 = np.uint32(z) * _P2
        z1 = z0 + _P2
        a, b, c, d = y0 ^ z0, y1 ^ z0, y0 ^ z1, y1 ^ z1
        return (
            first + np.uint64((x0 ^ a) & mask),
            first + np.uint64((x1 ^ a) & mask),
            first + np.uint64((x0 ^ b) & mask),
            first + np.uint64((x1 ^ b) & mask),
            first + np.uint64((x0 ^ c) & mask),
            first + np.uint64((x1 ^ c) & mask),
            first + np.uint64((x0 ^ d) & mask),
            first + np.uint64((x1 ^ d) & mask),
        )
    one = np.uint64(1)
    dy = np.uint64(resolution[0]) + one
    dz = dy * (np.uint64(resolution[1]) + one)
    base = first + np.uint64(x) + dy * np.uint64(y) + dz * np.uint64(z)
    return (
        base,
        base + one,
        base + dy,
        base + dy + one,
        base + dz,
        base + dz + one,
        base + dz + dy,
        base + dz + dy + one,
    )


@numba.njit(fastmath=True)
def _fetch(table, first, end):  # type: ignore[no-untyped-def]
    """Read rows in order, before they are looked up at random: a sum, or it would be left out.

    Adam has just touched four times as much memory as the table takes, which is then far away.
    """
    total = np.float32(0)
    for row in range(first, end, _LINE):
        total += table[row, 0]
    return total


@numba.njit(parallel=True, fastmath=True, cache=True)
def encode(points, table, resolutions, offsets, hashed, threads, out):  # type: ignore[no-untyped-def]
    count, levels = points.shape[0], resolutions.shape[0]
    fetched = np.zeros(threads, np.float32)
    for thread in numba.prange(threads):
        for level in range(levels):
            res = resolutions[level]
            first = np.uint64(offsets[level])
            mask = np.uint32(offsets[level + 1] - offsets[level] - 1)
            fetched[thread] += _fetch(table, offsets[level], offsets[level + 1])
            for i in range(thread * count // threads, (thread + 1) * count // threads):
                x, fx = _split(points[i, 0], res[0])
                y, fy = _split(points[i, 1], res[1])
                z, fz = _split(points[i, 2], res[2])
                r0, r1, r2, r3, r4, r5, r6, r7 = _corners(x, y, z, res, hashed[level], mask, first)
                gx, gy, gz = np.float32(1) - fx, np.float32(1) - fy, np.float32(1) - fz
                w00, w10, w01, w11 = gy * gz, fy * gz, gy * fz, fy * fz
                for f in range(2):
                    out[2 * level + f, i] = (
                        w00 * (gx * table[r0, f] + fx * table[r1, f])
                        + w10 * (gx * table[r2, f] + fx * table[r3, f])
                        + w01 * (gx * table[r4, f] + fx * table[r5, f])
                        + w11 * (gx * table[r6, f] + fx * table[r7, f])
                    )


@numba.njit(parallel=True, fastmath=True, cache=True)
def scatter_table_gradient(points, gradient, resolutions, offsets, hashed, order, out):  # type: ignore[no-untyped-def]
    """Write d loss / d table to ``out``; ``order`` spreads dear and cheap levels over threads."""
    count, levels = points.shape[0], resolutions.shape[0]
    for slot in numba.prange(levels):
        level = order[slot]
        res = resolutions[level]
        first = np.uint64(offsets[level])
        mask = np.uint32(offsets[level + 1] - offsets[level] - 1)
        out[offsets[level] : offsets[level + 1]] = 0
        for i in range(count):
            g0, g1 = gradient[2 * level, i], gradient[2 * level + 1, i]
            if g0 == 0 and g1 == 0:
                continue
            x, fx = _split(points[i, 0], res[0])
            y, fy = _split(points[i, 1], res[1])
            z, fz = _split(points[i, 2], res[2])
            r0, r1, r2, r3, r4, r5, r6, r7 = _corners(x, y, z, res, hashed[level], mask, first)
            gx, gy, gz = np.float32(1) - fx, np.float32(1) - fy, np.float32(1) - fz
            w00, w10, w01, w11 = gy * gz, fy * gz, gy * fz, fy * fz
            out[r0, 0] += w00 * gx * g0
            out[r0, 1] += w00 * gx * g1
            out[r1, 0] += w00 * fx * g0
            out[r1, 1] += w00 * fx * g1
            out[r2, 0] += w10 * gx * g0
            out[r2, 1] += w10 * gx * g1
            out[r3, 0] += w10 * fx * g0
            out[r3, 1] += w10 * fx * g1
            out[r4, 0] += w01 * gx * g0
            out[r4, 1] += w01 * gx * g1
            out[r5, 0] += w01 * fx * g0
            out[r5, 1] += w01 * fx * g1
            out[r6, 0] += w11 * gx * g0
            out[r6, 1] += w11 * gx * g1
            out[r7, 0] += w11 * fx * g0
            out[r7, 1] += w11 * fx * g1


@numba.njit(parallel=True, fastmath=True, cache=True)
def point_gradient(points, table, gradient, resolutions, offsets, hashed, threads, out):  # type: ignore[no-untyped-def]
    """d loss / d points, zero where a coordinate was clamped."""
    count, levels = points.shape[0], resolutions.shape[0]
    fetched = np.zeros(threads, np.float32)
    for thread in numba.prange(threads):
        for level in range(levels):
            res = resolutions[level]
            first = np.uint64(offsets[level])
            mask = np.uint32(offsets[level + 1] - offsets[level] - 1)
            fetched[thread] += _fetch(table, offsets[level], offsets[level + 1])
            for i in range(thread * count // threads, (thread + 1) * count // threads):
                x, fx = _split(points[i, 0], res[0])
                y, fy = _split(points[i, 1], res[1])
                z, fz = _split(points[i, 2], res[2])
                r0, r1, r2, r3, r4, r5, r6, r7 = _corners(x, y, z, res, hashed[level], mask, first)
                g0, g1 = gradient[2 * level, i], gradient[2 * level + 1, i]
                v0 = g0 * table[r0, 0] + g1 * table[r0, 1]
                v1 = g0 * table[r1, 0] + g1 * table[r1, 1]
                v2 = g0 * table[r2, 0] + g1 * table[r2, 1]
                v3 = g0 * table[r3, 0] + g1 * table[r3, 1]
                v4 = g0 * table[r4, 0] + g1 * table[r4, 1]
                v5 = g0 * table[r5, 0] + g1 * table[r5, 1]
                v6 = g0 * table[r6, 0] + g1 * table[r6, 1]
                v7 = g0 * table[r7, 0] + g1 * table[r7, 1]
                gx, gy, gz = np.float32(1) - fx, np.float32(1) - fy, np.float32(1) - fz
                out[i, 0] += np.float32(res[0]) * (
                    gy * gz * (v1 - v0)
                    + fy * gz * (v3 - v2)
                    + gy * fz * (v5 - v4)
                    + fy * fz * (v7 - v6)
                )
                out[i, 1] += np.float32(res[1]) * (
                    gx * gz * (v2 - v0)
                    + fx * gz * (v3 - v1)
                    + gx * fz * (v6 - v4)
                    + fx * fz * (v7 - v5)
                )
                out[i, 2] += np.float32(res[2]) * (
                    gx * gy * (v4 - v0)
                    + fx * gy * (v5 - v1)
                    + gx * fy * (v6 - v2)
                    + fx * fy * (v7 - v3)
                )
        for i in range(thread * count // threads, (thread + 1) * count // threads):
            for axis in range(3):
                if points[i, axis] < 0 or points[i, axis] > 1:
                    out[i, axis] = 0
