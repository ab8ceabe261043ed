"""Pixels of photos along a quasirandom sequence: few, but asked for at every step."""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from sharpfield.ops import drawn_pixels_cpu
from sharpfield.ops.dispatch import arrays, use_cpu_kernels

CELL = 4
"""Pixels across the squares of a photo that are drawn by their contrast."""

_ROOT = 1.1673039782614187
"""The real root above 1 of x^5 = x + 1: its powers below 1 are the sequence's strides."""

STRIDES = _ROOT ** -torch.arange(1, 5, dtype=torch.float64)
"""Of the view, of whether it goes by contrast, of the place across and the place down."""


class PixelPool(NamedTuple):
    """What pixels are drawn from.

    ``start`` is where the sequence begins. The share ``textured`` of pixels is drawn by
    ``chance_ladder``; ``columns`` squares stand side by side.
    """

    start: Float[Tensor, 4]
    photos: Float[Tensor, "views height width 3"]
    textured: float
    ladder: Float[Tensor, " squares"]
    columns: int


class DrawnPixels(NamedTuple):
    """View, image point (pixels, centres at +0.5) and colour of each pixel."""

    view: Int[Tensor, " pixels"]
    xy: Float[Tensor, "pixels 2"]
    colours: Float[Tensor, "pixels 3"]


def chance_ladder(chances: Float[Tensor, "views squares"]) -> Float[Tensor, " views_squares"]:
    """Chances of the squares of each photo, added up: those of view v reach from v to v + 1."""
    chances = chances.double()
    ladder = (chances / chances.sum(1, keepdim=True)).cumsum(1).clamp(max=1.0)
    return (ladder + torch.arange(len(chances), device=chances.device)[:, None]).flatten()


def drawn_pixels(
    pool: PixelPool, place: int, count: int, shares: Float[Tensor, " views"]
) -> DrawnPixels:
    """The ``count`` pixels from ``place`` on; views are drawn in proportion to ``shares``."""
    if not use_cpu_kernels(pool.photos):
        return drawn_pixels_reference(pool, place, count, shares)
    view, xy = torch.empty(count, dtype=torch.int64), torch.empty(count, 2)
    colours = torch.empty(count, 3)
    drawn_pixels_cpu.drawn_pixels(
        place, CELL, pool.textured, pool.columns,
        *arrays(STRIDES, pool.start, shares.double(), pool.ladder, pool.photos, view, xy, colours),
    )  # fmt: skip
    return DrawnPixels(view, xy, colours)


def drawn_pixels_reference(
    pool: PixelPool, place: int, count: int, shares: Float[Tensor, " views"]
) -> DrawnPixels:
    """The twin of the numba kernel."""
    height, width = pool.photos.shape[1:3]
    numbers = torch.arange(place, place + count, dtype=torch.float64)[:, None]
    in_cube = (pool.start + numbers * STRIDES) % 1.0
    of_view, of_way, x, y = in_cube.to(pool.photos.device).unbind(1)
    view = _choose(of_view, shares.to(of_view))
    cell_row, cell_column = _textured_cells(pool, view, x)
    textured = of_way < pool.textured
    inside = (y * CELL**2).long()
    row = torch.where(textured, cell_row * CELL + inside // CELL, (y * height).long())
    column = torch.where(textured, cell_column * CELL + inside % CELL, (x * width).long())
    row, column = row.clamp(max=height - 1), column.clamp(max=width - 1)
    xy = torch.stack([column, row], dim=1) + 0.5
    return DrawnPixels(view, xy, pool.photos[view, row, column])


def _choose(
    chance: Float[Tensor, " pixels"], shares: Float[Tensor, " views"]
) -> Int[Tensor, " pixels"]:
    """The view that each number of [0, 1) falls to; views of no share are never chosen."""
    ladder = shares.cumsum(0)
    last = int(shares.nonzero().max())
    return torch.searchsorted(ladder, chance * ladder[-1], right=True).clamp(max=last)


def _textured_cells(
    pool: PixelPool, view: Int[Tensor, " pixels"], chance: Float[Tensor, " pixels"]
) -> tuple[Int[Tensor, " pixels"], Int[Tensor, " pixels"]]:
    """Row and column of a square of each view, drawn in proportion to contrast."""
    squares = len(pool.ladder) // len(pool.photos)
    rung = torch.searchsorted(pool.ladder, view + chance, right=True)
    cell = (rung - view * squares).clamp(0, squares - 1)
    return cell // pool.columns, cell % pool.columns
