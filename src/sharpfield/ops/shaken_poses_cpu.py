"""Poses of cameras that shake behind a lens, and their gradients, as numba kernels."""

from __future__ import annotations

import numba
import numpy as np

from sharpfield.jit import cached_njit
from sharpfield.ops.exponential_cpu import exponential, exponential_gradient


@numba.njit(inline="always")
def _lens_point(points, radius, disparity, m):  # type: ignore[no-untyped-def]
    """Shift in x and y, and the shear that takes it back at the depth in focus."""
    p, q = radius * points[m, 0], radius * points[m, 1]
    return p, q, p * disparity, q * disparity


@numba.njit(inline="always")
def _through_lens(motion, p, q, a, b, out):  # type: ignore[no-untyped-def]
    """``motion`` followed, in its own frame, by a shift (p, q) and a shear (a, b)."""
    for i in range(3):
        x, y = motion[i, 0], motion[i, 1]
        out[i, 0], out[i, 1] = x, y
        out[i, 2] = a * x + b * y + motion[i, 2]
        out[i, 3] = p * x + q * y + motion[i, 3]


@numba.njit(inline="always")
def _compose(outer, inner, out):  # type: ignore[no-untyped-def]
    for i in range(3):
        for j in range(4):
            out[i, j] = (
                outer[i, 0] * inner[0, j] + outer[i, 1] * inner[1, j] + outer[i, 2] * inner[2, j]
            )
        out[i, 3] += outer[i, 3]


@numba.njit(inline="always")
def _turn_back(outer, upstream, out):  # type: ignore[no-untyped-def]
    """Write the gradient of ``inner`` in ``_compose``."""
    for i in range(3):
        for j in range(4):
            out[i, j] = (
                outer[0, i] * upstream[0, j]
                + outer[1, i] * upstream[1, j]
                + outer[2, i] * upstream[2, j]
            )


@cached_njit()
def shaken_poses(given, corrections, twists, points, radius, disparity, poses):  # type: ignore[no-untyped-def]
    views, motions = twists.shape[:2]
    corrected = np.empty((views, 3, 4), np.float32)
    moved = np.empty((motions, 3, 4), np.float32)
    seen = np.empty((3, 4), np.float32)
    exponential(corrections, corrected)
    for v in range(views):
        exponential(twists[v], moved)
        centre = poses[v, 0]
        _compose(given[v], corrected[v], centre)
        for m in range(motions):
            p, q, a, b = _lens_point(points, radius[v], disparity[v], m)
            _through_lens(moved[m], p, q, a, b, seen)
            _compose(centre, seen, poses[v, m + 1])


@cached_njit()
def shaken_poses_gradient(  # type: ignore[no-untyped-def]
    given, corrections, twists, points, radius, disparity, poses, upstream,
    d_corrections, d_twists, d_radius, d_disparity,
):  # fmt: skip
    views, motions = twists.shape[:2]
    d_corrected = np.empty((views, 3, 4), np.float32)
    moved = np.empty((motions, 3, 4), np.float32)
    d_moved = np.empty((motions, 3, 4), np.float32)
    seen = np.empty((3, 4), np.float32)
    d_seen = np.empty((3, 4), np.float32)
    d_centre = np.empty((3, 4), np.float32)
    for v in range(views):
        exponential(twists[v], moved)
        centre = poses[v, 0]
        d_centre[:] = upstream[v, 0]
        for m in range(motions):
            p, q, a, b = _lens_point(points, radius[v], disparity[v], m)
            _through_lens(moved[m], p, q, a, b, seen)
            g = upstream[v, m + 1]
            for i in range(3):
                for j in range(3):
                    d_centre[i, j] += (
                        g[i, 0] * seen[j, 0]
                        + g[i, 1] * seen[j, 1]
                        + g[i, 2] * seen[j, 2]
                        + g[i, 3] * seen[j, 3]
                    )
                d_centre[i, 3] += g[i, 3]
            _turn_back(centre, g, d_seen)
            d_p, d_q, d_a, d_b = _lens_gradient(moved[m], d_seen, p, q, a, b, d_moved[m])
            d_p += disparity[v] * d_a
            d_q += disparity[v] * d_b
            d_radius[v] += points[m, 0] * d_p + points[m, 1] * d_q
            d_disparity[v] += p * d_a + q * d_b
        exponential_gradient(twists[v], d_moved, d_twists[v])
        _turn_back(given[v], d_centre, d_corrected[v])
    exponential_gradient(corrections, d_corrected, d_corrections)


@numba.njit(inline="always")
def _lens_gradient(motion, d_seen, p, q, a, b, d_motion):  # type: ignore[no-untyped-def]
    """Write the gradient of the motion; return those of the shift and the shear."""
    d_p = d_q = d_a = d_b = np.float32(0)
    for i in range(3):
        d_a += motion[i, 0] * d_seen[i, 2]
        d_b += motion[i, 1] * d_seen[i, 2]
        d_p += motion[i, 0] * d_seen[i, 3]
        d_q += motion[i, 1] * d_seen[i, 3]
        d_motion[i, 0] = d_seen[i, 0] + a * d_seen[i, 2] + p * d_seen[i, 3]
        d_motion[i, 1] = d_seen[i, 1] + b * d_seen[i, 2] + q * d_seen[i, 3]
        d_motion[i, 2] = d_seen[i, 2]
        d_motion[i, 3] = d_seen[i, 3]
    return d_p, d_q, d_a, d_b
