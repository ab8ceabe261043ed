"""Ray marching through the occupancy grid as numba kernels: count, then fill packed samples."""

from __future__ import annotations

import numba
import numpy as np

from sharpfield.jit import cached_njit

_BLOCK = 64
"""Steps whose cells are found at once, in a loop that the compiler vectorises."""

_ZERO = np.float32(0)


@numba.njit(inline="always")
def _cell(value, size):  # type: ignore[no-untyped-def]
    scaled, last = value * np.float32(size), np.float32(size - 1)
    scaled = scaled if scaled > _ZERO else _ZERO
    return np.int32(scaled if scaled < last else last)


@numba.njit(fastmath={"arcp", "contract"})
def _cells(origin, direction, offset, first, steps, shape, out):  # type: ignore[no-untyped-def]
    """The cells of the steps from ``first`` on, as places in the flat grid.

    No faster mathematics than this: what is no number must land in some cell as well.
    """
    x, y, z = origin[0], origin[1], origin[2]
    dx, dy, dz = direction[0], direction[1], direction[2]
    sx, sy, sz = shape
    for i in range(out.shape[0]):
        t = (np.float32(first + i) + offset) / np.float32(steps)
        row = _cell(x + t * dx, sx) * np.int32(sy) + _cell(y + t * dy, sy)
        out[i] = row * np.int32(sz) + _cell(z + t * dz, sz)


@numba.njit(fastmath=True)
def _walk(origin, direction, offset, step, flat, shape, thin, opaque, most, cells, slots):  # type: ignore[no-untyped-def]
    """Write the indices of the kept steps of one ray to ``slots``; return how many."""
    steps = slots.shape[0]
    kept = 0
    optical_depth = np.float32(0.0)
    for first in range(0, steps, _BLOCK):
        count = min(_BLOCK, steps - first)
        _cells(origin, direction, offset, first, steps, shape, cells[:count])
        for i in range(count):
            optical = flat[cells[i]] * step
            if optical > thin or first + i == steps - 1:
                slots[kept] = first + i
                kept += 1
                optical_depth += min(optical, most)
                if optical_depth > opaque:
                    return kept
    return kept


@cached_njit(parallel=True, fastmath=True)
def walk(origins, directions, offsets, step, density, thin, opaque, most, slots, counts):  # type: ignore[no-untyped-def]
    flat = density.ravel()
    for ray in numba.prange(origins.shape[0]):
        cells = np.empty(_BLOCK, np.int32)
        counts[ray] = _walk(
            origins[ray], directions[ray], offsets[ray], step[ray], flat, density.shape,
            thin, opaque, np.float32(most), cells, slots[ray],
        )  # fmt: skip


@cached_njit(parallel=True, fastmath=True)
def pack(slots, offsets, starts, t, ray):  # type: ignore[no-untyped-def]
    steps = np.float32(slots.shape[1])
    for r in numba.prange(slots.shape[0]):
        first = starts[r]
        for i in range(starts[r + 1] - first):
            t[first + i] = (np.float32(slots[r, i]) + offsets[r]) / steps
            ray[first + i] = r


@cached_njit(parallel=True, fastmath=True)
def points(origins, directions, t, starts, out):  # type: ignore[no-untyped-def]
    """Axis by axis in memory, as ``hash_cpu`` wants them."""
    for r in numba.prange(starts.shape[0] - 1):
        for axis in range(3):
            origin, direction = origins[r, axis], directions[r, axis]
            for i in range(starts[r], starts[r + 1]):
                out[axis, i] = origin + t[i] * direction


@cached_njit(parallel=True, fastmath=True)
def points_gradient(gradient, t, starts, origin_gradient, direction_gradient):  # type: ignore[no-untyped-def]
    for r in numba.prange(starts.shape[0] - 1):
        for axis in range(3):
            o = np.float32(0.0)
            d = np.float32(0.0)
            for i in range(starts[r], starts[r + 1]):
                o += gradient[axis, i]
                d += t[i] * gradient[axis, i]
            origin_gradient[r, axis] = o
            direction_gradient[r, axis] = d
