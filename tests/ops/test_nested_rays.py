"""The numba kernel against its twin, and the laws that both obey."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from sharpfield.geometry.camera import Camera
from sharpfield.ops.nested_rays import (
    Nest,
    Opening,
    PackedRays,
    bilinear,
    mean_sizes,
    mean_sizes_reference,
    nested_rays,
    nested_rays_reference,
)

CAMERA = Camera(24, 16, 30.0, 30.0, 12.0, 8.0)
VIEWS, MOTIONS, PIXELS = 5, 7, 300
TEMPERATURES = (1.0, 0.2, 0.0)


def random_nest(renormalise: bool = True) -> Nest:
    random = torch.Generator().manual_seed(1)
    rank = torch.stack([torch.randperm(MOTIONS - 1, generator=random) + 1 for _ in range(VIEWS)])
    rank = torch.cat([torch.zeros(VIEWS, 1, dtype=torch.int64), rank], dim=1)
    base = torch.rand(VIEWS, 1, MOTIONS, generator=random) + 0.1
    sized = base * (rank[:, None] <= torch.arange(MOTIONS)[:, None])
    poses = torch.randn(VIEWS, MOTIONS, 3, 4, generator=random)
    return Nest(sized.requires_grad_(), poses.requires_grad_(), renormalise)


def random_maps(low: float = -2.0, high: float = MOTIONS + 2.0) -> Tensor:
    random = torch.Generator().manual_seed(2)
    return low + (high - low) * torch.rand(VIEWS, 6, 8, generator=random)


def random_pixels() -> tuple[Tensor, Tensor]:
    """Views, and image points up to the edges."""
    random = torch.Generator().manual_seed(3)
    xy = torch.rand(PIXELS, 2, generator=random) * torch.tensor([24.0, 16.0])
    return torch.randint(VIEWS, (PIXELS,), generator=random), xy


def opening(temperature: float, most: int = MOTIONS) -> Opening:
    """The second view is closed."""
    limits = torch.full((VIEWS,), most)
    limits[1] = 1
    return Opening(-1.0, 1.3, temperature, limits)


def gradients(rays: PackedRays, nest: Nest) -> list[Tensor]:
    random = torch.Generator().manual_seed(4)
    upstream = [torch.randn(t.shape, generator=random) for t in (rays.poses, rays.weights)]
    return list(torch.autograd.grad([rays.poses, rays.weights], [nest.sized, nest.poses], upstream))


@pytest.mark.parametrize("renormalise", [True, False])
@pytest.mark.parametrize("most", [MOTIONS, 3, 1])
@pytest.mark.parametrize("temperature", TEMPERATURES)
def test_the_kernel_is_its_twin(temperature: float, most: int, renormalise: bool) -> None:
    nest = random_nest(renormalise)
    given = (random_maps(), *random_pixels(), CAMERA, opening(temperature, most), nest)
    ours, theirs = nested_rays(*given), nested_rays_reference(*given)
    assert torch.equal(ours.pixel, theirs.pixel) and torch.equal(ours.motion, theirs.motion)
    assert torch.equal(ours.poses, theirs.poses)
    torch.testing.assert_close(ours.weights, theirs.weights)
    for one, other in zip(gradients(ours, nest), gradients(theirs, nest), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("temperature", TEMPERATURES)
def test_weights_of_a_pixel_sum_to_one(temperature: float) -> None:
    view, xy = random_pixels()
    rays = nested_rays(random_maps(), view, xy, CAMERA, opening(temperature), random_nest())
    sums = torch.zeros(PIXELS).index_add(0, rays.pixel, rays.weights.detach())
    torch.testing.assert_close(sums, torch.ones(PIXELS))
    closed = view[rays.pixel] == 1
    assert closed.any() and (rays.motion[closed] == 0).all() and (rays.weights[closed] == 1).all()


def test_hard_sizes_are_as_many_rays() -> None:
    view, xy = random_pixels()
    maps = random_maps()
    limits = torch.full((VIEWS,), MOTIONS)
    rays = nested_rays(maps, view, xy, CAMERA, Opening(0.0, 1.0, 0.0, limits), random_nest())
    wanted = bilinear(maps, view, xy, CAMERA)
    expected = (wanted - 0.5).ceil().clamp(1, MOTIONS).long()
    assert torch.equal(torch.bincount(rays.pixel, minlength=PIXELS), expected)


def test_no_pixels() -> None:
    view, xy = torch.zeros(0, dtype=torch.int64), torch.zeros(0, 2)
    nest = random_nest()
    rays = nested_rays(random_maps(), view, xy, CAMERA, opening(0.0), nest)
    assert len(rays.pixel) == len(rays.weights) == 0 and rays.poses.shape == (0, 3, 4)
    assert all(not gradient.any() for gradient in gradients(rays, nest))


def test_gates_far_from_their_size_are_no_nan() -> None:
    view, xy = random_pixels()
    for size in (-1e4, 1e4):
        maps = torch.full((VIEWS, 6, 8), size)
        rays = nested_rays(maps, view, xy, CAMERA, opening(0.01), random_nest())
        assert rays.weights.isfinite().all()


@pytest.mark.parametrize("rows", [1, 6, 33])
def test_mean_sizes_are_their_twin(rows: int) -> None:
    random = torch.Generator().manual_seed(5)
    maps = -2.0 + 12.0 * torch.rand(VIEWS, rows, 8, generator=random)
    ours = mean_sizes(maps, opening(0.0, 5))
    torch.testing.assert_close(ours, mean_sizes_reference(maps, opening(0.0, 5)))
    assert ours[1] == 1.0 and (ours >= 1.0).all() and (ours <= 5.0).all()


def test_mean_sizes_are_the_rays_of_a_pixel() -> None:
    """Where a map is the same all over, as many as its pixels have."""
    maps = torch.tensor([0.3, 2.0, 3.0, 6.0, 9.0])[:, None, None].expand(VIEWS, 6, 8)
    limits = torch.full((VIEWS,), MOTIONS)
    hard = Opening(0.0, 1.0, 0.0, limits)
    view, xy = random_pixels()
    rays = nested_rays(maps.contiguous(), view, xy, CAMERA, hard, random_nest())
    counts = torch.bincount(rays.pixel, minlength=PIXELS).float()
    assert torch.equal(mean_sizes(maps, hard)[view], counts)
