"""Corrected poses move single views, never the scene."""

from __future__ import annotations

import pytest
import torch
from tests.blur import models
from torch import Tensor

from sharpfield.blur.pose_correction import PoseCorrection
from sharpfield.blur.rigid import RigidBlur
from sharpfield.geometry.se3 import compose, exponential

VIEWS = 9


def places(seed: int = 3) -> Tensor:
    return torch.randn(VIEWS, 3, generator=torch.Generator().manual_seed(seed))


def given_poses() -> Tensor:
    """Cameras that look all ways."""
    turn = torch.randn(VIEWS, 3, generator=torch.Generator().manual_seed(4))
    rotation = exponential(torch.cat([turn, torch.zeros(VIEWS, 3)], 1))[:, :, :3]
    return torch.cat([rotation, places()[:, :, None]], 2)


def correction() -> PoseCorrection:
    return PoseCorrection(given_poses(), torch.tensor([0.01] * 3 + [0.03] * 3), 1.0)


def wander(model: PoseCorrection, twists: Tensor) -> Tensor:
    with torch.no_grad():
        model.twists.copy_(twists)
    return model(given_poses()).detach()


def test_nothing_is_corrected_at_the_start() -> None:
    torch.testing.assert_close(correction()(given_poses()), given_poses())


def test_a_view_may_move_alone() -> None:
    model, twists = correction(), torch.zeros(VIEWS, 6)
    inmost = int(model.trends.norm(dim=1).argmin())
    twists[inmost] = 1.0
    moved = (wander(model, twists) - given_poses()).abs().amax((1, 2))
    assert moved.argmax() == inmost and moved[inmost] > 0.01


@pytest.mark.parametrize("kind", ["shift", "turn", "scale", "shear"])
def test_the_scene_may_not(kind: str) -> None:
    """What any of these does to all cameras is no correction: held-out views would not follow."""
    shifts = {
        "shift": torch.ones(VIEWS, 3),
        "turn": torch.cross(torch.tensor([[0.1, 0.2, -0.1]]).expand(VIEWS, 3), places(), dim=1),
        "scale": 0.1 * places(),
        "shear": places() @ torch.randn(3, 3, generator=torch.Generator().manual_seed(5)),
    }
    turns = torch.tensor([[0.1, 0.2, -0.1]]).expand(VIEWS, 3) * float(kind == "turn")
    moved = wander(correction(), torch.cat([turns, shifts[kind]], 1))
    torch.testing.assert_close(moved, given_poses(), atol=1e-5, rtol=0.0)


def test_cameras_on_a_line_show_a_trend_along_it_only() -> None:
    in_a_row = given_poses()
    in_a_row[:, 1:, 3] *= 1e-4
    model = PoseCorrection(in_a_row, torch.ones(6), 1.0)
    assert model.trends.shape == (VIEWS, 2)


def test_with_few_views_nothing_is_known_to_be_wrong() -> None:
    few = given_poses()[:4]
    model = PoseCorrection(few, torch.ones(6), 1.0)
    with torch.no_grad():
        model.twists.normal_()
    torch.testing.assert_close(model(few), few, atol=1e-5, rtol=0.0)


def test_motions_lie_around_the_corrected_pose() -> None:
    given, motions = models.given_poses(), models.path_motions()
    own = PoseCorrection(given, motions.unit, 1.0)
    own.trends = own.trends[:, :1]
    with torch.no_grad():
        own.twists.normal_()
    model = RigidBlur(given, motions, models.CAMERA, models.DEPTH, correction=own)
    poses, centres = model.motion_poses(), model.centres()
    assert not torch.allclose(centres, given, atol=1e-3)
    torch.testing.assert_close(poses[:, 0], centres)
    moved = compose(centres[:, None], exponential(models.path_of(motions)))
    torch.testing.assert_close(poses[:, 1:], moved)


def test_its_gradient_moves_a_view_towards_what_it_shows() -> None:
    model = correction()
    wanted = wander(correction(), torch.randn(VIEWS, 6, generator=torch.Generator().manual_seed(7)))
    optimiser = torch.optim.Adam(model.parameters(), lr=0.05)
    errors = []
    for _ in range(60):
        optimiser.zero_grad()
        error = (model(given_poses()) - wanted).square().sum()
        error.backward()
        optimiser.step()
        errors.append(float(error.detach()))
    assert errors[-1] < 0.1 * errors[0]
