from __future__ import annotations

import pytest
import torch
from torch import Tensor

from sharpfield.ops import mlp as ops_mlp
from sharpfield.ops.mlp import mlp, mlp_reference


def random_input(rows: int, dtype: torch.dtype = torch.float32) -> list[Tensor]:
    random = torch.Generator().manual_seed(rows)
    return [
        torch.randn(shape, generator=random, dtype=dtype).requires_grad_()
        for shape in ((rows, 7), (7, 12), (12, 5))
    ]


@pytest.mark.parametrize("rows", [0, 1, 32, 33, 150])
def test_values_and_gradients_match_the_reference(
    monkeypatch: pytest.MonkeyPatch, rows: int
) -> None:
    monkeypatch.setattr(ops_mlp, "BLOCK", 32)
    tensors = random_input(rows)
    fast, slow = mlp(*tensors), mlp_reference(*tensors)
    torch.testing.assert_close(fast, slow, rtol=1e-4, atol=1e-5)
    upstream = torch.randn(rows, 5, generator=torch.Generator().manual_seed(1))
    for ours, theirs in zip(
        torch.autograd.grad(fast, tensors, upstream),
        torch.autograd.grad(slow, tensors, upstream),
        strict=True,
    ):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)


def test_a_gradient_that_lies_across_memory() -> None:
    """Autograd hands over expanded and transposed gradients too."""
    tensors = random_input(10)
    for spread in (
        lambda out: out.sum(),
        lambda out: (out.t() @ torch.ones(10, 2)).sum(),
    ):
        for ours, theirs in zip(
            torch.autograd.grad(spread(mlp(*tensors)), tensors),
            torch.autograd.grad(spread(mlp_reference(*tensors)), tensors),
            strict=True,
        ):
            torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)


def test_rows_that_need_no_gradient() -> None:
    rows, w1, w2 = random_input(10)
    mlp(rows.detach(), w1, w2).sum().backward()
    assert rows.grad is None and w1.grad is not None and w2.grad is not None


def test_reference_gradients_in_double_precision() -> None:
    assert torch.autograd.gradcheck(mlp, random_input(4, torch.float64))
