"""Ray marching through the occupancy grid as numba kernels: count, then fill packed samples."""

from __future__ import annotations

import numba
import numpy as np


@numba.njit(inline="always")
def _cell(value, size):  # type: ignore[no-untyped-def]
    return min(max(np.int32(value * np.float32(size)), np.int32(0)), np.int32(size - 1))


@numba.njit(fastmath=True, cache=True)
def _walk(origin, direction, offset, step, density, thin, opaque, most, slots):  # type: ignore[no-untyped-def]
    """Write the indices of the kept steps of one ray to ``slots``; return how many."""
    steps = slots.shape[0]
    sx, sy, sz = density.shape
    kept = 0
    optical_depth = np.float32(0.0)
    for i in range(steps):
        t = (np.float32(i) + offset) / np.float32(steps)
        value = density[
            _cell(origin[0] + t * direction[0], sx),
            _cell(origin[1] + t * direction[1], sy),
            _cell(origin[2] + t * direction[2], sz),
        ]
        if value * step > thin or i == steps - 1:
            slots[kept] = i
            kept += 1
            optical_depth += min(value * step, np.float32(most))
            if optical_depth > opaque:
                break
    return kept


@numba.njit(parallel=True, fastmath=True, cache=True)
def walk(origins, directions, offsets, step, density, thin, opaque, most, slots, counts):  # type: ignore[no-untyped-def]
    for ray in numba.prange(origins.shape[0]):
        counts[ray] = _walk(
            origins[ray],
            directions[ray],
            offsets[ray],
            step[ray],
            density,
            thin,
            opaque,
            most,
            slots[ray],
        )


@numba.njit(parallel=True, fastmath=True, cache=True)
def pack(slots, offsets, starts, t, ray):  # type: ignore[no-untyped-def]
    steps = np.float32(slots.shape[1])
    for r in numba.prange(slots.shape[0]):
        first = starts[r]
        for i in range(starts[r + 1] - first):
            t[first + i] = (np.float32(slots[r, i]) + offsets[r]) / steps
            ray[first + i] = r


@numba.njit(parallel=True, fastmath=True, cache=True)
def points(origins, directions, t, ray, out):  # type: ignore[no-untyped-def]
    for i in numba.prange(t.shape[0]):
        r = ray[i]
        for axis in range(3):
            out[i, axis] = origins[r, axis] + t[i] * directions[r, axis]


@numba.njit(parallel=True, fastmath=True, cache=True)
def points_gradient(gradient, t, starts, origin_gradient, direction_gradient):  # type: ignore[no-untyped-def]
    for r in numba.prange(starts.shape[0] - 1):
        for axis in range(3):
            o = np.float32(0.0)
            d = np.float32(0.0)
            for i in range(starts[r], starts[r + 1]):
                o += gradient[i, axis]
                d += t[i] * gradient[i, axis]
            origin_gradient[r, axis] = o
            direction_gradient[r, axis] = d
