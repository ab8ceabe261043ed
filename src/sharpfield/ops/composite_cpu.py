"""Compositing of packed samples as numba kernels; ``colour`` is (3, samples)."""

from __future__ import annotations

import numba
import numpy as np

from sharpfield.jit import cached_njit


@cached_njit(parallel=True, fastmath=True)
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
            c0 += w * colour[0, i]
            c1 += w * colour[1, i]
            c2 += w * colour[2, i]
            depth += w * t[i]
            transmittance *= through
        out_colour[r, 0], out_colour[r, 1], out_colour[r, 2] = c0, c1, c2
        out_depth[r] = depth


@cached_njit(parallel=True, fastmath=True)
def composite_gradient(  # type: ignore[no-untyped-def]
    density, colour, starts, step, weights, upstream, density_gradient, colour_gradient
):
    for r in numba.prange(starts.shape[0] - 1):
        g0, g1, g2 = upstream[r, 0], upstream[r, 1], upstream[r, 2]
        first, last = starts[r], starts[r + 1] - 1
        behind = np.float32(0.0)
        for i in range(first, last + 1):
            w = weights[i]
            behind += w * (g0 * colour[0, i] + g1 * colour[1, i] + g2 * colour[2, i])
            colour_gradient[0, i] = w * g0
            colour_gradient[1, i] = w * g1
            colour_gradient[2, i] = w * g2
        transmittance = np.float32(1.0)
        for i in range(first, last):
            shade = g0 * colour[0, i] + g1 * colour[1, i] + g2 * colour[2, i]
            behind -= weights[i] * shade
            transmittance *= np.exp(-density[i] * step[r])
            density_gradient[i] = step[r] * (transmittance * shade - behind)
        density_gradient[last] = 0.0
