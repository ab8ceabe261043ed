from __future__ import annotations

import torch
from torch import Tensor

from sharpfield.geometry.camera import Camera
from sharpfield.geometry.ndc import NdcCube
from sharpfield.geometry.rays import Rays
from sharpfield.geometry.se3 import exponential
from sharpfield.ops.ray_maps import cube_rays, pixel_rays

CAMERA = Camera(24, 16, 20.0, 21.0, 12.0, 8.0)
CUBE = NdcCube(CAMERA, (-1.2, -1.1, -0.8), (1.3, 1.2, 0.9))
PIXELS, RAYS = 5, 11


def random_poses() -> Tensor:
    return exponential(0.2 * torch.randn(RAYS, 6, generator=torch.Generator().manual_seed(2)))


def random_pixels() -> tuple[Tensor, Tensor]:
    """Image points, and which of them each ray goes through."""
    random = torch.Generator().manual_seed(3)
    xy = torch.rand(PIXELS, 2, generator=random) * torch.tensor([24.0, 16.0])
    return xy, torch.randint(PIXELS, (RAYS,), generator=random)


def world_rays(poses: Tensor) -> Rays:
    xy, pixel = random_pixels()
    return pixel_rays(xy.to(poses.dtype), pixel, poses, CAMERA)


def assert_same(rays: Rays, exact: Rays, inputs: list[Tensor], exact_inputs: list[Tensor]) -> None:
    """Values and gradients; ``exact`` is the twin, which is what takes double precision."""
    torch.testing.assert_close(rays.origins, exact.origins.float(), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(rays.directions, exact.directions.float(), rtol=1e-5, atol=1e-5)
    random = torch.Generator().manual_seed(4)
    upstream = [torch.randn(RAYS, 3, generator=random) for _ in range(2)]
    found = torch.autograd.grad([rays.origins, rays.directions], inputs, upstream)
    exact_upstream = [gradient.double() for gradient in upstream]
    truth = torch.autograd.grad([exact.origins, exact.directions], exact_inputs, exact_upstream)
    for one, other in zip(found, truth, strict=True):
        torch.testing.assert_close(one, other.float(), rtol=1e-4, atol=1e-4)


def test_rays_through_poses_match_the_reference_in_double_precision() -> None:
    poses = random_poses().requires_grad_()
    exact = poses.detach().double().requires_grad_()
    assert_same(world_rays(poses), world_rays(exact), [poses], [exact])


def test_rays_into_the_cube_match_the_reference_in_double_precision() -> None:
    rays = world_rays(random_poses())
    inputs = [rays.origins.requires_grad_(), rays.directions.requires_grad_()]
    exact = [tensor.detach().double().requires_grad_() for tensor in inputs]
    inside = cube_rays(Rays(*inputs), CUBE)
    assert torch.equal(inside.origins[:, 2], torch.zeros(RAYS))
    assert torch.equal(inside.directions[:, 2], torch.ones(RAYS))
    assert_same(inside, cube_rays(Rays(*exact), CUBE), inputs, exact)
