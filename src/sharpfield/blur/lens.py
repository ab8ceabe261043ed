"""Defocus by a thin lens: the motions are points of its aperture (Kolb et al. 1995)."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from sharpfield.blur.motions import PIXELS_PER_UNIT, Motions
from sharpfield.config import BlurConfig
from sharpfield.geometry.camera import Camera
from sharpfield.geometry.se3 import compose


class LensMotions(Motions):
    """Per view, an aperture and the depth in focus.

    A ray through a point of the aperture meets the ray through its centre in the plane in focus.
    In camera axes that is a shift of the camera and a shear of its directions: no rigid motion,
    but a matrix like a pose, and used like one. All rays count alike; the aperture is a disc
    around the given pose, so the gauge is fixed by its symmetry.
    """

    disc: Float[Tensor, "motions 2"]

    def __init__(self, views: int, config: BlurConfig, camera: Camera, depth: float) -> None:
        super().__init__(views, config)
        self.encoder = nn.Sequential()
        self.code_width = config.embedding
        self.middle = depth
        self.unit = PIXELS_PER_UNIT * depth / camera.focal_x
        start = config.start_pixels / PIXELS_PER_UNIT
        self.aperture = nn.Parameter(torch.full((views,), start))
        self.focus = nn.Parameter(torch.zeros(views))
        self.register_buffer("disc", even_disc(config.motions), persistent=False)

    def radius(self) -> Float[Tensor, " views"]:
        """Radius of the aperture in scene units."""
        return self.aperture.abs() * self.unit

    def focus_disparity(self) -> Float[Tensor, " views"]:
        """One over the depth in focus, positive; at the start that of the scene's middle."""
        return F.softplus(self.focus) / (math.log(2.0) * self.middle)

    def poses(self, given: Float[Tensor, "views 3 4"]) -> Float[Tensor, "views motions 3 4"]:
        """Camera-to-world matrices of all M + 1 rays: the centre, then points of the aperture."""
        points = torch.cat([self.disc.new_zeros(1, 2), self.disc])
        shift = self.radius()[:, None, None] * points
        matrix = torch.eye(3, 4, device=given.device).repeat(*shift.shape[:2], 1, 1)
        # A direction has depth 1, z = -1: the shear takes the shift back at the depth in focus.
        shear = F.pad((shift * self.focus_disparity()[:, None, None])[..., None], (2, 1, 0, 1))
        return compose(given[:, None], matrix + shear + F.pad(shift[..., None], (3, 0, 0, 1)))

    def _twists(self, code: Float[Tensor, "views code"]) -> Float[Tensor, "views motions 6"]:
        """The rigid motions that come nearest: a shift, and a turn towards the point in focus."""
        shift = self.radius()[:, None, None] * self.disc
        turn = shift * self.focus_disparity()[:, None, None]
        still = torch.zeros_like(shift[..., :1])
        x, y = turn.unbind(-1)
        return torch.cat([torch.stack([-y, x], dim=-1), still, shift, still], dim=-1)


def even_disc(points: int) -> Float[Tensor, "points 2"]:
    """Points that fill the unit disc evenly: a sunflower's (Vogel 1979), their mean taken off."""
    number = torch.arange(points, dtype=torch.float64) + 0.5
    radius, angle = (number / points).sqrt(), number * math.pi * (3.0 - math.sqrt(5.0))
    disc = torch.stack([radius * angle.cos(), radius * angle.sin()], dim=1)
    return (disc - disc.mean(0)).float()
