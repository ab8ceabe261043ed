"""Defocus by a thin lens: the motions are points of its aperture (Kolb et al. 1995)."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float
from scipy.stats import qmc
from torch import Tensor, nn

from sharpfield.blur.motions import PIXELS_PER_UNIT, Motions, RigidMotions
from sharpfield.blur.nested import rank_by_spread
from sharpfield.config import BlurConfig
from sharpfield.geometry.camera import Camera
from sharpfield.ops.shaken_poses import Aperture

START_BESIDE_PATH = 0.3
"""Aperture at the start where the camera may shake as well, relative to that of a still one."""


class ThinLens(nn.Module):
    """Per view, an aperture and the depth in focus; ``disc`` are the points of the unit aperture.

    A ray through a point of the aperture meets the ray through its centre in the plane in focus.
    In camera axes that is a shift of the camera and a shear of its directions: no rigid motion,
    but a matrix like a pose, and used like one.
    """

    disc: Float[Tensor, "motions 2"]

    def __init__(
        self,
        views: int,
        disc: Float[Tensor, "motions 2"],
        start_pixels: float,
        camera: Camera,
        depth: float,
    ) -> None:
        super().__init__()
        self.middle = depth
        self.unit = PIXELS_PER_UNIT * depth / camera.focal_x
        self.aperture = nn.Parameter(torch.full((views,), start_pixels / PIXELS_PER_UNIT))
        self.focus = nn.Parameter(torch.zeros(views))
        self.register_buffer("disc", disc, persistent=False)

    def radius(self) -> Float[Tensor, " views"]:
        """Radius of the aperture in scene units."""
        return self.aperture.abs() * self.unit

    def focus_disparity(self) -> Float[Tensor, " views"]:
        """One over the depth in focus, positive; at the start that of the scene's middle."""
        return F.softplus(self.focus) / (math.log(2.0) * self.middle)

    def opened(self) -> Aperture:
        """Where rays pass the lens of each view."""
        return Aperture(self.disc, self.radius(), self.focus_disparity())


class LensMotions(Motions):
    """A still camera with a lens.

    All rays count alike; the aperture is a disc around the given pose, so the gauge is fixed by
    its symmetry.
    """

    def __init__(self, views: int, config: BlurConfig, camera: Camera, depth: float) -> None:
        super().__init__(views, config, camera, depth)
        self.encoder = nn.Sequential()
        self.code_width = config.embedding
        self.lens = ThinLens(views, even_disc(config.motions), config.start_pixels, camera, depth)

    def path(
        self,
        code: Float[Tensor, "views code"],
        weights: Float[Tensor, "views motions_and_origin"],
    ) -> Float[Tensor, "views motions 6"]:
        return code.new_zeros(len(code), self.motions, 6)

    def aperture(self) -> Aperture:
        return self.lens.opened()


class ShakenLens(RigidMotions):
    """A camera with a lens that moves along a path: every motion has its point of the aperture.

    The few motions that a small kernel opens sample the path and the aperture alike. Where nothing
    is out of focus, apertures close.
    """

    def __init__(self, views: int, config: BlurConfig, camera: Camera, depth: float) -> None:
        super().__init__(views, config, camera, depth)
        start = START_BESIDE_PATH * config.start_pixels
        self.lens = ThinLens(views, scattered_disc(config.motions), start, camera, depth)

    def aperture(self) -> Aperture:
        return self.lens.opened()


def even_disc(points: int) -> Float[Tensor, "points 2"]:
    """Points that fill the unit disc evenly: a sunflower's (Vogel 1979), their mean taken off."""
    number = torch.arange(points, dtype=torch.float64) + 0.5
    return _on_disc(number / points, number * math.pi * (3.0 - math.sqrt(5.0)))


def scattered_disc(points: int) -> Float[Tensor, "points 2"]:
    """Points in the unit disc, of mean zero, for motions along a path.

    The first few to open, by ``rank_by_spread``, fill the disc as they fill the path: they are a
    Halton sequence in that order.
    """
    rank = rank_by_spread(points)[1:]
    area, turn = torch.from_numpy(qmc.Halton(2, scramble=False).random(points + 1)).T
    return _on_disc(area[rank], 2.0 * math.pi * turn[rank])


def _on_disc(
    area: Float[Tensor, " points"], angle: Float[Tensor, " points"]
) -> Float[Tensor, "points 2"]:
    disc = area.sqrt()[:, None] * torch.stack([angle.cos(), angle.sin()], dim=1)
    return (disc - disc.mean(0)).float()
