"""Pixels of photos along a quasirandom sequence as a numba kernel."""

from __future__ import annotations

import numpy as np

from sharpfield.jit import cached_njit


@cached_njit()
def drawn_pixels(  # type: ignore[no-untyped-def]
    place, cell, textured, columns, strides, start, shares, ladder, photos, view, xy, colours
):
    """Fill ``view``, ``xy`` and ``colours``."""
    views, height, width = photos.shape[:3]
    squares = ladder.shape[0] // views
    last, of_views = 0, np.cumsum(shares)
    for v in range(views):
        if shares[v] > 0.0:
            last = v
    for p in range(view.shape[0]):
        of_view = (start[0] + (place + p) * strides[0]) % 1.0
        of_way = (start[1] + (place + p) * strides[1]) % 1.0
        x = (start[2] + (place + p) * strides[2]) % 1.0
        y = (start[3] + (place + p) * strides[3]) % 1.0
        v = min(np.searchsorted(of_views, of_view * of_views[-1], side="right"), last)
        row, column = int(y * height), int(x * width)
        if of_way < textured:
            rungs = ladder[v * squares : (v + 1) * squares]
            square = min(np.searchsorted(rungs, v + x, side="right"), squares - 1)
            inside = int(y * cell**2)
            row = square // columns * cell + inside // cell
            column = square % columns * cell + inside % cell
        row, column = min(row, height - 1), min(column, width - 1)
        view[p], xy[p, 0], xy[p, 1] = v, column + 0.5, row + 0.5
        for c in range(3):
            colours[p, c] = photos[v, row, column, c]
