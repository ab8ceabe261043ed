from __future__ import annotations

import math

import pytest
import torch
from tests.blur.models import (
    CAMERA,
    DEPTH,
    MOTIONS,
    VIEWS,
    given_poses,
    path_motions,
    path_of,
    pixels_moved,
    rigid,
    stir,
)
from torch import Tensor

from sharpfield.blur.motions import bernstein
from sharpfield.blur.rigid import RigidBlur
from sharpfield.geometry.se3 import compose, exponential


def turned_by(twists: Tensor) -> Tensor:
    """The poses of a view that stands still, and moves by each of the twists."""
    still = torch.zeros(len(twists), 1, 6)
    return compose(given_poses()[:1, None], exponential(torch.cat([still, twists], dim=1)))


def test_starts_near_the_identity_but_not_at_it() -> None:
    settings = {"path_points": 4, "start_pixels": 1.0, "freedom": 0.3, "embedding": 64}
    models = [rigid(seed, motions=16, **settings) for seed in range(10)]
    moved = torch.stack([pixels_moved(m.motion_poses()) for m in models])
    assert moved.min() > 0
    assert moved.quantile(0.95) < 3 and moved.max() < 8
    assert 0.5 < moved.square().mean().sqrt() < 1.5
    for model in models:
        torch.testing.assert_close(model.base_weights(), torch.full((VIEWS, 17), 1 / 17))


def test_the_start_scales_with_its_setting() -> None:
    small, large = (
        pixels_moved(rigid(start_pixels=pixels).motion_poses()).mean() for pixels in (0.5, 2.0)
    )
    torch.testing.assert_close(large / small, torch.tensor(4.0), rtol=0.05, atol=0)


@pytest.mark.parametrize("shaken", [False, True])
def test_the_weighted_mean_twist_is_zero(shaken: bool) -> None:
    """The gauge: the given pose stays the centre of the exposure."""
    model = rigid()
    if shaken:
        stir(model)
    twists, weights = path_of(model.motions), model.base_weights()[:, 1:]
    mean = (weights[..., None] * twists).sum(1) / weights.sum(1, keepdim=True)
    torch.testing.assert_close(mean, torch.zeros(VIEWS, 6), rtol=0, atol=1e-6)
    assert twists.abs().amax(dim=(1, 2)).min() > 1e-4


def test_motions_act_in_the_frame_of_the_camera() -> None:
    model = rigid()
    stir(model)
    poses, twists = model.motion_poses(), path_of(model.motions)
    assert poses.shape == (VIEWS, MOTIONS + 1, 3, 4)
    given = given_poses()
    for motion in range(MOTIONS):
        moved = exponential(twists[:, motion])
        torch.testing.assert_close(poses[:, motion + 1, :, :3], given[:, :, :3] @ moved[:, :, :3])
        centre = (given[:, :, :3] @ moved[:, :, 3:])[..., 0] + given[:, :, 3]
        torch.testing.assert_close(poses[:, motion + 1, :, 3], centre)


def test_displacement_of_known_motions() -> None:
    pixel = 1 / CAMERA.focal_x
    twists = torch.zeros(1, 4, 6)
    twists[0, 1, 3] = 2 * pixel * DEPTH
    twists[0, 2, 4] = -3 * pixel * DEPTH
    twists[0, 3, 2] = 0.01
    moved = pixels_moved(turned_by(twists))[0]
    x, y = torch.tensor([-12.0, 0.0, 12.0]), torch.tensor([-8.0, 0.0, 8.0])
    radius = (torch.cartesian_prod(x, y) ** 2).sum(1).mean().sqrt()
    expected = torch.tensor([0.0, 2.0, 3.0, 2 * math.sin(0.005) * float(radius)])
    torch.testing.assert_close(moved, expected, rtol=1e-4, atol=1e-4)


def test_a_small_turn_moves_the_picture_by_about_its_angle() -> None:
    twists = torch.zeros(1, 1, 6)
    twists[0, 0, 1] = 1 / CAMERA.focal_x
    moved = float(pixels_moved(turned_by(twists)))
    assert 1.0 < moved < 1.15


def test_without_freedom_the_motions_lie_on_the_path() -> None:
    """M points of a Bezier curve with P control points span at most P dimensions."""
    motions = path_motions(path_points=2, freedom=0.0)
    stir(motions)
    twists = path_of(motions) / motions.unit
    for view in twists:
        values = torch.linalg.svdvals(view - view.mean(0))
        assert values[0] > 1e-2 and values[1] < 1e-4 * values[0]


def test_the_code_is_what_the_heads_look_at() -> None:
    motions = path_motions()
    assert motions.code().shape == (VIEWS, motions.code_width)
    torch.testing.assert_close(motions.code(), motions.encoder(motions.embedding))


def test_bernstein_polynomials() -> None:
    basis = bernstein(MOTIONS, 4)
    torch.testing.assert_close(basis.sum(1), torch.ones(MOTIONS))
    assert (basis > 0).all()
    torch.testing.assert_close(basis.flip(0).flip(1), basis)
    s = (torch.arange(MOTIONS) + 0.5) / MOTIONS
    torch.testing.assert_close(basis @ (torch.arange(4) / 3), s)
    assert bernstein(3, 0).shape == (3, 0)


class TestTrajectory:
    """Virtual cameras on a curve through the exposure, all alike (BAD-NeRF, section 3.2)."""

    def trajectory(self, points: int) -> RigidBlur:
        motions = path_motions(freedom=0.0, path_points=points, even_weights=True)
        model = RigidBlur(given_poses(), motions, CAMERA, DEPTH, origin=False)
        stir(model)
        return model

    def test_all_cameras_count_alike_and_the_origin_does_not(self) -> None:
        weights = self.trajectory(4).base_weights()
        expected = torch.full((VIEWS, MOTIONS), 1 / MOTIONS)
        torch.testing.assert_close(weights, torch.cat([torch.zeros(VIEWS, 1), expected], dim=1))

    def test_two_points_make_it_linear(self) -> None:
        twists = path_of(self.trajectory(2).motions)
        torch.testing.assert_close(
            twists[:, 2:] - twists[:, 1:-1], twists[:, 1:-1] - twists[:, :-2]
        )

    def test_a_cubic_has_no_fourth_difference(self) -> None:
        twists = path_of(self.trajectory(4).motions).double()
        second, fourth = (twists.diff(n=n, dim=1).abs().max() for n in (2, 4))
        assert fourth < 1e-4 * second

    def test_with_equal_ends_it_is_plain_nerf(self) -> None:
        """Without any extent, all cameras stand at the given pose."""
        model = self.trajectory(2)
        torch.nn.init.zeros_(model.motions.get_parameter("path_head.weight"))
        torch.nn.init.zeros_(model.motions.get_parameter("path_head.bias"))
        poses = model.motion_poses()
        torch.testing.assert_close(poses, given_poses()[:, None].expand_as(poses))
