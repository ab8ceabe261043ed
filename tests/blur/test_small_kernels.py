"""Kernels of few rays, which have motions and weights of their own."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from tests.blur.models import (
    CAMERA,
    FIRST,
    HARD,
    MOTIONS,
    RAYS,
    SOFT,
    VIEWS,
    config,
    dynamic,
    dynamic_lens,
    dynamic_network,
    kernel_of,
    pixels_moved,
    random_pixels,
    stir,
)
from torch import Tensor

from sharpfield.blur.dynamic import DynamicBlur
from sharpfield.blur.kernel import Phase
from sharpfield.blur.motions import Course
from sharpfield.blur.small_kernels import SmallKernels, between, rays_of_size

Builder = Callable[[], DynamicBlur]
BUILDERS: tuple[Builder, ...] = (dynamic, dynamic_lens, dynamic_network)


def parts(rays: int) -> Tensor:
    """Middles of equal parts of a path, less that in the middle of them, which is the origin's."""
    middles = (torch.arange(rays) + 0.5) / rays
    return torch.cat([middles[: rays // 2], middles[rays // 2 + 1 :]])


@pytest.mark.parametrize("motions", [3, 4, 6, 7, 12])
@pytest.mark.parametrize("even", [False, True])
def test_weights_of_every_size_sum_to_one(motions: int, even: bool) -> None:
    blur = config(motions=motions, even_weights=even)
    small = SmallKernels(motions, 8, blur)
    stir(small)
    code, twists = torch.randn(VIEWS, 8), torch.randn(VIEWS, motions, 6)
    whole = torch.rand(VIEWS, motions + 1).softmax(1)
    paths = small(Course(code, whole, twists), torch.ones(6))
    assert paths.weights.shape == (VIEWS, motions + 1, motions + 1 + paths.twists.shape[1])
    torch.testing.assert_close(paths.weights.sum(2), torch.ones(VIEWS, motions + 1))
    assert torch.equal(paths.weights[:, -1, : motions + 1], whole)
    rays = (paths.weights > 0).sum(2)
    sizes = torch.arange(1.0, motions + 2)
    assert (rays == rays_of_size(sizes, motions + 1)).all() and (rays >= sizes).all()


@pytest.mark.parametrize("motions", [2, 3, 6, 8, 12])
def test_they_start_where_they_cut_a_straight_smear_into_equal_parts(motions: int) -> None:
    whole = parts(motions + 1)
    for nodes in range(2, motions, 2):
        torch.testing.assert_close(between(nodes, motions) @ whole, parts(nodes + 1))


def test_they_never_cross_the_origin() -> None:
    """A path that is bent in its middle does not pass through it."""
    for nodes in (2, 4):
        shares = between(nodes, MOTIONS)
        first, last = shares[: nodes // 2], shares[nodes // 2 :]
        assert not first[:, MOTIONS // 2 :].any() and not last[:, : MOTIONS // 2].any()


@pytest.mark.parametrize("builder", [dynamic, dynamic_network])
def test_the_given_pose_stays_the_centre_of_every_kernel(builder: Builder) -> None:
    model = builder()
    stir(model)
    assert model.small is not None
    paths = model.small(model.motions.course(), model.motions.unit)
    for size in model.small.sizes:
        weights = paths.weights[:, size - 1, RAYS:]
        assert (weights > 0).sum(1).eq(size - 1).all()
        mean = (weights[:, :, None] * paths.twists).sum(1)
        torch.testing.assert_close(mean, torch.zeros_like(mean), atol=1e-5, rtol=0)


@pytest.mark.parametrize("builder", BUILDERS)
@pytest.mark.parametrize("size", range(1, RAYS + 1))
def test_a_pixel_has_the_next_odd_number_of_rays(builder: Builder, size: int) -> None:
    model = builder()
    stir(model)
    model.sizes.fill_(size)
    pixels = random_pixels()
    kernel = kernel_of(model, pixels, HARD)
    rays = size + (size + 1) % 2
    assert torch.equal(kernel.pixel, torch.arange(len(pixels)).repeat_interleave(rays))
    assert torch.equal(kernel.motion.view(-1, rays), torch.arange(rays).expand(len(pixels), rays))
    sums = kernel.weights.view(-1, rays).sum(1)
    torch.testing.assert_close(sums, torch.ones_like(sums))
    centres = model.centres()[pixels.view]
    torch.testing.assert_close(kernel.poses.view(-1, rays, 3, 4)[:, 0], centres)


def test_at_first_they_spread_about_as_far_as_the_whole_kernel() -> None:
    model = dynamic(freedom=0.0, path_points=2, start_pixels=3.0)
    whole = pixels_moved(model.motion_poses()).square().mean(1).sqrt()
    for size in (3, 5):
        model.sizes.fill_(size)
        pixels = random_pixels()
        poses = kernel_of(model, pixels, HARD).poses.view(-1, size, 3, 4)
        moved = pixels_moved(poses).square().mean(1).sqrt()
        assert ((moved / whole[pixels.view]) > 0.9).all()
        assert ((moved / whole[pixels.view]) < 1.2).all()


@pytest.mark.parametrize("size", [3, 5])
def test_pixels_that_have_them_teach_them(size: int) -> None:
    model = dynamic()
    stir(model)
    model.sizes.fill_(size)
    kernel = kernel_of(model, random_pixels(), HARD)
    (kernel.poses.square().sum() + kernel.weights.square().sum()).backward()
    assert model.small is not None
    own = 6 * (2 if size == 3 else 4)
    first = 0 if size == 3 else 12
    gradient = model.small.free_head.weight.grad
    assert gradient is not None and gradient[first : first + own].abs().sum(1).all()
    assert gradient.abs().sum(1).count_nonzero() == own
    weights = model.small.weight_head.weight.grad
    assert weights is not None and weights.abs().sum(1).count_nonzero() == size


@pytest.mark.parametrize("phase", [FIRST, SOFT])
def test_before_gates_are_hard_there_are_none(phase: Phase) -> None:
    with_them, without = dynamic(), dynamic(ray_spacing=0)
    without.load_state_dict(with_them.state_dict(), strict=False)
    pixels = random_pixels()
    ours, theirs = (kernel_of(model, pixels, phase) for model in (with_them, without))
    assert torch.equal(ours.poses, theirs.poses) and torch.equal(ours.weights, theirs.weights)


class TestLimits:
    def test_a_pixel_has_a_ray_for_each_half_pixel_of_its_smear(self) -> None:
        model = dynamic(ray_spacing=0.5)
        pixels = model.grid(2)
        assert (pixels.view == 2).all()
        for extent, rays in ((0.0, 1), (0.9, 3), (1.9, 5), (9.0, RAYS)):
            model.limit(2, torch.full((len(pixels),), extent))
            kernel = kernel_of(model, pixels, HARD)
            assert (torch.bincount(kernel.pixel) == rays).all()
            assert (model.masks(2).sum(0) == rays).all()
            assert model.costs(HARD)[2] == min(1 + extent / 0.5, RAYS)
            assert (model.costs(HARD)[[0, 1, 3, 4]] == RAYS).all()

    def test_the_mask_may_want_less(self) -> None:
        model = dynamic()
        model.limit(2, torch.full((len(model.grid(2)),), 100.0))
        model.sizes.fill_(3.0)
        assert (torch.bincount(kernel_of(model, model.grid(2), HARD).pixel) == 3).all()

    def test_places_are_those_of_the_map(self) -> None:
        """A smear that grows to the right and downwards lets rays grow there."""
        model = dynamic(ray_spacing=1.0)
        pixels = model.grid(1)
        assert pixels.xy.min() > 0 and (pixels.xy.max(0).values < torch.tensor([24.0, 16.0])).all()
        model.limit(1, pixels.xy @ torch.tensor([1.0, 100.0]))
        rows, columns = model.limits.shape[1:]
        y = (torch.arange(rows) + 0.5) * CAMERA.height / rows
        x = (torch.arange(columns) + 0.5) * CAMERA.width / columns
        torch.testing.assert_close(model.limits[1], 1.0 + x + 100.0 * y[:, None])

    def test_only_hard_gates_know_of_them(self) -> None:
        model = dynamic(first_size=RAYS)
        before = len(kernel_of(model, random_pixels(), SOFT))
        for view in range(VIEWS):
            model.limit(view, torch.zeros(len(model.grid(view))))
        assert len(kernel_of(model, random_pixels(), SOFT)) == before
        assert len(kernel_of(model, random_pixels(), HARD)) == len(random_pixels())
        assert len(model.whole_kernel(random_pixels())) == RAYS * len(random_pixels())
