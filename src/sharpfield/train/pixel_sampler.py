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
    """Draws pixels with replacement, so that its whole state is the generator's.

    The share ``textured`` of them is drawn in proportion to the contrast around them, the rest
    evenly: a wall teaches little, and most of it is seen soon.
    """

    def __init__(
        self, photos: Float[Tensor, "views height width 3"], textured: float = 0.0
    ) -> None:
        self.photos, self.textured = photos, textured
        contrast = cell_contrast(photos) + LEAST_CONTRAST
        self._cells = contrast.shape[1:]
        chances = contrast.flatten(1).double()
        ladder = (chances / chances.sum(1, keepdim=True)).cumsum(1).clamp(max=1.0)
        offsets = torch.arange(len(photos), device=photos.device)
        self._ladder = (ladder + offsets[:, None]).flatten()

    def draw(
        self,
        count: int,
        generator: torch.Generator,
        shares: Float[Tensor, " views"],
        views: int | None = None,
    ) -> Batch:
        """``count`` pixels.

        Views are drawn in proportion to ``shares``, or evenly from ``views`` random ones.
        """
        total, height, width = self.photos.shape[:3]
        if views is not None and views < total:
            few = torch.randperm(total, generator=generator)[:views]
            view = few[torch.randint(views, (count,), generator=generator)]
        else:
            view = torch.multinomial(shares.cpu(), count, replacement=True, generator=generator)
        row = torch.randint(height, (count,), generator=generator)
        column = torch.randint(width, (count,), generator=generator)
        chance = torch.rand(2, count, generator=generator, dtype=torch.float64)
        device = self.photos.device
        view, row, column, chance = (t.to(device) for t in (view, row, column, chance))
        cell_row, cell_column = self._textured_cells(view, chance[0])
        moved = chance[1] < self.textured
        row = torch.where(moved, (cell_row * CELL + row % CELL).clamp(max=height - 1), row)
        column = torch.where(
            moved, (cell_column * CELL + column % CELL).clamp(max=width - 1), column
        )
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


def cell_contrast(
    photos: Float[Tensor, "views height width 3"],
) -> Float[Tensor, "views rows columns"]:
    """Standard deviation of the grey photo in each square and the eight around it."""

    def around(x: Tensor) -> Tensor:
        cells = F.avg_pool2d(x, CELL, ceil_mode=True)
        return F.avg_pool2d(cells, 3, stride=1, padding=1, count_include_pad=False)

    grey = photos.mean(-1)[:, None]
    return (around(grey**2) - around(grey) ** 2).clamp(min=0.0).sqrt()[:, 0]
