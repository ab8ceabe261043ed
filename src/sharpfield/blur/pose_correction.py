"""Corrections of the given poses, learned from the photos."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from sharpfield.ops.exponential import exponential

SMALLEST_SPREAD = 0.01
"""Where cameras spread by less than this share in some direction, they show no trend along it."""


class PoseCorrection(nn.Module):
    """A turn and a shift of each view's given pose.

    What all views could do together is taken out: corrections have no mean, and no linear trend
    over the places of the cameras. A scene that is moved, turned, scaled or sheared, with its
    cameras, fits their photos as well as before, but then other views show it displaced.
    """

    unit: Float[Tensor, " 6"]
    trends: Float[Tensor, "views trends"]

    def __init__(
        self, given: Float[Tensor, "views 3 4"], unit: Float[Tensor, " 6"], ease: float
    ) -> None:
        """``unit`` of a twist: radians, scene units; ``ease``: how many of them a step moves by."""
        super().__init__()
        self.twists = nn.Parameter(torch.zeros(len(given), 6))
        self.register_buffer("unit", ease * unit, persistent=False)
        self.register_buffer("trends", _trends(given[:, :, 3]), persistent=False)

    def forward(self, given: Float[Tensor, "views 3 4"]) -> Float[Tensor, "views 3 4"]:
        """The given poses, turned and shifted along the world's axes."""
        own = (self.twists - self.trends @ (self.trends.T @ self.twists)) * self.unit
        turn, shift = own.split(3, dim=1)
        turned = exponential(F.pad(turn, (0, 3)))[:, :, :3] @ given[:, :, :3]
        return torch.cat([turned, (given[:, :, 3] + shift)[:, :, None]], dim=2)


def _trends(places: Float[Tensor, "views 3"]) -> Float[Tensor, "views trends"]:
    """An orthonormal basis of what is constant or linear in the cameras' places."""
    apart = (places - places.mean(0)).double()
    linear = F.pad(apart / apart.norm().clamp(min=1e-30), (1, 0), value=1.0)
    basis, strength, _ = torch.linalg.svd(linear, full_matrices=False)
    return basis[:, strength > SMALLEST_SPREAD].float()
