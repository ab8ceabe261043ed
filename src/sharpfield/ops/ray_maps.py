"""Rays through poses, and world rays into the unit cube: small, but asked for at every step."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from sharpfield.geometry.camera import Camera
from sharpfield.geometry.ndc import NdcCube
from sharpfield.geometry.rays import Rays, camera_directions, rays_from_poses
from sharpfield.ops import ray_maps_cpu
from sharpfield.ops.dispatch import arrays, use_cpu_kernels


def pixel_rays(
    xy: Float[Tensor, "pixels 2"],
    pixel: Int[Tensor, " rays"],
    poses: Float[Tensor, "rays 3 4"],
    camera: Camera,
) -> Rays:
    """World rays through the image points ``xy[pixel]``, seen from camera-to-world ``poses``.

    Differentiable in the poses.
    """
    if use_cpu_kernels(xy, poses):
        return Rays(*_PixelRays.apply(xy, pixel, poses, camera))
    return rays_from_poses(camera_directions(xy, camera)[pixel], poses)


def cube_rays(rays: Rays, cube: NdcCube) -> Rays:
    """As ``cube.rays``, its twin in plain torch."""
    if use_cpu_kernels(rays.origins, rays.directions):
        return Rays(*_CubeRays.apply(rays.origins, rays.directions, cube))
    return cube.rays(rays)


class _PixelRays(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, xy: Tensor, pixel: Tensor, poses: Tensor, camera: Camera
    ) -> tuple[Tensor, Tensor]:
        origins, directions = torch.empty(len(pixel), 3), torch.empty(len(pixel), 3)
        optics = (camera.focal_x, camera.focal_y, camera.centre_x, camera.centre_y)
        ray_maps_cpu.pixel_rays(optics, *arrays(xy, pixel, poses, origins, directions))
        ctx.optics, ctx.seen = optics, arrays(xy, pixel)
        return origins, directions

    @staticmethod
    def backward(
        ctx: Any, d_origins: Tensor, d_directions: Tensor
    ) -> tuple[None, None, Tensor, None]:
        d_poses = torch.empty(len(d_origins), 3, 4)
        downstream = arrays(d_origins, d_directions, d_poses)
        ray_maps_cpu.pixel_rays_gradient(ctx.optics, *ctx.seen, *downstream)
        return None, None, d_poses, None


class _CubeRays(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, origins: Tensor, directions: Tensor, cube: NdcCube
    ) -> tuple[Tensor, Tensor]:
        enter, across = torch.empty(len(origins), 3), torch.empty(len(origins), 3)
        ctx.known = [*arrays(origins, directions), *cube.ends]
        ray_maps_cpu.cube_rays(*ctx.known, *arrays(enter, across))
        return enter, across

    @staticmethod
    def backward(ctx: Any, d_enter: Tensor, d_across: Tensor) -> tuple[Tensor, Tensor, None]:
        d_origins, d_directions = torch.empty(d_enter.shape), torch.empty(d_enter.shape)
        downstream = arrays(d_enter, d_across, d_origins, d_directions)
        ray_maps_cpu.cube_rays_gradient(*ctx.known, *downstream)
        return d_origins, d_directions, None
