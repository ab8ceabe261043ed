from __future__ import annotations

import pytest
import torch
from tests.blur.models import (
    CAMERA,
    DEPTH,
    MOTIONS,
    RAYS,
    VIEWS,
    given_poses,
    lens,
    path_of,
    shaken_lens,
    stir,
)
from torch import Tensor

from sharpfield.blur.lens import LensMotions, disc_points
from sharpfield.blur.motions import displacements
from sharpfield.blur.nested import rank_by_spread
from sharpfield.geometry.rays import camera_directions, rays_from_poses
from sharpfield.geometry.se3 import compose, exponential

FOCUS = 3.0
RADIUS = 0.02


def aperture(radius: float = RADIUS, focus: float = FOCUS) -> LensMotions:
    """All views with an aperture of ``radius``, focused at depth ``focus``."""
    motions = lens().motions
    assert isinstance(motions, LensMotions)
    with torch.no_grad():
        motions.lens.aperture.fill_(radius / motions.lens.unit)
        wanted = motions.lens.focus_disparity().reciprocal() / focus  # relative to the start
        motions.lens.focus.copy_(torch.log(torch.expm1(torch.log(torch.tensor(2.0)) * wanted)))
    return motions


def points_at(motions: LensMotions, depth: float) -> Tensor:
    """Where the rays of a corner pixel reach ``depth``, in the axes of the camera."""
    still = torch.eye(3, 4).expand(VIEWS, 3, 4)
    poses = motions.kernels(still).poses[0]
    corner = camera_directions(torch.tensor([[1.5, 2.5]]), CAMERA).expand(RAYS, 3)
    rays = rays_from_poses(corner, poses)
    torch.testing.assert_close(rays.directions[:, 2], -torch.ones(RAYS))
    return rays.origins + depth * rays.directions


def test_zero_aperture_is_plain_nerf() -> None:
    poses = aperture(radius=0.0).kernels(given_poses()).poses
    torch.testing.assert_close(poses, given_poses()[:, None].expand_as(poses))


def test_all_rays_meet_in_the_plane_in_focus() -> None:
    points = points_at(aperture(), FOCUS)
    torch.testing.assert_close(points, points[:1].expand_as(points))


@pytest.mark.parametrize("depth", [1.0, 2.0, 30.0])
def test_elsewhere_they_spread_as_a_thin_lens_says(depth: float) -> None:
    """The circle of confusion, seen from the centre: radius x |1 / depth - 1 / focus| x focal."""
    points = points_at(aperture(), depth)
    spread = (points - points[:1])[1:, :2] / depth
    expected = RADIUS * (1 / depth - 1 / FOCUS) * disc_points(MOTIONS)
    torch.testing.assert_close(spread, expected, rtol=1e-4, atol=1e-7)


def test_the_first_ray_is_the_given_one() -> None:
    assert torch.equal(aperture().kernels(given_poses()).poses[:, 0], given_poses())


def test_all_rays_count_alike() -> None:
    model = lens()
    stir(model)
    torch.testing.assert_close(model.base_weights(), torch.full((VIEWS, RAYS), 1 / RAYS))


def test_the_picture_moves_as_far_as_the_circle_of_confusion_says() -> None:
    poses = aperture(radius=1e-3).kernels(given_poses()).poses
    moved = displacements(poses, CAMERA, DEPTH)[0, :, 4]
    lens_moves = 1e-3 * abs(1 / DEPTH - 1 / FOCUS) * disc_points(MOTIONS) * CAMERA.focal_x
    torch.testing.assert_close(moved, lens_moves.norm(dim=1), rtol=2e-3, atol=1e-6)


class TestShakenLens:
    def test_a_closed_aperture_leaves_the_path(self) -> None:
        motions = shaken_lens()
        stir(motions)
        with torch.no_grad():
            motions.lens.aperture.zero_()
        path = compose(given_poses()[:, None], exponential(path_of(motions)))
        torch.testing.assert_close(motions.kernels(given_poses()).poses[:, 1:], path)

    def test_a_still_camera_leaves_the_lens(self) -> None:
        motions = shaken_lens()
        with torch.no_grad():
            motions.path_head.weight.zero_()
        lens = compose(given_poses()[:, None], motions.lens.opened().matrices())
        torch.testing.assert_close(motions.kernels(given_poses()).poses[:, 1:], lens)

    def test_the_aperture_moves_with_the_camera(self) -> None:
        """The camera's own centre is that of the rays whose points lie around it."""
        motions = shaken_lens()
        stir(motions)
        poses = motions.kernels(given_poses()).poses
        assert torch.equal(poses[:, 0], given_poses())
        moved = compose(given_poses()[:, None], exponential(path_of(motions)))
        shift = motions.lens.radius()[:, None, None] * motions.lens.disc
        local = (moved[..., :3].transpose(-1, -2) @ (poses[:, 1:] - moved)[..., 3:])[..., 0]
        torch.testing.assert_close(local[..., :2], shift, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("opened", [8, 12, 16])
def test_the_first_few_to_open_fill_the_disc(opened: int) -> None:
    disc = disc_points(24)
    some = disc[rank_by_spread(24)[1:] <= opened]
    torch.testing.assert_close(some.T @ some / opened, 0.25 * torch.eye(2), rtol=0, atol=0.1)
    assert some.mean(0).norm() < 0.15


@pytest.mark.parametrize("points", [1, 2, 3, 6, 8, 14, 24, 64])
def test_points_and_centre_have_the_moments_of_a_disc(points: int) -> None:
    """But for the disc around each that it stands for: the second moment is exactly that less."""
    disc = disc_points(points)
    torch.testing.assert_close(disc.mean(0), torch.zeros(2), rtol=0, atol=1e-6)
    assert disc.norm(dim=1).max() <= 1.0
    if points >= 3:
        cells = points + 1
        spread = 0.25 * (1.0 - cells**-2) * torch.eye(2)
        torch.testing.assert_close(disc.T @ disc / cells, spread, rtol=0, atol=1e-6)


@pytest.mark.parametrize(("points", "error"), [(4, 0.02), (6, 0.006), (8, 0.006), (16, 0.003)])
def test_a_blurred_edge_is_that_of_a_disc(points: int, error: float) -> None:
    """A soft one, half a radius wide, across any direction."""
    steps = torch.linspace(-0.995, 0.995, 200)
    chord = (1.0 - steps**2).sqrt()
    for turn in torch.linspace(0.0, 3.1, 12):
        across = torch.stack([turn.cos(), turn.sin()])
        places = torch.cat([torch.zeros(1), disc_points(points) @ across])
        for edge in torch.linspace(-1.0, 1.0, 9):
            exact = (torch.sigmoid((steps - edge) / 0.25) * chord).sum() / chord.sum()
            shown = torch.sigmoid((places - edge) / 0.25).mean()
            assert abs(shown - exact) < error


def test_gradients_reach_aperture_and_focus() -> None:
    motions = aperture()
    motions.kernels(given_poses()).poses.square().sum().backward()
    for parameter in (motions.lens.aperture, motions.lens.focus):
        assert parameter.grad is not None and (parameter.grad != 0).all()
