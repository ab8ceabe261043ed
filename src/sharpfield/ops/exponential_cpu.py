"""The exponential map of SE(3) and its gradient as numba kernels, in double precision inside."""

from __future__ import annotations

import math

import numba

from sharpfield.jit import cached_njit

SMALL = 1e-4
"""Squared angle below which the factors come from their Taylor series."""


@numba.njit(inline="always")
def _factors(squared):  # type: ignore[no-untyped-def]
    """``sin x / x``, ``(1 - cos x) / x^2`` and ``(x - sin x) / x^3``, by ``x^2``."""
    if squared < SMALL:
        return (
            1.0 - squared / 6.0 + squared**2 / 120.0,
            0.5 - squared / 24.0 + squared**2 / 720.0,
            1.0 / 6.0 - squared / 120.0 + squared**2 / 5040.0,
        )
    angle = math.sqrt(squared)
    a = math.sin(angle) / angle
    return a, (1.0 - math.cos(angle)) / squared, (1.0 - a) / squared


@numba.njit(inline="always")
def _slopes(squared, a, b, c):  # type: ignore[no-untyped-def]
    """Derivatives of the factors with respect to the squared angle."""
    da = 0.5 * (c - b)
    if squared < SMALL:
        return da, -1.0 / 24.0 + squared / 360.0, -1.0 / 120.0 + squared / 2520.0
    return da, 0.5 * (a - 2.0 * b) / squared, 0.5 * (b - 3.0 * c) / squared


@numba.njit(inline="always")
def _cross(a, b):  # type: ignore[no-untyped-def]
    return (
        a[1] * b[2] - a[2] * b[1],
        a[2] * b[0] - a[0] * b[2],
        a[0] * b[1] - a[1] * b[0],
    )


@numba.njit(inline="always")
def _dot(a, b):  # type: ignore[no-untyped-def]
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


@numba.njit(inline="always")
def _vector(row, start):  # type: ignore[no-untyped-def]
    return (numba.float64(row[start]), numba.float64(row[start + 1]), numba.float64(row[start + 2]))


@cached_njit()
def exponential(twists, motions):  # type: ignore[no-untyped-def]
    for n in range(twists.shape[0]):
        w, v = _vector(twists[n], 0), _vector(twists[n], 3)
        squared = _dot(w, w)
        a, b, c = _factors(squared)
        turned = _cross(w, v)
        twice = _cross(w, turned)
        out = motions[n]
        for i in range(3):
            for j in range(3):
                out[i, j] = b * w[i] * w[j]
            out[i, i] += 1.0 - b * squared
            out[i, 3] = v[i] + b * turned[i] + c * twice[i]
        out[0, 1] -= a * w[2]
        out[0, 2] += a * w[1]
        out[1, 0] += a * w[2]
        out[1, 2] -= a * w[0]
        out[2, 0] -= a * w[1]
        out[2, 1] += a * w[0]


@cached_njit()
def exponential_gradient(twists, upstream, gradient):  # type: ignore[no-untyped-def]
    """Products of ``upstream`` with the rotation ``I + a W + b W^2``, ``W^2 = w w' - x^2 I``, and
    the translation ``v + b w x v + c w x (w x v)``, differentiated term by term."""
    for n in range(twists.shape[0]):
        w, v = _vector(twists[n], 0), _vector(twists[n], 3)
        squared = _dot(w, w)
        a, b, c = _factors(squared)
        g = upstream[n]
        moved = (numba.float64(g[0, 3]), numba.float64(g[1, 3]), numba.float64(g[2, 3]))
        axial = (
            numba.float64(g[2, 1]) - g[1, 2],
            numba.float64(g[0, 2]) - g[2, 0],
            numba.float64(g[1, 0]) - g[0, 1],
        )
        trace = numba.float64(g[0, 0]) + g[1, 1] + g[2, 2]
        both = (
            2.0 * g[0, 0] * w[0] + (g[0, 1] + g[1, 0]) * w[1] + (g[0, 2] + g[2, 0]) * w[2],
            (g[1, 0] + g[0, 1]) * w[0] + 2.0 * g[1, 1] * w[1] + (g[1, 2] + g[2, 1]) * w[2],
            (g[2, 0] + g[0, 2]) * w[0] + (g[2, 1] + g[1, 2]) * w[1] + 2.0 * g[2, 2] * w[2],
        )
        turned = _cross(w, v)
        twice = _cross(w, turned)
        by_a = _dot(axial, w)
        by_b = 0.5 * _dot(both, w) - squared * trace + _dot(moved, turned)
        by_c = _dot(moved, twice)
        da, db, dc = _slopes(squared, a, b, c)
        by_squared = by_a * da + by_b * db + by_c * dc
        along_w, along_v, wv = _dot(moved, w), _dot(moved, v), _dot(w, v)
        across, back = _cross(v, moved), _cross(moved, w)
        for i in range(3):
            gradient[n, i] = (
                2.0 * by_squared * w[i]
                + a * axial[i]
                + b * (both[i] - 2.0 * trace * w[i] + across[i])
                + c * (moved[i] * wv + v[i] * along_w - 2.0 * w[i] * along_v)
            )
            gradient[n, 3 + i] = moved[i] + b * back[i] + c * (w[i] * along_w - squared * moved[i])
