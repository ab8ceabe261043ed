"""Deblur-NeRF's kernel: where its rays go, how it starts, and what holds its first point."""

from __future__ import annotations

import pytest
import torch
from tests.blur.models import (
    CAMERA,
    FIRST,
    RAYS,
    VIEWS,
    WARM,
    given_poses,
    kernel_of,
    none,
    own_loss,
    random_colours,
    random_pixels,
    sparse,
    stir,
)
from torch import Tensor

from sharpfield.blur.kernel import Kernel, Pixels
from sharpfield.blur.sparse import SparseBlur, SparsePoints, camera_matrices
from sharpfield.config import SparseConfig
from sharpfield.geometry.rays import Rays, camera_directions, rays_from_poses


def stirred() -> SparseBlur:
    model = sparse()
    stir(model)
    return model


def points_of(model: SparseBlur, pixels: Pixels) -> SparsePoints:
    return model.motions.at(pixels)


def image_offsets(model: SparseBlur, pixels: Pixels, kernel: Kernel) -> Tensor:
    """Where the kernel's rays pass at depth 1 of their view's camera: (pixels, points, 2)."""
    rays = rays_from_poses(camera_directions(pixels.xy, CAMERA)[kernel.pixel], kernel.poses)
    given = model.poses[pixels.view[kernel.pixel]]
    at = rays.origins + rays.directions - given[:, :, 3]
    local = torch.einsum("rij,ri->rj", given[:, :, :3], at)
    torch.testing.assert_close(local[:, 2], -torch.ones(len(kernel)))
    x = local[:, 0] * CAMERA.focal_x + CAMERA.centre_x
    y = CAMERA.centre_y - local[:, 1] * CAMERA.focal_y
    crossed = torch.stack([x, y], dim=1) - pixels.xy[kernel.pixel]
    return crossed.view(kernel.pixels, -1, 2)


def alignment(model: SparseBlur, pixels: Pixels) -> Tensor:
    kernel = kernel_of(model, pixels, FIRST)
    return own_loss(model, kernel, pixels, random_colours(len(kernel)))


class TestRays:
    def rays(self, xy: Tensor, image: Tensor, origin: Tensor) -> Rays:
        return rays_from_poses(
            camera_directions(xy, CAMERA), camera_matrices(image, origin, CAMERA)
        )

    def test_they_are_those_of_the_paper(self) -> None:
        random = torch.Generator().manual_seed(1)
        xy, image = (torch.rand(2, 50, 2, generator=random) * 12).unbind(0)
        origin = torch.rand(50, 2, generator=random) * 0.3
        rays = self.rays(xy, image, origin)
        (x, y), (u, v), (tx, ty) = xy.T, image.T, origin.T
        torch.testing.assert_close(rays.origins, torch.stack([tx, ty, torch.zeros_like(tx)], dim=1))
        across = (x - CAMERA.centre_x + u) / CAMERA.focal_x - tx
        up = -(y - CAMERA.centre_y + v) / CAMERA.focal_y - ty
        expected = torch.stack([across, up, -torch.ones_like(tx)], dim=1)
        torch.testing.assert_close(rays.directions, expected)

    def test_an_offset_shows_the_colour_of_another_pixel(self) -> None:
        xy, image = torch.tensor([[3.5, 4.5]]), torch.tensor([[2.0, -3.0]])
        ours = self.rays(xy, image, torch.zeros(1, 2))
        torch.testing.assert_close(ours.directions, camera_directions(xy + image, CAMERA))
        assert (ours.origins == 0).all()

    def test_a_kernel_follows_the_points_of_its_pixels(self) -> None:
        model, pixels = stirred(), random_pixels()
        kernel, points = kernel_of(model, pixels, FIRST), points_of(model, pixels)
        torch.testing.assert_close(
            image_offsets(model, pixels, kernel), points.image, rtol=1e-4, atol=1e-4
        )
        given = model.poses[pixels.view]
        moved = kernel.poses[:, :, 3].view(len(pixels), RAYS, 3) - given[:, None, :, 3]
        local = torch.einsum("nij,npi->npj", given[:, :, :3], moved)
        torch.testing.assert_close(local[..., :2], points.origin, rtol=1e-4, atol=1e-6)
        torch.testing.assert_close(local[..., 2], torch.zeros(len(pixels), RAYS))
        assert torch.equal(kernel.weights.view(-1, RAYS), points.weights)

    def test_rays_without_offsets_are_plain_nerf(self) -> None:
        model, pixels = sparse(), random_pixels()
        with torch.no_grad():
            model.motions.canonical.zero_()
            model.motions.head.weight.zero_()
        kernel = kernel_of(model, pixels, FIRST)
        plain = kernel_of(none(), pixels, FIRST)
        torch.testing.assert_close(kernel.poses, plain.poses[kernel.pixel])
        colours = random_colours(len(pixels))
        torch.testing.assert_close(kernel.blend(colours[kernel.pixel]), plain.blend(colours))


class TestKernel:
    def test_a_pixel_does_not_depend_on_the_rest_of_the_batch(self) -> None:
        model, pixels = stirred(), random_pixels()
        shuffle = torch.randperm(len(pixels), generator=torch.Generator().manual_seed(1))
        whole = kernel_of(model, pixels, FIRST)
        poses, weights = whole.poses.view(-1, RAYS, 3, 4), whole.weights.view(-1, RAYS)
        for chosen in (shuffle, shuffle[:7], shuffle[:1]):
            part = kernel_of(model, Pixels(pixels.view[chosen], pixels.xy[chosen]), FIRST)
            torch.testing.assert_close(part.poses.view(-1, RAYS, 3, 4), poses[chosen])
            torch.testing.assert_close(part.weights.view(-1, RAYS), weights[chosen])

    def test_it_varies_over_the_photo_and_from_view_to_view(self) -> None:
        model = stirred()
        corner, centre = torch.tensor([1.5, 1.5]), torch.tensor([12.0, 8.0])
        view = torch.tensor([0, 0, 1])
        points = points_of(model, Pixels(view, torch.stack([corner, centre, corner])))
        for other in (1, 2):
            assert (points.image[0] - points.image[other]).abs().max() > 0.1
            assert (points.weights[0] - points.weights[other]).abs().max() > 1e-3

    def test_views_as_a_whole_are_seen_at_the_centre_of_the_photo(self) -> None:
        model = stirred()
        middle = torch.tensor([[CAMERA.width / 2, CAMERA.height / 2]]).expand(VIEWS, 2)
        kernel = kernel_of(model, Pixels(torch.arange(VIEWS), middle), FIRST)
        torch.testing.assert_close(model.motion_poses().flatten(0, 1), kernel.poses)
        torch.testing.assert_close(model.base_weights().flatten(), kernel.weights)

    def test_every_ray_is_rendered(self) -> None:
        model = stirred()
        assert (model.masks(2) == 1).all()
        assert model.masks(2).shape == (RAYS, CAMERA.height, CAMERA.width)
        assert (model.costs(FIRST) == RAYS).all() and (model.costs(WARM) == 1).all()
        kernel = kernel_of(model, random_pixels(), FIRST)
        assert (torch.bincount(kernel.pixel) == RAYS).all()

    def test_it_starts_near_plain_nerf(self) -> None:
        model, pixels = sparse(), random_pixels()
        points = points_of(model, pixels)
        assert 0.6 < points.image.square().mean().sqrt() < 1.4
        assert points.origin.abs().max() < 0.01
        torch.testing.assert_close(
            points.weights, torch.full_like(points.weights, 1 / RAYS), rtol=0.5, atol=0.0
        )

    def test_canonical_points_stay_in_their_window(self) -> None:
        model = sparse(window=4.0)
        with torch.no_grad():
            model.motions.canonical.mul_(1e4)
            model.motions.head.weight.zero_()
        image = points_of(model, random_pixels()).image
        torch.testing.assert_close(image.abs(), torch.full_like(image, 4.0))

    def test_the_published_size(self) -> None:
        """25,113 parameters for 34 views and 5 points."""
        poses = given_poses()[:1].expand(34, 3, 4)
        model = SparseBlur(poses, 4, SparseConfig(), CAMERA)
        assert sum(parameter.numel() for parameter in model.parameters()) == 25_113


class TestJitter:
    def test_it_has_the_width_asked_for_and_comes_from_the_generator(self) -> None:
        model, pixels = sparse(jitter=0.2), random_pixels(2000)
        with torch.no_grad():
            model.motions.head.weight.zero_()
        generator = torch.Generator().manual_seed(3)
        state = generator.get_state()
        first = model.training_kernel(pixels, FIRST, generator)
        moved = image_offsets(model, pixels, first) - points_of(model, pixels).image
        assert 0.19 < moved.std() < 0.21 and moved.mean().abs() < 0.01
        other = model.training_kernel(pixels, FIRST, generator)
        assert not torch.equal(first.poses, other.poses)
        torch.rand(5)
        again = model.training_kernel(pixels, FIRST, generator.set_state(state))
        assert torch.equal(first.poses, again.poses)

    def test_pictures_and_warm_up_take_no_chances(self) -> None:
        model, pixels = stirred(), random_pixels()
        before, generator = torch.get_rng_state(), torch.Generator().manual_seed(3)
        state = generator.get_state()
        first, second = (kernel_of(model, pixels, FIRST) for _ in range(2))
        assert torch.equal(first.poses, second.poses)
        warm = model.training_kernel(pixels, WARM, generator)
        assert torch.equal(warm.poses, kernel_of(none(), pixels, WARM).poses)
        assert torch.equal(generator.get_state(), state)
        assert torch.equal(torch.get_rng_state(), before)


class TestAlignment:
    def test_it_is_the_distance_of_the_first_point(self) -> None:
        model, pixels = stirred(), random_pixels()
        points = points_of(model, pixels)
        image, origin = points.image[:, 0].abs().mean(), points.origin[:, 0].abs().mean()
        expected = model.config.alignment * (image + 10.0 * origin)
        torch.testing.assert_close(alignment(model, pixels), expected)

    def test_plain_nerf_has_none(self) -> None:
        model, pixels = stirred(), random_pixels()
        warm = kernel_of(model, pixels, WARM)
        assert own_loss(model, warm, pixels, random_colours(len(warm))) == 0

    def test_descent_brings_the_first_point_to_the_pixel(self) -> None:
        model, pixels = stirred(), random_pixels()
        optimiser = torch.optim.Adam(model.parameters(), lr=2e-3)
        before = points_of(model, pixels)
        for _ in range(300):
            optimiser.zero_grad()
            alignment(model, pixels).backward()
            optimiser.step()
        after = points_of(model, pixels)
        for ours, theirs in ((after.image, before.image), (after.origin, before.origin)):
            assert ours[:, 0].abs().mean() < 0.1 * theirs[:, 0].abs().mean()
        others = after.image[:, 1:].square().sum(-1).sqrt()
        assert others.mean() > 0.5, "the other points may stay out"

    def test_only_the_first_point_is_held(self) -> None:
        model, pixels = stirred(), random_pixels()
        kernel = kernel_of(model, pixels, FIRST).cut()
        own_loss(model, kernel, pixels, random_colours(len(kernel))).backward()
        assert kernel.poses.grad is not None and kernel.weights.grad is None
        pulled = kernel.poses.grad.view(len(pixels), RAYS, -1).abs().sum(-1)
        assert (pulled[:, 0] > 0).all() and (pulled[:, 1:] == 0).all()

    @pytest.mark.parametrize("name", ["canonical", "embedding", "head.weight", "join.bias"])
    def test_its_gradient_is_a_slope(self, name: str) -> None:
        model = stirred().double()
        xy = random_pixels().xy.double()
        pixels = Pixels(random_pixels().view, xy)
        parameter = dict(model.motions.named_parameters())[name]
        direction = torch.randn(
            parameter.shape, generator=torch.Generator().manual_seed(7)
        ).double()
        (gradient,) = torch.autograd.grad(alignment(model, pixels), parameter)
        step, values = 1e-7, []
        for sign in (1, -1):
            with torch.no_grad():
                parameter.add_(sign * step * direction)
                values.append(alignment(model, pixels).item())
                parameter.sub_(sign * step * direction)
        slope = (values[0] - values[1]) / (2 * step)
        assert slope == pytest.approx(float((gradient * direction).sum()), rel=1e-5)
        assert abs(slope) > 1e-4

    def test_parts_add_up_by_their_share_of_pixels(self) -> None:
        model, pixels = stirred(), random_pixels(40)
        kernel = kernel_of(model, pixels, FIRST)
        colours = random_colours(len(kernel))
        total = 0.0
        for part in (slice(0, 7), slice(7, 40)):
            rays = slice(part.start * RAYS, part.stop * RAYS)
            piece = kernel.part(rays, part)
            share = piece.pixels / kernel.pixels
            total += share * own_loss(model, piece, pixels[part], colours[rays]).item()
        assert total == pytest.approx(own_loss(model, kernel, pixels, colours).item(), rel=1e-5)


def test_it_finds_a_shift_of_the_picture() -> None:
    """Of a photo whose every pixel is the mean of two places, one and five pixels to its right."""
    model, pixels = sparse(alignment=0.0), random_pixels(200)
    optimiser = torch.optim.Adam(model.parameters(), lr=5e-3)
    for _ in range(200):
        kernel = kernel_of(model, pixels, FIRST)
        at = pixels.xy[kernel.pixel] + image_offsets(model, pixels, kernel).flatten(0, 1)
        seen = kernel.blend(torch.stack([at[:, 0], at[:, 1], (0.5 * at[:, 0]).sin()], dim=1))
        x, y = pixels.xy.T
        bent = ((0.5 * (x + 1.0)).sin() + (0.5 * (x + 5.0)).sin()) / 2
        loss = (seen - torch.stack([x + 3.0, y, bent], dim=1)).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert loss.item() < 0.01
