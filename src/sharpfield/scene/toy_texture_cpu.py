"""Procedural albedo of the toy scene: band-limited patterns over a surface, in linear light.

Every pattern is a function of two surface coordinates in scene units and of ``size``, the
length of its finest feature. Nothing is finer than ``size``, so a photo whose pixels are smaller
than ``size / 2.5`` at the surface resolves all of it.
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np

from sharpfield.jit import cached_njit


class Pattern(IntEnum):
    """Which pattern a surface carries. The three colours of a surface are named c0, c1, c2."""

    PLAIN = 0
    """Almost flat c0 with a slow shade."""
    CHECKS = 1
    """Squares of c0 and c1, some of them halved by c2."""
    STRIPES = 2
    """Slanted stripes of c0, c1 and c2."""
    GLYPHS = 3
    """Lines of blocky letters: paper c0, ink c1, some words in c2."""
    CLOUDS = 4
    """Smooth noise of three octaves through c0, c1, c2."""
    WOOD = 5
    """Planks along the first coordinate: c0 with grain towards c1 and gaps of c2."""
    MOSAIC = 6
    """Small tiles, each of its own mix of c0, c1, c2, on dark grout."""
    WALL = 7
    """Bricks (c0, mortar c1) on the left, plain plaster (c2) on the right."""
    TILES = 8
    """Large floor tiles of c0 and c1 with speckles of c2."""


_jit = cached_njit(fastmath=True, error_model="numpy")


@_jit
def _hash(i: int, j: int, seed: int) -> float:
    """A uniform number in [0, 1) for a lattice point."""
    h = (i * 374761393 + j * 668265263 + seed * 2246822519) & 0xFFFFFFFF
    h = ((h ^ (h >> 15)) * 2654435761) & 0xFFFFFFFF
    h = ((h ^ (h >> 13)) * 1274126177) & 0xFFFFFFFF
    return (h ^ (h >> 16)) / 4294967296.0


_LATTICE = np.random.default_rng(0).random((64, 64))
"""Values at the lattice points of the noise, repeated; looking them up is faster than hashing."""


@_jit
def _noise(u: float, v: float, seed: int) -> float:
    """Value noise in [0, 1] on the unit lattice, twice differentiable."""
    i, j = int(np.floor(u)), int(np.floor(v))
    a, b = u - i, v - j
    a = a * a * a * (a * (a * 6.0 - 15.0) + 10.0)
    b = b * b * b * (b * (b * 6.0 - 15.0) + 10.0)
    i, j = i + seed * 29, j + seed * 13
    i0, i1, j0, j1 = i & 63, (i + 1) & 63, j & 63, (j + 1) & 63
    low = _LATTICE[j0, i0] * (1.0 - a) + _LATTICE[j0, i1] * a
    high = _LATTICE[j1, i0] * (1.0 - a) + _LATTICE[j1, i1] * a
    return low * (1.0 - b) + high * b


@_jit
def _octaves(u: float, v: float, size: float, seed: int) -> float:
    """Three octaves of noise in [0, 1], the finest with lattice spacing ``size``."""
    return (
        0.5 * _noise(u / (4.0 * size), v / (4.0 * size), seed)
        + 0.3 * _noise(u / (2.0 * size), v / (2.0 * size), seed + 1)
        + 0.2 * _noise(u / size, v / size, seed + 2)
    )


@_jit
def _glyph(u: float, v: float, size: float, seed: int) -> int:
    """0 on paper, 1 on ink, 2 on coloured ink. A letter is 3 x 5 blocks of length ``size``."""
    x, y = int(np.floor(u / size)), int(np.floor(v / size))
    column, row = x // 4, y // 7
    bx, by = x - 4 * column, y - 7 * row
    if bx == 3 or by >= 5 or _hash(column, row, seed) < 0.16:
        return 0
    letter = int(_hash(column, row, seed + 1) * 997.0)
    # The spine keeps a letter in one piece; the other blocks make it its own.
    inked = bx == letter % 2 or _hash(bx + 3 * by, letter, seed + 2) < 0.42
    if not inked:
        return 0
    return 2 if _hash(column // 5, row, seed + 3) < 0.25 else 1


@_jit
def _brick(u: float, v: float, size: float, seed: int) -> float:
    """Shade of a brick in [0.55, 1.15], or -1 on mortar. Joints are ``size`` wide."""
    row = int(np.floor(v / (4.0 * size)))
    shifted = u + (row % 2) * 5.0 * size
    column = int(np.floor(shifted / (10.0 * size)))
    if v - row * 4.0 * size < size or shifted - column * 10.0 * size < size:
        return -1.0
    return 0.55 + 0.6 * _hash(column, row, seed)


@_jit
def _mix(
    colours: np.ndarray, k: int, w0: float, w1: float, w2: float
) -> tuple[float, float, float]:
    return (
        w0 * colours[k, 0, 0] + w1 * colours[k, 1, 0] + w2 * colours[k, 2, 0],
        w0 * colours[k, 0, 1] + w1 * colours[k, 1, 1] + w2 * colours[k, 2, 1],
        w0 * colours[k, 0, 2] + w1 * colours[k, 1, 2] + w2 * colours[k, 2, 2],
    )


@_jit
def _ramp(colours: np.ndarray, k: int, t: float, shade: float) -> tuple[float, float, float]:
    """c0 at t = 0, c1 at t = 0.5, c2 at t = 1, times ``shade``."""
    t = min(max(t, 0.0), 1.0)
    if t < 0.5:
        return _mix(colours, k, shade * (1.0 - 2.0 * t), shade * 2.0 * t, 0.0)
    return _mix(colours, k, 0.0, shade * (2.0 - 2.0 * t), shade * (2.0 * t - 1.0))


@_jit
def _checks(u: float, v: float, size: float, seed: int, colours: np.ndarray, k: int):  # type: ignore[no-untyped-def]
    cell = 3.0 * size
    i, j = int(np.floor(u / cell)), int(np.floor(v / cell))
    shade = 0.75 + 0.5 * _octaves(u, v, size, seed)
    if (i + j) % 2 == 0:
        return _mix(colours, k, shade, 0.0, 0.0)
    if _hash(i, j, seed) < 0.4 and u - i * cell > v - j * cell:
        return _mix(colours, k, 0.0, 0.0, shade)
    return _mix(colours, k, 0.0, shade, 0.0)


@_jit
def _stripes(u: float, v: float, size: float, seed: int, colours: np.ndarray, k: int):  # type: ignore[no-untyped-def]
    band = int(np.floor((0.8 * u + 0.6 * v) / (1.6 * size)))
    shade = 0.8 + 0.4 * _octaves(u, v, 1.5 * size, seed)
    kind = band % 4
    if kind == 3:
        return _mix(colours, k, 0.0, 0.0, shade)
    if kind == 1:
        return _mix(colours, k, 0.0, shade, 0.0)
    return _mix(colours, k, shade, 0.0, 0.0)


@_jit
def _wood(u: float, v: float, size: float, seed: int, colours: np.ndarray, k: int):  # type: ignore[no-untyped-def]
    plank = int(np.floor(v / (6.0 * size)))
    if v - plank * 6.0 * size < size:
        return _mix(colours, k, 0.0, 0.0, 1.0)
    grain = _octaves(0.3 * u + 7.7 * plank, v, size, seed)
    grain = min(max((grain - 0.35) * 3.5, 0.0), 1.0)
    shade = 0.8 + 0.35 * _hash(plank, 1, seed)
    return _mix(colours, k, shade * (1.0 - grain), shade * grain, 0.0)


@_jit
def _mosaic(u: float, v: float, size: float, seed: int, colours: np.ndarray, k: int):  # type: ignore[no-untyped-def]
    cell = 3.0 * size
    i, j = int(np.floor(u / cell)), int(np.floor(v / cell))
    if u - i * cell < 0.9 * size or v - j * cell < 0.9 * size:
        return _mix(colours, k, 0.03, 0.03, 0.03)
    # Neighbouring tiles follow a slow field, so that the mosaic reads as a picture.
    field = _noise(i / 4.0, j / 4.0, seed) + 0.5 * (_hash(i, j, seed + 1) - 0.5)
    return _ramp(colours, k, 1.6 * field - 0.3, 0.75 + 0.4 * _hash(i, j, seed + 2))


@_jit
def _wall(u: float, v: float, size: float, seed: int, colours: np.ndarray, k: int):  # type: ignore[no-untyped-def]
    edge = 1.6 * (_octaves(u, v, 2.5 * size, seed) - 0.5)
    shade = 0.94 + 0.1 * _noise(u / 1.5, v / 1.5, seed + 5)
    if u + edge + 0.15 * v > 0.9:
        return _mix(colours, k, 0.0, 0.0, shade)
    brick = _brick(u, v, size, seed)
    grain = 0.5 + _octaves(u, v, size, seed + 7)
    if brick < 0.0:
        return _mix(colours, k, 0.0, grain, 0.0)
    return _mix(colours, k, brick * grain, 0.0, 0.0)


@_jit
def _tiles(u: float, v: float, size: float, seed: int, colours: np.ndarray, k: int):  # type: ignore[no-untyped-def]
    cell = 5.0 * size
    i, j = int(np.floor(u / cell)), int(np.floor(v / cell))
    shade = 0.75 + 0.5 * _hash(i, j, seed)
    if _octaves(u, v, size, seed + 3) > 0.62:
        return _mix(colours, k, 0.0, 0.0, 1.0)
    if (i + j) % 2 == 0:
        return _mix(colours, k, shade, 0.0, 0.0)
    return _mix(colours, k, 0.0, shade, 0.0)


@_jit
def albedo(  # type: ignore[no-untyped-def]
    pattern: int, u: float, v: float, size: float, seed: int, colours: np.ndarray, k: int
):
    """Linear albedo (red, green, blue) at surface position (u, v).

    ``colours`` is (3, 3): c0, c1, c2 in linear light. ``u``, ``v`` and ``size`` in scene units.
    """
    if pattern == 1:
        return _checks(u, v, size, seed, colours, k)
    if pattern == 2:
        return _stripes(u, v, size, seed, colours, k)
    if pattern == 3:
        mark = _glyph(u, v, size, seed)
        shade = 0.92 + 0.12 * _noise(u / (8.0 * size), v / (8.0 * size), seed + 9)
        return _mix(colours, k, shade * (mark == 0), shade * (mark == 1), shade * (mark == 2))
    if pattern == 4:
        return _ramp(colours, k, 1.8 * _octaves(u, v, size, seed) - 0.4, 1.0)
    if pattern == 5:
        return _wood(u, v, size, seed, colours, k)
    if pattern == 6:
        return _mosaic(u, v, size, seed, colours, k)
    if pattern == 7:
        return _wall(u, v, size, seed, colours, k)
    if pattern == 8:
        return _tiles(u, v, size, seed, colours, k)
    shade = 0.9 + 0.2 * _noise(u / (10.0 * size), v / (10.0 * size), seed)
    return _mix(colours, k, shade, 0.0, 0.0)
