"""The exponential map of the numba kernels, by what still cameras see of their motions."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from sharpfield.geometry import se3
from sharpfield.ops.shaken_poses import shaken_poses


def exponential(twists: Tensor) -> Tensor:
    still = torch.eye(3, 4, dtype=twists.dtype).expand(len(twists), 3, 4)
    return shaken_poses(still, twists)[:, 1:]


def random_twists(scale: float) -> Tensor:
    random = torch.Generator().manual_seed(3)
    turn = scale * torch.randn(4, 5, 3, generator=random)
    return torch.cat([turn, torch.randn(4, 5, 3, generator=random)], dim=-1)


@pytest.mark.parametrize("scale", [0.0, 1e-8, 1e-3, 4e-3, 8e-3, 0.1, 1.0, 3.0])
def test_values_and_gradients_match_the_reference_in_double_precision(scale: float) -> None:
    twist = random_twists(scale).requires_grad_()
    exact = twist.detach().double().requires_grad_()
    motion, truth = exponential(twist), se3.exponential(exact)
    torch.testing.assert_close(motion, truth.float(), rtol=1e-6, atol=1e-6)
    upstream = torch.randn(motion.shape, generator=torch.Generator().manual_seed(4))
    (gradient,) = torch.autograd.grad(motion, twist, upstream)
    (expected,) = torch.autograd.grad(truth, exact, upstream.double())
    torch.testing.assert_close(gradient, expected.float(), rtol=1e-5, atol=1e-5)


def test_any_shape_and_strides() -> None:
    twists = random_twists(0.3)
    turned = twists.transpose(0, 1).requires_grad_()
    torch.testing.assert_close(exponential(turned), exponential(twists).transpose(0, 1))
    (gradient,) = torch.autograd.grad(exponential(turned).sum(), turned)
    assert gradient.shape == turned.shape and gradient.isfinite().all()
    assert exponential(twists[:1, :1]).shape == (1, 1, 3, 4)
    assert exponential(twists[:0]).shape == (0, 5, 3, 4)


def test_other_precisions_take_the_reference() -> None:
    twists = random_twists(0.3).double()
    assert torch.equal(exponential(twists), se3.exponential(twists))
