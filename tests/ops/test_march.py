from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor

from sharpfield.ops.march import (
    LARGEST_STEP,
    Limits,
    Samples,
    march,
    sample_points,
    walk_reference,
)

STEPS = 150
"""More than two blocks of the kernels."""

LIMITS = Limits(thin=0.05, opaque=6.0)


def random_rays(rays: int = 60) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Rays that enter, cross and miss the cube: origins, directions, offsets, step lengths."""
    random = torch.Generator().manual_seed(3)
    origins = torch.rand(rays, 3, generator=random) * 1.4 - 0.2
    directions = torch.randn(rays, 3, generator=random)
    offsets = torch.rand(rays, generator=random)
    return origins, directions, offsets, directions.norm(dim=1) / STEPS


def random_grid() -> Tensor:
    """A third of the cells is empty, some are nearly opaque."""
    random = torch.Generator().manual_seed(4)
    density = torch.rand(9, 7, 5, generator=random) ** 6 * 100
    return density * (torch.rand(9, 7, 5, generator=random) > 0.3)


def expected(rays: tuple[Tensor, Tensor, Tensor, Tensor], density: Tensor) -> list[list[float]]:
    """Kept places of each ray according to the reference walk."""
    origins, directions, offsets, step_length = rays
    slots, counts = walk_reference(
        origins, directions, offsets, step_length, STEPS, density, LIMITS
    )
    return [((slots[r, : counts[r]] + offsets[r]) / STEPS).tolist() for r in range(len(origins))]


def marched(rays: tuple[Tensor, Tensor, Tensor, Tensor], density: Tensor) -> Samples:
    origins, directions, offsets, step_length = rays
    return march(origins, directions, offsets, STEPS, step_length, density, LIMITS)


def per_ray(samples: Samples) -> list[list[float]]:
    starts = samples.starts.tolist()
    return [samples.t[a:b].tolist() for a, b in pairwise(starts)]


def test_kernel_matches_the_reference_walk() -> None:
    rays, density = random_rays(), random_grid()
    samples = marched(rays, density)
    places = expected(rays, density)
    lengths = torch.tensor([len(places_of_ray) for places_of_ray in places])
    assert 1 < lengths.float().mean() < STEPS - 1
    assert torch.equal(samples.starts.diff(), lengths)
    assert torch.equal(samples.ray, torch.repeat_interleave(torch.arange(len(places)), lengths))
    for ours, theirs in zip(per_ray(samples), places, strict=True):
        torch.testing.assert_close(torch.tensor(ours), torch.tensor(theirs))


def test_other_devices_and_types_pack_the_same_samples() -> None:
    rays, density = random_rays(), random_grid()
    fast = marched(rays, density)
    origins, directions, offsets, step_length = (tensor.double() for tensor in rays)
    slow = march(origins, directions, offsets, STEPS, step_length, density.double(), LIMITS)
    assert torch.equal(fast.starts, slow.starts) and torch.equal(fast.ray, slow.ray)
    torch.testing.assert_close(fast.t, slow.t.float())


def test_rays_of_no_number_and_of_huge_ones_stay_in_the_grid() -> None:
    rays, density = random_rays(), random_grid()
    for number, value in enumerate((float("nan"), float("inf"), -float("inf"), 1e30, -1e30)):
        rays[0][number] = value
    samples = marched(rays, density)
    assert samples.starts.diff().min() >= 1 and samples.starts.diff().max() <= STEPS
    nowhere, beyond = per_ray(samples)[0], expected(rays, density)[0]
    torch.testing.assert_close(torch.tensor(nowhere), torch.tensor(beyond))


def test_an_empty_grid_leaves_the_last_step_only() -> None:
    rays = random_rays()
    samples = marched(rays, torch.zeros(4, 4, 4))
    assert torch.equal(samples.starts, torch.arange(61))
    torch.testing.assert_close(samples.t, (STEPS - 1 + rays[2]) / STEPS)


def test_nothing_is_sampled_behind_an_opaque_place() -> None:
    origins, directions, offsets, step_length = random_rays()
    step_length = torch.ones_like(step_length)
    for share in (0.34, 0.24, 0.11):
        density = torch.full((4, 4, 4), share * LIMITS.opaque)
        samples = marched((origins, directions, offsets, step_length), density)
        assert (samples.starts.diff() == int(1 / share) + 1).all()
        torch.testing.assert_close(samples.t[samples.starts[:-1]], offsets / STEPS)


def test_one_cell_hides_nothing_however_dense() -> None:
    """The surface may lie behind where the ray crosses it."""
    origins, directions, offsets, step_length = random_rays()
    samples = marched((origins, directions, offsets, step_length), torch.full((4, 4, 4), 1e6))
    assert (samples.starts.diff() == int(1 / LARGEST_STEP) + 1).all()


def test_sample_points_and_their_gradients() -> None:
    rays = random_rays()
    samples = marched(rays, random_grid())
    origins, directions = rays[0].requires_grad_(), rays[1].requires_grad_()
    fast = sample_points(origins, directions, samples)
    slow = origins[samples.ray] + samples.t[:, None] * directions[samples.ray]
    torch.testing.assert_close(fast, slow)
    upstream = torch.randn(slow.shape, generator=torch.Generator().manual_seed(5))
    for ours, theirs in zip(
        torch.autograd.grad(fast, (origins, directions), upstream),
        torch.autograd.grad(slow, (origins, directions), upstream),
        strict=True,
    ):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)
    double = sample_points(origins.detach().double(), directions.detach().double(), samples)
    torch.testing.assert_close(fast, double.float())
