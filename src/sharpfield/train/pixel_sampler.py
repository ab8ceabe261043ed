"""Random pixels of the training photos."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from sharpfield.blur.kernel import Pixels
from sharpfield.ops.drawn_pixels import CELL, PixelPool, chance_ladder, drawn_pixels

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
        self.photos = photos
        self.pixels = photos[..., 0].numel()
        """Of all photos together."""
        generator = torch.Generator().manual_seed(seed)
        start = torch.rand(4, generator=generator, dtype=torch.float64)
        contrast = cell_contrast(photos) + LEAST_CONTRAST
        ladder = chance_ladder(contrast.flatten(1))
        self._pool = PixelPool(start, photos, textured, ladder, contrast.shape[2])

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
        if views is not None and views < len(self.photos):
            shares = torch.zeros(len(self.photos))
            shares[torch.randperm(len(shares), generator=generator)[:views]] = 1.0
        view, xy, colours = drawn_pixels(self._pool, place, count, shares)
        return Batch(Pixels(view, xy), colours)


def cell_contrast(
    photos: Float[Tensor, "views height width 3"],
) -> Float[Tensor, "views rows columns"]:
    """Standard deviation of the grey photo in each square and the eight around it."""

    def around(x: Tensor) -> Tensor:
        cells = F.avg_pool2d(x, CELL, ceil_mode=True)
        return F.avg_pool2d(cells, 3, stride=1, padding=1, count_include_pad=False)

    grey = photos.mean(-1)[:, None]
    return (around(grey**2) - around(grey) ** 2).clamp(min=0.0).sqrt()[:, 0]
