from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from sharpfield.geometry.se3 import compose, exponential, skew


def random_twists(count: int, scale: float, dtype: torch.dtype = torch.float64) -> Tensor:
    random = torch.Generator().manual_seed(11)
    return torch.randn(count, 6, generator=random, dtype=torch.float64).mul(scale).to(dtype)


def twist_matrix(twist: Tensor) -> Tensor:
    matrix = torch.zeros(*twist.shape[:-1], 4, 4, dtype=twist.dtype)
    matrix[..., :3, :3] = skew(twist[..., :3])
    matrix[..., :3, 3] = twist[..., 3:]
    return matrix


@pytest.mark.parametrize("scale", [0.0, 1e-8, 1e-3, 5e-3, 0.1, 1.0, 3.0])
def test_exponential_is_the_matrix_exponential(scale: float) -> None:
    twist = random_twists(20, scale)
    truth = torch.linalg.matrix_exp(twist_matrix(twist))
    torch.testing.assert_close(exponential(twist), truth[:, :3], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_gradient_at_zero_is_that_of_the_matrix_exponential(dtype: torch.dtype) -> None:
    zero = torch.zeros(6, dtype=dtype)
    jacobian = torch.autograd.functional.jacobian(exponential, zero)
    expected = torch.stack([twist_matrix(row)[:3] for row in torch.eye(6, dtype=dtype)], dim=-1)
    torch.testing.assert_close(jacobian, expected)


@pytest.mark.parametrize("scale", [1e-6, 5e-3, 1.0])
def test_gradients_on_both_sides_of_the_small_angle_limit(scale: float) -> None:
    twist = random_twists(3, scale).requires_grad_()
    assert torch.autograd.gradcheck(exponential, twist)


def test_small_and_large_angle_branches_meet() -> None:
    """Just below and above the switch at 0.01 rad, values and gradients agree."""
    axis = torch.tensor([0.6, 0.0, 0.8], dtype=torch.float64)
    moved = torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64)

    def at(angle: float) -> tuple[Tensor, Tensor]:
        twist = torch.cat([axis * angle, moved])
        return exponential(twist), torch.autograd.functional.jacobian(exponential, twist)

    for below, above in zip(at(0.01 * (1 - 1e-9)), at(0.01 * (1 + 1e-9)), strict=True):
        torch.testing.assert_close(below, above, rtol=0, atol=1e-9)


def test_single_precision_near_the_switch() -> None:
    for angle in (0.0099, 0.0101, 0.02):
        twist = torch.tensor([0.6 * angle, 0.0, 0.8 * angle, 1.0, 2.0, 3.0])
        torch.testing.assert_close(
            exponential(twist), exponential(twist.double()).float(), rtol=0, atol=2e-5
        )


def test_rotations_are_rotations() -> None:
    rotation = exponential(random_twists(20, 2.0))[:, :, :3]
    identity = torch.eye(3, dtype=torch.float64).expand(20, 3, 3)
    torch.testing.assert_close(rotation @ rotation.mT, identity)
    torch.testing.assert_close(torch.linalg.det(rotation), torch.ones(20, dtype=torch.float64))


def test_a_quarter_turn_about_the_vertical_axis() -> None:
    moved = exponential(torch.tensor([0.0, math.pi / 2, 0.0, 0.0, 0.0, 0.0]))
    torch.testing.assert_close(moved[:, :3] @ torch.tensor([0.0, 0.0, -1.0]),
                               torch.tensor([-1.0, 0.0, 0.0]))  # fmt: skip


def test_composition() -> None:
    a, b, c = exponential(random_twists(3, 1.0))
    torch.testing.assert_close(compose(compose(a, b), c), compose(a, compose(b, c)))
    point = torch.tensor([0.3, -0.2, 0.9, 1.0], dtype=torch.float64)
    through_b = torch.cat([b @ point, point[3:]])
    torch.testing.assert_close(compose(a, b) @ point, a @ through_b)


def test_the_opposite_twist_is_the_inverse() -> None:
    twist = random_twists(10, 1.0)
    identity = torch.eye(3, 4, dtype=torch.float64).expand(10, 3, 4)
    torch.testing.assert_close(compose(exponential(twist), exponential(-twist)), identity)
    torch.testing.assert_close(compose(exponential(-twist), exponential(twist)), identity)


def test_skew_is_the_cross_product() -> None:
    a, b = random_twists(5, 1.0).split(3, dim=1)
    torch.testing.assert_close((skew(a) @ b[..., None])[..., 0], torch.linalg.cross(a, b))
