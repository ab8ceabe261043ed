"""The photo gate: which photos need a kernel at all."""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

CHANGE_PIXELS = 80
GAIN_PIXELS = 4000
"""Pixels of a photo after which what its kernel changed, and what it gained, counts a third."""

SIGNIFICANT = 3.0
"""A gain is one when it exceeds its standard error this many times..."""

WORTHWHILE = 0.4
"""...and this share of the squared error that is left. A pixel is an area, so that a few rays close
to each other show a sharp one a little better than one does: by up to a third of what a long
training leaves, not worth them. What a kernel gains of a smeared photo is several times that."""


class PhotoGate(nn.Module):
    """Closes the kernels of photos that are sharp already, and opens them again.

    A photo is sharp when its whole kernel changes its pixels by less than ``share`` of what
    kernels change photos in the mean over all, or by less than ``tolerance``, root mean square in
    display colours - unless the kernel demonstrably brings the photo's pixels closer to what they
    are, by two sevenths of their squared error or more: a photo that is hardly blurred beside the
    others still is. This is measured, not learned: a network takes hundreds of steps to say of a
    whole photo what half a dozen of its pixels tell at once.
    """

    changes: Float[Tensor, "views 2"]
    """Sums over the pixels of each photo, fading: their squared change by its kernel, in display
    colours, and one for each pixel."""

    gains: Float[Tensor, "views 3"]
    """Sums over the pixels of each photo, fading: by how much their kernel lowers their squared
    error, the square of that, and the squared error that is left."""

    open: Bool[Tensor, " views"]
    """Photos that need a kernel, or of which nothing is known."""

    def __init__(self, views: int, share: float, tolerance: float) -> None:
        super().__init__()
        self.share, self.tolerance = share, tolerance
        self.register_buffer("changes", torch.zeros(views, 2))
        self.register_buffer("gains", torch.zeros(views, 3))
        self.register_buffer("open", torch.ones(views, dtype=torch.bool))

    @property
    def helped(self) -> Bool[Tensor, " views"]:
        """Photos that their kernels explain better than none would."""
        gain, squared, left = self.gains.unbind(1)
        return (gain > SIGNIFICANT * squared.sqrt()) & (gain > WORTHWHILE * left)

    def follow(
        self,
        view: Int[Tensor, " pixels"],
        change: Float[Tensor, " pixels"],
        unmoved: Float[Tensor, " pixels"],
        blurred: Float[Tensor, " pixels"],
    ) -> None:
        """Take in pixels that were rendered with their whole kernels.

        ``change``: the squared change by the kernel. ``unmoved``, ``blurred``: the squared errors
        without it and with it.
        """
        gain = unmoved - blurred
        changed = torch.stack([change, torch.ones_like(change)], dim=1)
        gained = torch.stack([gain, gain.square(), blurred], dim=1)
        self.changes = added_to_fading(self.changes, view, changed, CHANGE_PIXELS)
        self.gains = added_to_fading(self.gains, view, gained, GAIN_PIXELS)
        self.open = self._judged()

    def _judged(self) -> Bool[Tensor, " views"]:
        total, count = self.changes.unbind(1)
        change_of = (total / count.clamp(min=1.0)).sqrt()
        known = count > 0
        usual = change_of.sum() / known.sum().clamp(min=1)
        smeared = change_of > (self.share * usual).clamp(min=self.tolerance)
        return ~known | smeared | self.helped


def added_to_fading(
    sums: Float[Tensor, "views values"],
    view: Int[Tensor, " pixels"],
    values: Float[Tensor, "pixels values"],
    remembered: int,
) -> Float[Tensor, "views values"]:
    """``sums``, in which so many pixels of a view later a third is left, and what pixels add."""
    fading = (1.0 - 1.0 / remembered) ** torch.bincount(view, minlength=len(sums))
    return (sums * fading[:, None]).index_add(0, view, values)
