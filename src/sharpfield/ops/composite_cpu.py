"""Compositing of packed samples as numba kernels; ``colour`` is (3, samples)."""

from __future__ import annotations

import numba
import numpy as np


@numba.njit(parallel=True, fastmath=True, cache=True)
def composite(  # type: ignore[no-untyped-def]
    density, colour, t, starts, step, out_colour, out_depth, out_distortion, weights
):
    for r in numba.prange(starts.shape[0] - 1):
        transmittance = np.float32(1.0)
        opacity = depth = distortion = np.float32(0.0)
        c0 = c1 = c2 = np.float32(0.0)
        last = starts[r + 1] - 1
        for i in range(starts[r], last + 1):
            through = np.float32(0.0) if i == last else np.exp(-density[i] * step[r])
            w = transmittance * (np.float32(1.0) - through)
            weights[i] = w
            c0 += w * colour[0, i]
            c1 += w * colour[1, i]
            c2 += w * colour[2, i]
            distortion += np.float32(2.0) * w * (t[i] * opacity - depth)
            depth += w * t[i]
            opacity += w
            transmittance *= through
        out_colour[r, 0], out_colour[r, 1], out_colour[r, 2] = c0, c1, c2
        out_depth[r] = depth
        out_distortion[r] = distortion


@numba.njit(inline="always")
def _worth(colour, i, g0, g1, g2, t, opacity, depth, whole_depth, g3):  # type: ignore[no-untyped-def]
    """d loss / d weight of sample ``i``; ``opacity`` and ``depth`` are those in front of it."""
    shade = g0 * colour[0, i] + g1 * colour[1, i] + g2 * colour[2, i]
    apart = t[i] * (np.float32(2.0) * opacity - np.float32(1.0)) + whole_depth
    return shade + np.float32(2.0) * g3 * (apart - np.float32(2.0) * depth)


@numba.njit(parallel=True, fastmath=True, cache=True)
def composite_gradient(  # type: ignore[no-untyped-def]
    density, colour, t, starts, step, depths, weights, upstream, upstream_distortion,
    density_gradient, colour_gradient,
):  # fmt: skip
    for r in numba.prange(starts.shape[0] - 1):
        g0, g1, g2 = upstream[r, 0], upstream[r, 1], upstream[r, 2]
        g3, whole = upstream_distortion[r], depths[r]
        first, last = starts[r], starts[r + 1] - 1
        behind = opacity = depth = np.float32(0.0)
        for i in range(first, last + 1):
            w = weights[i]
            behind += w * _worth(colour, i, g0, g1, g2, t, opacity, depth, whole, g3)
            colour_gradient[0, i] = w * g0
            colour_gradient[1, i] = w * g1
            colour_gradient[2, i] = w * g2
            depth += w * t[i]
            opacity += w
        transmittance = np.float32(1.0)
        opacity = depth = np.float32(0.0)
        for i in range(first, last):
            w = weights[i]
            worth = _worth(colour, i, g0, g1, g2, t, opacity, depth, whole, g3)
            behind -= w * worth
            transmittance *= np.exp(-density[i] * step[r])
            density_gradient[i] = step[r] * (transmittance * worth - behind)
            depth += w * t[i]
            opacity += w
        density_gradient[last] = 0.0
