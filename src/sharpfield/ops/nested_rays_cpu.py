"""Kernel rays of pixels by their sizes as numba kernels: few pixels, one after the other."""

from __future__ import annotations

import math

import numba
import numpy as np

from sharpfield.jit import cached_njit


@numba.njit(inline="always")
def _between(place, pixels, cells):  # type: ignore[no-untyped-def]
    """The cell before an image coordinate, and how far from it to the next; edges repeat."""
    at = min(max(place / pixels * cells - 0.5, 0.0), cells - 1.0)
    first = min(int(at), cells - 2)
    return first, at - first


@numba.njit(inline="always")
def _bilinear(grid, x, y, width, height):  # type: ignore[no-untyped-def]
    row, fy = _between(y, height, grid.shape[0])
    column, fx = _between(x, width, grid.shape[1])
    top = grid[row, column] + fx * (grid[row, column + 1] - grid[row, column])
    bottom = grid[row + 1, column] + fx * (grid[row + 1, column + 1] - grid[row + 1, column])
    return top + fy * (bottom - top)


@numba.njit(inline="always")
def _gate(height, temperature):  # type: ignore[no-untyped-def]
    if temperature > 0.0:
        return 1.0 / (1.0 + math.exp(-height / temperature))
    return 1.0 if height > 0.0 else 0.0


@cached_njit()
def nested_rays(  # type: ignore[no-untyped-def]
    width, height, offset, slope, temperature, threshold, renormalise,
    maps, view, xy, most, sized, poses,
    of_size, totals, pixel, motion, ray_poses, weights,
):  # fmt: skip
    """Fill the rays, pixel after pixel, and return their number.

    ``of_size`` (pixels, sizes) takes the share of each size in the pixel's weights, ``totals``
    what its weights were divided by.
    """
    sizes, motions = sized.shape[1:]
    gates = np.zeros(sizes + 1)
    gates[0] = 1.0
    rays = 0
    for p in range(view.shape[0]):
        v = view[p]
        size = offset + slope * _bilinear(maps[v], xy[p, 0], xy[p, 1], width, height)
        smallest, largest = sizes, 0
        for k in range(1, sizes):
            gates[k] = _gate(size - k - 0.5, temperature) if k < most[v] else 0.0
        for k in range(sizes):
            of_size[p, k] = gates[k] - gates[k + 1]
            if of_size[p, k] != 0.0:
                smallest, largest = min(smallest, k), k
        first, total = rays, 0.0
        for m in range(motions):
            gate, weight = 0.0, 0.0
            for k in range(smallest, largest + 1):
                if sized[v, k, m] > 0.0:
                    gate += of_size[p, k]
                    weight += of_size[p, k] * sized[v, k, m]
            if gate > threshold:
                pixel[rays], motion[rays], weights[rays] = p, m, weight
                for row in range(3):
                    for column in range(4):
                        ray_poses[rays, row, column] = poses[v, m, row, column]
                total += weight
                rays += 1
        totals[p] = total if renormalise else 1.0
        for r in range(first, rays):
            weights[r] /= totals[p]
    return rays


@cached_njit()
def nested_rays_gradient(  # type: ignore[no-untyped-def]
    renormalise, view, pixel, motion, weights, of_size, totals,
    d_poses, d_weights, sized_gradient, poses_gradient,
):  # fmt: skip
    """Add the gradients of the weights of every size and of the poses."""
    sizes = of_size.shape[1]
    first = 0
    while first < pixel.shape[0]:
        p = pixel[first]
        v = view[p]
        end = first
        shared = 0.0
        while end < pixel.shape[0] and pixel[end] == p:
            shared += d_weights[end] * weights[end]
            end += 1
        if not renormalise:
            shared = 0.0
        for r in range(first, end):
            m = motion[r]
            upstream = (d_weights[r] - shared) / totals[p]
            for k in range(sizes):
                sized_gradient[v, k, m] += of_size[p, k] * upstream
            for row in range(3):
                for column in range(4):
                    poses_gradient[v, m, row, column] += d_poses[r, row, column]
        first = end


@cached_njit()
def mean_sizes(offset, slope, stride, maps, most, means):  # type: ignore[no-untyped-def]
    views, rows, columns = maps.shape
    for v in range(views):
        total, cells = 0.0, 0
        for row in range(0, rows, stride):
            for column in range(0, columns, stride):
                total += min(max(offset + slope * maps[v, row, column], 1.0), most[v])
                cells += 1
        means[v] = total / cells
