"""Normalised device coordinates of forward-facing scenes, and the unit cube that holds them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from sharpfield.geometry.rays import Rays, camera_directions, rays_from_poses
from sharpfield.geometry.camera import Camera


def to_ndc(rays: Rays, camera: Camera, near: float = 1.0) -> Rays:
    """Rays in NDC: ``t`` = 0 on the near plane, 1 at infinity (Mildenhall et al. 2020, appendix C)."""
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


@dataclass(frozen=True)
class NdcCube:
    """The map from world rays to rays through the unit cube that the field lives in.

    ``low`` and ``high`` bound the x and y that the training views see in NDC; z spans [-1, 1].
    """

    camera: Camera
    low: tuple[float, float]
    high: tuple[float, float]

    def rays(self, rays: Rays) -> Rays:
        """World rays to cube rays; the part inside the cube has ``t`` in [0, 1]."""
        ndc = to_ndc(rays, self.camera)
        low = ndc.origins.new_tensor([*self.low, -1.0])
        size = ndc.origins.new_tensor([*self.high, 1.0]) - low
        return Rays((ndc.origins - low) / size, ndc.directions / size)

    @staticmethod
    def around(
        camera: Camera, poses: Float[Tensor, "views 3 4"], margin: float = 0.05
    ) -> NdcCube:
        """The cube around all frustums of ``poses``, with a relative ``margin`` for the motions."""
        corners = torch.tensor(
            [[x, y] for x in (0.0, float(camera.width)) for y in (0.0, float(camera.height))]
        )
        directions = camera_directions(corners, camera)
        ends = []
        for pose in poses:
            from_view = to_ndc(rays_from_poses(directions, pose.expand(len(corners), 3, 4)), camera)
            ends += [from_view.origins, from_view.origins + from_view.directions]
        xy = torch.cat(ends)[:, :2]
        low, high = xy.amin(0), xy.amax(0)
        pad = margin * (high - low)
        low, high = low - pad, high + pad
        return NdcCube(
            camera, (float(low[0]), float(low[1])), (float(high[0]), float(high[1]))
        )
