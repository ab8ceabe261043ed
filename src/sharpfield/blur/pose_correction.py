"""Corrections of the given poses, learned from the photos."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

SMALLEST_SPREAD = 0.01
"""Where cameras spread by less than this share in some direction, they show no trend along it."""

SHARP_PIXELS = 1.0
"""A smear of so many pixels does not yet make a pose doubtful: motions of a sharp photo have it."""

LEAST_DOUBT = 0.1
"""Doubt in the pose of a sharp photo, in pixels."""


class PoseCorrection(nn.Module):
    """A turn and a shift of each view's given pose.

    A pose was found in its photo, and is in doubt by as much as that is smeared: corrections are
    shares of the smear, and sharp photos hold the scene in its place.

    What all views could do together is taken out: measured in their doubts, corrections have no
    mean, and no linear trend over the places of the cameras. A scene that is moved, turned, scaled
    or sheared, with its cameras, fits their photos as well as before, but then other views show it
    displaced.
    """

    world: Float[Tensor, "views 6 6"]
    """From turns and shifts along the world's axes to twists of each camera."""
    trends: Float[Tensor, "views trends"]
    _identity: Float[Tensor, "views views"]

    def __init__(
        self, given: Float[Tensor, "views 3 4"], pixel: Float[Tensor, " 6"], ease: float
    ) -> None:
        """``pixel``: what displaces the image by one, in radians and scene units. ``ease``: the
        correction by a parameter of one, in smears."""
        super().__init__()
        views = len(given)
        self.twists = nn.Parameter(torch.zeros(views, 6))
        world = ease * pixel[:, None] * torch.kron(torch.eye(2), given[:, :, :3])
        self.register_buffer("world", world, persistent=False)
        self.register_buffer("trends", _trends(given[:, :, 3]), persistent=False)
        self.register_buffer("_identity", torch.eye(views), persistent=False)

    def forward(self, smear: Float[Tensor, " views"]) -> Float[Tensor, "views 6"]:
        """Twists of the cameras, in their own frames, by the ``smear`` of the photos in pixels."""
        with torch.no_grad():
            doubt = (smear - SHARP_PIXELS).clamp(min=LEAST_DOUBT)[:, None]
            shared, _ = torch.linalg.qr(self.trends / doubt)
            apart = doubt * torch.addmm(self._identity, shared, shared.T, alpha=-1.0)
        return torch.bmm((apart @ self.twists)[:, None], self.world)[:, 0]


def _trends(places: Float[Tensor, "views 3"]) -> Float[Tensor, "views trends"]:
    """An orthonormal basis of what is constant or linear in the cameras' places."""
    apart = (places - places.mean(0)).double()
    linear = F.pad(apart / apart.norm().clamp(min=1e-30), (1, 0), value=1.0)
    basis, strength, _ = torch.linalg.svd(linear, full_matrices=False)
    return basis[:, strength > SMALLEST_SPREAD].float()
