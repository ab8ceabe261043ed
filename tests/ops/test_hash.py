from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from sharpfield.ops.hash import hash_encode
from sharpfield.ops.hash_reference import hash_encode_reference
from sharpfield.ops.hash_spec import HashSpec

SPEC = HashSpec(levels=3, log2_entries=9, coarsest=4, finest=24, depth_ratio=0.5)
POINTS = 1300
"""More than two blocks of the kernels."""


def random_input(seed: int = 0) -> tuple[Tensor, Tensor]:
    """Points a little beyond the cube on all sides, and a table."""
    random = torch.Generator().manual_seed(seed)
    points = torch.rand(POINTS, 3, generator=random) * 1.2 - 0.1
    table = torch.randn(SPEC.rows, 2, generator=random)
    return points.requires_grad_(), table.requires_grad_()


def upstream() -> Tensor:
    return torch.randn(POINTS, SPEC.width, generator=torch.Generator().manual_seed(9))


def test_the_specification_has_dense_and_hashed_levels() -> None:
    assert SPEC.hashed.tolist() == [False, True, True]
    np.testing.assert_array_equal(SPEC.resolutions, [[4, 4, 4], [10, 10, 5], [24, 24, 12]])
    np.testing.assert_array_equal(np.diff(SPEC.offsets), [125, 512, 512])
    assert SPEC.rows == 125 + 512 + 512


def test_values_and_gradients_match_the_reference() -> None:
    points, table = random_input()
    outside = (points < 0) | (points > 1)
    assert outside.any(dim=0).all() and not outside.all()
    fast = hash_encode(points, table, SPEC)
    slow = hash_encode_reference(points, table, SPEC)
    torch.testing.assert_close(fast, slow, rtol=1e-4, atol=1e-5)
    for ours, theirs in zip(
        torch.autograd.grad(fast, (points, table), upstream()),
        torch.autograd.grad(slow, (points, table), upstream()),
        strict=True,
    ):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("needs", [(True, False), (False, True)])
def test_each_gradient_alone(needs: tuple[bool, bool]) -> None:
    points, table = (
        tensor.detach().requires_grad_(need)
        for tensor, need in zip(random_input(), needs, strict=True)
    )
    hash_encode(points, table, SPEC).backward(upstream())
    assert ((points.grad is not None), (table.grad is not None)) == needs


def test_points_outside_the_cube_are_clamped_and_get_no_gradient() -> None:
    points, table = random_input()
    outside = (points < 0) | (points > 1)
    encoded = hash_encode(points, table, SPEC)
    torch.testing.assert_close(encoded, hash_encode(points.clamp(0, 1), table, SPEC))
    encoded.backward(upstream())
    assert points.grad is not None
    assert (points.grad[outside] == 0).all()
    assert (points.grad[~outside] != 0).float().mean() > 0.99


def test_corners_and_faces_of_the_cube() -> None:
    """The last cell is closed: its upper border belongs to it."""
    corners = torch.cartesian_prod(*[torch.tensor([0.0, 0.5, 1.0])] * 3)
    table = random_input()[1].detach()
    torch.testing.assert_close(
        hash_encode(corners, table, SPEC), hash_encode_reference(corners, table, SPEC)
    )


@pytest.mark.parametrize("encode", [hash_encode, hash_encode_reference])
def test_a_dense_level_interpolates_a_linear_function_exactly(encode) -> None:
    spec = HashSpec(levels=1, log2_entries=10, coarsest=6, finest=6, depth_ratio=0.5)
    assert not spec.hashed.any()
    slope = torch.tensor([[0.3, -1.0], [0.7, 2.0], [-0.2, 0.1]])
    size = torch.from_numpy(spec.resolutions[0])
    z, y, x = torch.meshgrid(*[torch.arange(int(n) + 1) for n in size.flip(0)], indexing="ij")
    vertices = torch.stack([x, y, z], dim=-1).reshape(-1, 3) / size
    points = torch.rand(100, 3, generator=torch.Generator().manual_seed(1)).requires_grad_()
    encoded = encode(points, vertices @ slope + 0.5, spec)
    torch.testing.assert_close(encoded, points @ slope + 0.5, rtol=1e-5, atol=1e-5)
    (gradient,) = torch.autograd.grad(encoded[:, 0].sum(), points)
    torch.testing.assert_close(gradient, slope[:, 0].expand(100, 3), rtol=1e-4, atol=1e-4)


def test_reference_gradients_in_double_precision() -> None:
    random = torch.Generator().manual_seed(2)
    points = torch.rand(6, 3, generator=random, dtype=torch.float64).requires_grad_()
    table = torch.randn(SPEC.rows, 2, generator=random, dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(
        lambda p, t: hash_encode(p, t, SPEC), (points, table), fast_mode=True
    )


def test_table_gradient_is_bit_identical_when_repeated() -> None:
    points, table = random_input()
    first, *others = (
        torch.autograd.grad(hash_encode(points, table, SPEC), table, upstream())[0]
        for _ in range(5)
    )
    assert all(torch.equal(first, other) for other in others)
