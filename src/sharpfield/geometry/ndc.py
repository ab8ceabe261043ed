"""Normalised device coordinates of forward-facing scenes, and the unit cube that holds them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from sharpfield.geometry.camera import Camera
from sharpfield.geometry.rays import Rays, camera_directions, rays_from_poses


def to_ndc(rays: Rays, camera: Camera, near: float = 1.0) -> Rays:
    """Rays in NDC: ``t`` = 0 on the near plane, 1 at infinity.

    Mildenhall et al. 2020, "NeRF", appendix C.
    """
    o, d = rays.origins, rays.directions
    o = o - ((near + o[:, 2]) / d[:, 2])[:, None] * d
    sx = 2.0 * camera.focal_x / camera.width
    sy = 2.0 * camera.focal_y / camera.height
    slope_x, slope_y = o[:, 0] / o[:, 2], o[:, 1] / o[:, 2]
    origins = torch.stack([-sx * slope_x, -sy * slope_y, 1.0 + 2.0 * near / o[:, 2]], dim=1)
    directions = torch.stack(
        [
            -sx * (d[:, 0] / d[:, 2] - slope_x),
            -sy * (d[:, 1] / d[:, 2] - slope_y),
            -2.0 * near / o[:, 2],
        ],
        dim=1,
    )
    return Rays(origins, directions)


def faces_forward(pose: Float[np.ndarray, "3 4"], camera: Camera) -> bool:
    """Whether all rays of a camera go towards -z, as NDC have it."""
    directions = _corner_directions(camera).numpy() @ pose[:, :3].T
    return bool((directions[:, 2] < 0).all())


def _corner_directions(camera: Camera) -> Float[Tensor, "corners 3"]:
    """Directions, in camera axes, through the corners of a photo."""
    corners = torch.tensor(
        [[x, y] for x in (0.0, float(camera.width)) for y in (0.0, float(camera.height))]
    )
    return camera_directions(corners, camera)


def ndc_lengths(rays: Rays, z: Float[Tensor, " rays"]) -> Float[Tensor, " rays"]:
    """Where world ``rays`` meet the planes of NDC depth ``z`` < 1, in units of their directions."""
    return rays.lengths_to(2.0 / (z[:, None] - 1.0))[:, 0]


NEAR_MARGIN = 0.85
FAR_MARGIN = 2.0
SIDE_MARGIN = 0.05


class CubeEnds(NamedTuple):
    """The planes of equal z, in world units, between which the cube lies, first the near one.

    World x and y on a plane, times its ``scale`` and less ``offset``, are those in the cube.
    """

    planes: Float[np.ndarray, " 2"]
    scale: Float[np.ndarray, "planes 2"]
    offset: Float[np.ndarray, " 2"]


@dataclass(frozen=True)
class NdcCube:
    """The map from world rays to rays through the unit cube that the field lives in.

    ``low`` and ``high`` are opposite corners in NDC: the x and y that the training views see, and
    the z range of the scene's depth bounds.
    """

    camera: Camera
    low: tuple[float, float, float]
    high: tuple[float, float, float]

    def rays(self, rays: Rays) -> Rays:
        """World rays to cube rays; the part between the depth bounds has ``t`` in [0, 1].

        A plane of equal depth stays one in NDC, and its points only change their scale there
        (see ``to_ndc``), so that it is enough to know where a ray meets the near and far planes.
        """
        planes, scale, offset = (rays.origins.new_tensor(part) for part in self.ends)
        t = rays.lengths_to(planes)
        met = rays.origins[:, None, :2] + t[..., None] * rays.directions[:, None, :2]
        enter, leave = (met * scale - offset).unbind(1)
        return Rays(F.pad(enter, (0, 1)), F.pad(leave - enter, (0, 1), value=1.0))

    @property
    def photo_widths(self) -> float:
        """How many photos wide the cube is: cameras that are apart look into it side by side."""
        return (self.high[0] - self.low[0]) / 2.0

    @cached_property
    def ends(self) -> CubeEnds:
        """Where the cube begins and ends in the world."""
        camera, low, high = self.camera, np.array(self.low), np.array(self.high)
        planes = 2.0 / (np.array([self.low[2], self.high[2]]) - 1.0)
        focal = np.array(
            [2.0 * camera.focal_x / camera.width, 2.0 * camera.focal_y / camera.height]
        )
        size = (high - low)[:2]
        scale = -focal / (planes[:, None] * size)
        return CubeEnds(*(part.astype(np.float32) for part in (planes, scale, low[:2] / size)))

    @staticmethod
    def around(
        camera: Camera, poses: Float[Tensor, "views 3 4"], near: float, far: float
    ) -> NdcCube:
        """The cube around the frustums of ``poses`` between depths ``near`` and ``far``.

        Motions may leave the frustums a little and bounds are estimates, hence the margins.
        """
        z = [1.0 - 2.0 / max(1.0, near * NEAR_MARGIN), 1.0 - 2.0 / (far * FAR_MARGIN)]
        directions = _corner_directions(camera)
        ends = []
        for pose in poses:
            rays = to_ndc(rays_from_poses(directions, pose.expand(len(directions), 3, 4)), camera)
            for depth in z:
                ends.append(rays.origins + rays.lengths_to(depth) * rays.directions)
        xy = torch.cat(ends)[:, :2]
        pad = SIDE_MARGIN * (xy.amax(0) - xy.amin(0))
        low, high = (xy.amin(0) - pad).tolist(), (xy.amax(0) + pad).tolist()
        return NdcCube(camera, (low[0], low[1], z[0]), (high[0], high[1], z[1]))
