from __future__ import annotations

import pytest
import torch
from torch import Tensor

from sharpfield.geometry.se3 import compose, exponential
from sharpfield.ops.shaken_poses import Aperture, shaken_poses, shaken_poses_reference

VIEWS, MOTIONS = 3, 5


def random_inputs(scale: float) -> list[Tensor]:
    """Poses, twists, points, radius and disparity of the aperture, corrections."""
    random = torch.Generator().manual_seed(3)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=random)

    twists = scale * normal(VIEWS, MOTIONS, 6)
    given = exponential(normal(VIEWS, 6))
    aperture = [normal(MOTIONS, 2), scale * normal(VIEWS), normal(VIEWS)]
    return [given, twists, *aperture, scale * normal(VIEWS, 6)]


@pytest.mark.parametrize("scale", [0.0, 1e-8, 4e-3, 0.1, 1.0])
def test_values_and_gradients_match_the_reference_in_double_precision(scale: float) -> None:
    inputs = [tensor.requires_grad_() for tensor in random_inputs(scale)]
    exact = [tensor.detach().double().requires_grad_() for tensor in inputs]
    poses = shaken_poses(inputs[0], inputs[1], Aperture(*inputs[2:5]), inputs[5])
    truth = shaken_poses_reference(exact[0], exact[1], Aperture(*exact[2:5]), exact[5])
    torch.testing.assert_close(poses, truth.float(), rtol=1e-5, atol=1e-5)
    upstream = torch.randn(poses.shape, generator=torch.Generator().manual_seed(4))
    learned = [1, 3, 4, 5]
    found = torch.autograd.grad(poses, [inputs[i] for i in learned], upstream)
    expected = torch.autograd.grad(truth, [exact[i] for i in learned], upstream.double())
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other.float(), rtol=1e-4, atol=1e-4)


def test_the_given_pose_comes_first_as_it_is_and_a_pinhole_only_moves() -> None:
    given, twists, *_ = random_inputs(0.3)
    poses = shaken_poses(given, twists)
    assert torch.equal(poses[:, 0], given)
    torch.testing.assert_close(poses[:, 1:], compose(given[:, None], exponential(twists)))


def test_a_corrected_camera_shakes_as_one_that_was_given_there() -> None:
    given, twists, *aperture, correction = random_inputs(0.3)
    there = compose(given, exponential(correction))
    poses = shaken_poses(given, twists, Aperture(*aperture), correction)
    torch.testing.assert_close(poses, shaken_poses(there, twists, Aperture(*aperture)))


def test_other_precisions_take_the_reference() -> None:
    given, twists, *aperture, correction = (tensor.double() for tensor in random_inputs(0.3))
    poses = shaken_poses(given, twists, Aperture(*aperture), correction)
    assert poses.dtype == torch.float64
    expected = shaken_poses_reference(given, twists, Aperture(*aperture), correction)
    assert torch.equal(poses, expected)
