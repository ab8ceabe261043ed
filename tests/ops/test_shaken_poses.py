from __future__ import annotations

import pytest
import torch
from torch import Tensor

from sharpfield.geometry.se3 import compose, exponential
from sharpfield.ops.shaken_poses import Aperture, shaken_poses, shaken_poses_reference

VIEWS, MOTIONS = 3, 5


def random_inputs(scale: float) -> list[Tensor]:
    """Centres, twists, and points, radius and disparity of the aperture."""
    random = torch.Generator().manual_seed(3)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=random)

    twists = scale * normal(VIEWS, MOTIONS, 6)
    centres = exponential(normal(VIEWS, 6))
    return [centres, twists, normal(MOTIONS, 2), scale * normal(VIEWS), normal(VIEWS)]


@pytest.mark.parametrize("scale", [0.0, 1e-8, 4e-3, 0.1, 1.0])
def test_values_and_gradients_match_the_reference_in_double_precision(scale: float) -> None:
    inputs = [tensor.requires_grad_() for tensor in random_inputs(scale)]
    exact = [tensor.detach().double().requires_grad_() for tensor in inputs]
    poses = shaken_poses(inputs[0], inputs[1], Aperture(*inputs[2:]))
    truth = shaken_poses_reference(exact[0], exact[1], Aperture(*exact[2:]))
    torch.testing.assert_close(poses, truth.float(), rtol=1e-5, atol=1e-5)
    upstream = torch.randn(poses.shape, generator=torch.Generator().manual_seed(4))
    learned = [0, 1, 3, 4]
    found = torch.autograd.grad(poses, [inputs[i] for i in learned], upstream)
    expected = torch.autograd.grad(truth, [exact[i] for i in learned], upstream.double())
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other.float(), rtol=1e-4, atol=1e-4)


def test_the_centre_comes_first_as_it_is_and_a_pinhole_only_moves() -> None:
    centres, twists, *_ = random_inputs(0.3)
    poses = shaken_poses(centres, twists)
    assert torch.equal(poses[:, 0], centres)
    torch.testing.assert_close(poses[:, 1:], compose(centres[:, None], exponential(twists)))


def test_other_precisions_take_the_reference() -> None:
    centres, twists, *aperture = (tensor.double() for tensor in random_inputs(0.3))
    poses = shaken_poses(centres, twists, Aperture(*aperture))
    assert poses.dtype == torch.float64
    assert torch.equal(poses, shaken_poses_reference(centres, twists, Aperture(*aperture)))
