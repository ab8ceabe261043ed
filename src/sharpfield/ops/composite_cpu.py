"""Compositing of packed samples as numba kernels."""

from __future__ import annotations

import numba
import numpy as np


@numba.njit(parallel=True, fastmath=True, cache=True)
def composite(density, colour, t, starts, step, out_colour, out_depth, weights):  # type: ignore[no-untyped-def]
    for r in numba.prange(starts.shape[0] - 1):
        transmittance = np.float32(1.0)
        depth = np.float32(0.0)
        c0 = c1 = c2 = np.float32(0.0)
        last = starts[r + 1] - 1
        for i in range(starts[r], last + 1):
            through = np.float32(0.0) if i == last else np.exp(-density[i] * step[r])
            w = transmittance * (np.float32(1.0) - through)
            weights[i] = w
            c0 += w * colour[i, 0]
            c1 += w * colour[i, 1]
            c2 += w * colour[i, 2]
            depth += w * t[i]
            transmittance *= through
        out_colour[r, 0], out_colour[r, 1], out_colour[r, 2] = c0, c1, c2
        out_depth[r] = depth


@numba.njit(parallel=True, fastmath=True, cache=True)
def composite_gradient(  # type: ignore[no-untyped-def]
    density, colour, starts, step, weights, upstream, density_gradient, colour_gradient
):
    for r in numba.prange(starts.shape[0] - 1):
        g0, g1, g2 = upstream[r, 0], upstream[r, 1], upstream[r, 2]
        first, last = starts[r], starts[r + 1] - 1
        behind = np.float32(0.0)
        for i in range(first, last + 1):
            w = weights[i]
            behind += w * (g0 * colour[i, 0] + g1 * colour[i, 1] + g2 * colour[i, 2])
            colour_gradient[i, 0], colour_gradient[i, 1], colour_gradient[i, 2] = (
                w * g0,
                w * g1,
                w * g2,
            )
        transmittance = np.float32(1.0)
        for i in range(first, last):
            shade = g0 * colour[i, 0] + g1 * colour[i, 1] + g2 * colour[i, 2]
            behind -= weights[i] * shade
            transmittance *= np.exp(-density[i] * step[r])
            density_gradient[i] = step[r] * (transmittance * shade - behind)
        density_gradient[last] = 0.0
