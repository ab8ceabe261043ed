"""Defocus by a thin lens: the motions are points of its aperture (Kolb et al. 1995)."""

from __future__ import annotations

import math
from itertools import pairwise

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
    """Per view, an aperture and the depth in focus; rays pass it in ``points`` places.

    A ray through a point of the aperture meets the ray through its centre in the plane in focus.
    In camera axes that is a shift of the camera and a shear of its directions: no rigid motion,
    but a matrix like a pose, and used like one.
    """

    disc: Float[Tensor, "points 2"]

    def __init__(
        self,
        views: int,
        points: int,
        start_pixels: float,
        camera: Camera,
        depth: float,
    ) -> None:
        super().__init__()
        self.middle = depth
        self.unit = PIXELS_PER_UNIT * depth / camera.focal_x
        self.aperture = nn.Parameter(torch.full((views,), start_pixels / PIXELS_PER_UNIT))
        self.focus = nn.Parameter(torch.zeros(views))
        self.register_buffer("disc", disc_points(points), persistent=False)

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
        self.lens = ThinLens(views, config.motions, config.start_pixels, camera, depth)

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
        self.lens = ThinLens(views, config.motions, start, camera, depth)

    def aperture(self) -> Aperture:
        return self.lens.opened()


def disc_points(points: int) -> Float[Tensor, "points 2"]:
    """Points that share the unit disc with its centre, evenly: each stands for as much of it.

    They lie on rings, each in the middle of an annulus. The first few to open, by
    ``rank_by_spread``, fill the disc as they fill the path: a Halton sequence in that order takes
    the nearest free places, ring by ring.
    """
    rank = rank_by_spread(points)[1:]
    area, turn = torch.from_numpy(qmc.Halton(2, scramble=False).random(points + 1)).T[:, rank]
    cells = points + 1
    core = cells**-0.5  # radius of the centre's cell
    rings = max(1, round((1.0 - core) / math.sqrt(math.pi / cells)))
    edges = [core + (1.0 - core) * ring / rings for ring in range(rings + 1)]
    within = [round(cells * edge**2) for edge in edges]
    disc = torch.zeros(points, 2, dtype=torch.float64)
    outwards = area.argsort()
    for first, last in pairwise(within):
        ring = outwards[first - 1 : last - 1]
        ring = ring[turn[ring].argsort()]
        angle = 2.0 * math.pi * (torch.arange(len(ring)).double() + first) / len(ring)
        radius = math.sqrt((first + last) / (2.0 * cells))
        disc[ring] = radius * torch.stack([angle.cos(), angle.sin()], dim=1)
    return (disc - disc.mean(0)).float()  # a single point is no ring, but the centre
