"""Random pixels of the training photos."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from sharpfield.blur.kernel import Pixels


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
    """Draws pixels with replacement, so that its whole state is the generator's."""

    def __init__(self, photos: Float[Tensor, "views height width 3"]) -> None:
        self.photos = photos

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
        device = self.photos.device
        view, row, column = view.to(device), row.to(device), column.to(device)
        xy = torch.stack([column, row], dim=1) + 0.5
        return Batch(Pixels(view, xy), self.photos[view, row, column])
