"""Random pixels of the training photos."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from sharpfield.blur.kernel import Pixels

CELL = 4
"""Pixels across the squares of a photo that are drawn by their contrast."""

LEAST_CONTRAST = 1.0 / 255.0
"""Added to the contrast of every square, so that flat ones are drawn as well."""

_ROOT = 1.1673039782614187
"""The real root above 1 of x^5 = x + 1: its powers below 1 are the sequence's strides."""

_STRIDES = _ROOT ** -torch.arange(1, 5, dtype=torch.float64)


@dataclass(frozen=True)
class Batch:
    """Pixels with the display colours that their photos have there."""

    pixels: Pixels
    colours: Float[Tensor, "pixels 3"]

    def __getitem__(self, index: slice) -> Batch:
        return Batch(self.pixels[index], self.colours[index])

    def __add__(self, other: Batch) -> Batch:
        view = torch.cat([self.pixels.view, other.pixels.view])
        xy = torch.cat([self.pixels.xy, other.pixels.xy])
        return Batch(Pixels(view, xy), torch.cat([self.colours, other.colours]))


class PixelSampler:
    """Draws pixels that cover views and photos more evenly than chance would.

    They follow an additive sequence (Roberts 2018, "The unreasonable effectiveness of quasirandom
    sequences"): any run of it is spread evenly, and the next pixels fall between those before. The
    number of pixels drawn so far, ``place``, and the generator are its whole state.

    The share ``textured`` of them is drawn in proportion to the contrast around them, the rest
    evenly: a wall teaches little, and most of it is seen soon.
    """

    def __init__(
        self, photos: Float[Tensor, "views height width 3"], textured: float = 0.0, seed: int = 0
    ) -> None:
        self.photos, self.textured = photos, textured
        generator = torch.Generator().manual_seed(seed)
        self._start = torch.rand(len(_STRIDES), generator=generator, dtype=torch.float64)
        contrast = cell_contrast(photos) + LEAST_CONTRAST
        self._cells = contrast.shape[1:]
        chances = contrast.flatten(1).double()
        ladder = (chances / chances.sum(1, keepdim=True)).cumsum(1).clamp(max=1.0)
        offsets = torch.arange(len(photos), device=photos.device)
        self._ladder = (ladder + offsets[:, None]).flatten()

    def draw(
        self,
        count: int,
        place: int,
        generator: torch.Generator,
        shares: Float[Tensor, " views"],
        views: int | None = None,
    ) -> Batch:
        """The ``count`` pixels from ``place`` on.

        Views are drawn in proportion to ``shares``, or evenly from ``views`` random ones.
        """
        height, width = self.photos.shape[1:3]
        numbers = torch.arange(place, place + count, dtype=torch.float64)[:, None]
        in_cube = (self._start + numbers * _STRIDES) % 1.0
        if views is not None and views < len(self.photos):
            shares = torch.zeros(len(self.photos))
            shares[torch.randperm(len(shares), generator=generator)[:views]] = 1.0
        of_view, of_way, x, y = in_cube.to(self.photos.device).unbind(1)
        view = _choose(of_view, shares.to(of_view))
        cell_row, cell_column = self._textured_cells(view, x)
        textured = of_way < self.textured
        inside = (y * CELL**2).long()
        row = torch.where(textured, cell_row * CELL + inside // CELL, (y * height).long())
        column = torch.where(textured, cell_column * CELL + inside % CELL, (x * width).long())
        row, column = row.clamp(max=height - 1), column.clamp(max=width - 1)
        xy = torch.stack([column, row], dim=1) + 0.5
        return Batch(Pixels(view, xy), self.photos[view, row, column])

    def _textured_cells(
        self, view: Int[Tensor, " pixels"], chance: Float[Tensor, " pixels"]
    ) -> tuple[Int[Tensor, " pixels"], Int[Tensor, " pixels"]]:
        """Row and column of a square of each view, drawn in proportion to contrast."""
        rows, columns = self._cells
        rung = torch.searchsorted(self._ladder, view + chance, right=True)
        cell = (rung - view * (rows * columns)).clamp(0, rows * columns - 1)
        return cell // columns, cell % columns


def _choose(
    chance: Float[Tensor, " pixels"], shares: Float[Tensor, " views"]
) -> Int[Tensor, " pixels"]:
    """The view that each number of [0, 1) falls to; views of no share are never chosen."""
    ladder = shares.cumsum(0)
    last = int(shares.nonzero().max())
    return torch.searchsorted(ladder, chance * ladder[-1], right=True).clamp(max=last)


def cell_contrast(
    photos: Float[Tensor, "views height width 3"],
) -> Float[Tensor, "views rows columns"]:
    """Standard deviation of the grey photo in each square and the eight around it."""

    def around(x: Tensor) -> Tensor:
        cells = F.avg_pool2d(x, CELL, ceil_mode=True)
        return F.avg_pool2d(cells, 3, stride=1, padding=1, count_include_pad=False)

    grey = photos.mean(-1)[:, None]
    return (around(grey**2) - around(grey) ** 2).clamp(min=0.0).sqrt()[:, 0]
