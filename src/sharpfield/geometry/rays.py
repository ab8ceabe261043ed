"""Rays through pixels."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from sharpfield.geometry.camera import Camera


@dataclass(frozen=True)
class Rays:
    """Rays in world space, scene units; directions have camera depth 1, not unit length."""

    origins: Float[Tensor, "rays 3"]
    directions: Float[Tensor, "rays 3"]

    def __len__(self) -> int:
        return len(self.origins)

    def __getitem__(self, index: slice) -> Rays:
        return Rays(self.origins[index], self.directions[index])

    def lengths_to(self, z: Float[Tensor, "*planes"] | float) -> Float[Tensor, "rays planes"]:
        """Where each ray meets planes of equal ``z``, in units of its direction.

        ``z`` is one number, that of several planes, or (rays, 1) numbers, one for each ray.
        """
        return (z - self.origins[:, 2:]) / self.directions[:, 2:]


def camera_directions(xy: Float[Tensor, "rays 2"], camera: Camera) -> Float[Tensor, "rays 3"]:
    """Directions in camera axes through image points ``xy`` (pixels, centres at +0.5)."""
    x = (xy[:, 0] - camera.centre_x) / camera.focal_x
    y = (camera.centre_y - xy[:, 1]) / camera.focal_y
    return torch.stack([x, y, -torch.ones_like(x)], dim=1)


def image_points(directions: Float[Tensor, "*rays 3"], camera: Camera) -> Float[Tensor, "*rays 2"]:
    """Image points (pixels, centres at +0.5) of directions in camera axes, of any length.

    The inverse of ``camera_directions``.
    """
    x, y, z = directions.unbind(-1)
    return torch.stack(
        [camera.centre_x - camera.focal_x * x / z, camera.centre_y + camera.focal_y * y / z], dim=-1
    )


def rays_from_poses(directions: Float[Tensor, "rays 3"], poses: Float[Tensor, "rays 3 4"]) -> Rays:
    """Carry camera-space directions into the world by one camera-to-world pose per ray."""
    world = (poses[:, :, :3] * directions[:, None, :]).sum(-1)
    return Rays(poses[:, :, 3], world)


def pixel_centres(camera: Camera) -> Float[Tensor, "pixels 2"]:
    """Centres of all pixels, row by row."""
    y, x = torch.meshgrid(
        torch.arange(camera.height) + 0.5, torch.arange(camera.width) + 0.5, indexing="ij"
    )
    return torch.stack([x, y], dim=-1).reshape(-1, 2)
