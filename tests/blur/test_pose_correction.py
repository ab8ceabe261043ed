"""Corrected poses move single blurred views, never sharp ones or the scene."""

from __future__ import annotations

import pytest
import torch
from tests.blur import models
from torch import Tensor

from sharpfield.blur.motions import PIXELS_PER_UNIT, RigidMotions
from sharpfield.blur.pose_correction import LEAST_DOUBT, SHARP_PIXELS, PoseCorrection
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


def correction(poses: Tensor | None = None) -> PoseCorrection:
    poses = given_poses() if poses is None else poses
    return PoseCorrection(poses, torch.tensor([0.001] * 3 + [0.003] * 3), 1.0)


SMEARED = torch.full((VIEWS,), 11.0)
"""Every photo as much as the others."""

UNEVEN = torch.tensor([0.0, 3.0, 12.0, 5.0, 0.8, 20.0, 2.0, 0.0, 7.0])
"""Three of the photos are sharp, as motions of less than a pixel say."""

SHARP = [0, 4, 7]


def doubt(smear: Tensor) -> Tensor:
    return (smear - SHARP_PIXELS).clamp(min=LEAST_DOUBT)[:, None]


def wander(model: PoseCorrection, twists: Tensor, smear: Tensor = SMEARED) -> Tensor:
    with torch.no_grad():
        model.twists.copy_(twists)
    return placed(model, smear).detach()


def placed(model: PoseCorrection, smear: Tensor) -> Tensor:
    return compose(given_poses(), exponential(model(smear)))


def random_twists(seed: int = 7) -> Tensor:
    return torch.randn(VIEWS, 6, generator=torch.Generator().manual_seed(seed))


def test_nothing_is_corrected_at_the_start() -> None:
    assert not correction()(UNEVEN).any()


def test_a_view_may_move_alone() -> None:
    model, twists = correction(), torch.zeros(VIEWS, 6)
    inmost = int(model.trends.norm(dim=1).argmin())
    twists[inmost] = 1.0
    moved = (wander(model, twists) - given_poses()).abs().amax((1, 2))
    assert moved.argmax() == inmost and moved[inmost] > 0.01


def test_it_turns_and_shifts_along_the_axes_of_the_world() -> None:
    model = correction()
    moved = wander(model, 0.01 * random_twists())
    turn = moved[:, :, :3] @ given_poses()[:, :, :3].transpose(1, 2)
    turned = torch.stack([turn[:, 2, 1], turn[:, 0, 2], turn[:, 1, 0]], 1)
    shifted = moved[:, :, 3] - places()
    own = torch.cat([turned / 0.001, shifted / 0.003], 1)
    within = model.twists.detach() - model.trends @ (model.trends.T @ model.twists.detach())
    torch.testing.assert_close(own, 10.0 * within, atol=2e-3, rtol=1e-3)


@pytest.mark.parametrize("smear", [SMEARED, UNEVEN], ids=["even", "uneven"])
@pytest.mark.parametrize("kind", ["shift", "turn", "scale", "shear"])
def test_the_scene_may_not(kind: str, smear: Tensor) -> None:
    """What any of these does to all cameras is no correction: held-out views would not follow."""
    shifts = {
        "shift": torch.ones(VIEWS, 3),
        "turn": torch.cross(torch.tensor([[0.1, 0.2, -0.1]]).expand(VIEWS, 3), places(), dim=1),
        "scale": 0.1 * places(),
        "shear": places() @ torch.randn(3, 3, generator=torch.Generator().manual_seed(5)),
    }
    turns = torch.tensor([[0.1, 0.2, -0.1]]).expand(VIEWS, 3) * float(kind == "turn")
    moved = wander(correction(), torch.cat([turns, shifts[kind]], 1) / doubt(smear), smear)
    torch.testing.assert_close(moved, given_poses(), atol=1e-5, rtol=0.0)


def test_sharp_photos_stay_where_they_are() -> None:
    model = correction()
    moved = (wander(model, random_twists(), UNEVEN) - given_poses())[:, :, 3].norm(dim=1)
    smeared = [view for view in range(VIEWS) if view not in SHARP]
    assert moved[SHARP].max() < 0.05 * moved[smeared].mean()


def test_sharp_photos_hold_the_scene() -> None:
    """What is left of the blurred photos' agreement is judged by the sharp ones."""
    model = correction()
    shift = (wander(model, random_twists(), UNEVEN) - given_poses())[:, :, 3]
    held = model.trends.T @ (shift / doubt(UNEVEN) ** 2)
    assert held.abs().max() < 1e-3 * (shift / doubt(UNEVEN) ** 2).abs().max()


def test_cameras_on_a_line_show_a_trend_along_it_only() -> None:
    in_a_row = given_poses()
    in_a_row[:, 1:, 3] *= 1e-4
    assert correction(in_a_row).trends.shape == (VIEWS, 2)


def test_with_few_views_nothing_is_known_to_be_wrong() -> None:
    few = given_poses()[:4]
    model = correction(few)
    with torch.no_grad():
        model.twists.normal_()
    torch.testing.assert_close(model(UNEVEN[:4]), torch.zeros(4, 6), atol=1e-5, rtol=0.0)


def corrected_rigid(motions: RigidMotions) -> RigidBlur:
    given = models.given_poses()
    own = PoseCorrection(given, motions.unit / PIXELS_PER_UNIT, 1.0)
    own.trends = own.trends[:, :1]
    with torch.no_grad():
        own.twists.normal_()
    return RigidBlur(given, motions, models.CAMERA, models.DEPTH, correction=own)


def test_motions_lie_around_the_corrected_pose() -> None:
    motions = models.path_motions(start_pixels=6.0)
    model = corrected_rigid(motions)
    poses, centres = model.motion_poses(), model.centres()
    assert not torch.allclose(centres, model.poses, atol=1e-3)
    torch.testing.assert_close(poses[:, 0], centres)
    moved = compose(centres[:, None], exponential(models.path_of(motions)))
    torch.testing.assert_close(poses[:, 1:], moved)


def test_a_photo_is_corrected_by_shares_of_its_smear() -> None:
    still, shaken = (corrected_rigid(models.path_motions(start_pixels=p)) for p in (0.01, 6.0))
    moved = [(model.centres() - model.poses).abs().max() for model in (still, shaken)]
    assert moved[0] < 0.1 * moved[1]


def test_its_gradient_moves_a_view_towards_what_it_shows() -> None:
    model = correction()
    wanted = wander(correction(), random_twists())
    optimiser = torch.optim.Adam(model.parameters(), lr=0.05)
    errors = []
    for _ in range(60):
        optimiser.zero_grad()
        error = (placed(model, SMEARED) - wanted).square().sum()
        error.backward()
        optimiser.step()
        errors.append(float(error.detach()))
    assert errors[-1] < 0.1 * errors[0]
