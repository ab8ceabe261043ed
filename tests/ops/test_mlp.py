from __future__ import annotations

import numba
import pytest
import torch
from torch import Tensor

from sharpfield.ops.mlp import mlp, mlp_reference
from sharpfield.ops.mlp_cpu import BLOCK, CHUNKS

ONE_BLOCK_EACH = BLOCK * CHUNKS
"""Rows from which on a thread adds up several blocks."""


def random_input(
    rows: int, inputs: int, hidden: int, outputs: int, dtype: torch.dtype = torch.float32
) -> list[Tensor]:
    random = torch.Generator().manual_seed(rows)
    return [
        torch.randn(shape, generator=random, dtype=dtype).requires_grad_()
        for shape in ((rows, inputs), (inputs, hidden), (hidden, outputs))
    ]


def values_and_gradients(tensors: list[Tensor]) -> list[Tensor]:
    out = mlp(*tensors)
    upstream = torch.randn(out.shape, generator=torch.Generator().manual_seed(1))
    return [out.detach(), *torch.autograd.grad(out, tensors, upstream)]


def exact_values_and_gradients(tensors: list[Tensor]) -> list[Tensor]:
    """In double precision."""
    doubles = [tensor.detach().double().requires_grad_() for tensor in tensors]
    out = mlp_reference(*doubles)
    upstream = torch.randn(out.shape, generator=torch.Generator().manual_seed(1))
    return [out.detach(), *torch.autograd.grad(out, doubles, upstream.double())]


def assert_close_to_exact(tensors: list[Tensor]) -> None:
    for ours, exact in zip(
        values_and_gradients(tensors), exact_values_and_gradients(tensors), strict=True
    ):
        assert ours.dtype == torch.float32
        scale = max(1.0, float(exact.abs().max())) if exact.numel() else 1.0
        torch.testing.assert_close(ours.double(), exact, rtol=0, atol=2e-6 * scale)


def away_from_the_kink(tensors: list[Tensor]) -> list[Tensor]:
    """Without the rows whose ReLU may switch within rounding error."""
    rows, w1, w2 = tensors
    clear = ((rows.double() @ w1.double()).abs() > 1e-5).all(dim=1)
    return [rows.detach()[clear].requires_grad_(), w1, w2]


@pytest.mark.parametrize(
    "shape", [(16, 32, 16), (24, 32, 3), (32, 64, 16), (24, 16, 3), (8, 16, 4)]
)
@pytest.mark.parametrize("rows", [0, 1, BLOCK, 3 * BLOCK + 77])
def test_the_sizes_of_the_field(rows: int, shape: tuple[int, int, int]) -> None:
    assert_close_to_exact(away_from_the_kink(random_input(rows, *shape)))


@pytest.mark.parametrize("inputs", [1, 6, 9])
@pytest.mark.parametrize("hidden", [1, 7, 12])
@pytest.mark.parametrize("outputs", [1, 2, 5])
def test_sizes_that_fill_no_tile(inputs: int, hidden: int, outputs: int) -> None:
    assert_close_to_exact(away_from_the_kink(random_input(BLOCK + 3, inputs, hidden, outputs)))


@pytest.mark.parametrize("rows", [ONE_BLOCK_EACH - 1, ONE_BLOCK_EACH + 1, 2 * ONE_BLOCK_EACH + 500])
def test_every_row_belongs_to_one_chunk(rows: int) -> None:
    assert_close_to_exact(away_from_the_kink(random_input(rows, 4, 5, 2)))


def test_results_do_not_depend_on_the_threads() -> None:
    tensors = random_input(9 * BLOCK + 40, 24, 32, 3)
    before = numba.get_num_threads()
    runs = [values_and_gradients(tensors) for _ in range(3)]
    try:
        numba.set_num_threads(1)
        runs.append(values_and_gradients(tensors))
    finally:
        numba.set_num_threads(before)
    for run in runs[1:]:
        assert all(torch.equal(a, b) for a, b in zip(runs[0], run, strict=True))


@pytest.mark.parametrize("across", ["expanded", "transposed"])
def test_a_gradient_that_lies_across_memory(across: str) -> None:
    """Autograd hands over expanded and transposed gradients too."""
    tensors = random_input(10, 7, 12, 5)
    shape = (5, 10) if across == "transposed" else (1, 1)
    upstream = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    upstream = upstream.t() if across == "transposed" else upstream.expand(10, 5)
    for ours, theirs in zip(
        torch.autograd.grad(mlp(*tensors), tensors, upstream),
        torch.autograd.grad(mlp_reference(*tensors), tensors, upstream),
        strict=True,
    ):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)


def test_tensors_that_lie_across_memory() -> None:
    tensors = random_input(40, 7, 12, 5)
    across = [tensor.detach().t().contiguous().t().requires_grad_() for tensor in tensors]
    for a, b in zip(values_and_gradients(tensors), values_and_gradients(across), strict=True):
        assert torch.equal(a, b)


def test_rows_that_need_no_gradient() -> None:
    rows, w1, w2 = random_input(10, 7, 12, 5)
    _, _, *expected = values_and_gradients([rows, w1, w2])
    out = mlp(rows.detach(), w1, w2)
    upstream = torch.randn(out.shape, generator=torch.Generator().manual_seed(1))
    out.backward(upstream)
    assert rows.grad is None
    assert w1.grad is not None and torch.equal(w1.grad, expected[0])
    assert w2.grad is not None and torch.equal(w2.grad, expected[1])


def test_a_value_that_is_no_number_shows() -> None:
    rows, w1, w2 = random_input(10, 7, 12, 5)
    with torch.no_grad():
        rows[4, 2] = torch.nan
    out, d_rows, d_w1, d_w2 = values_and_gradients([rows, w1, w2])
    assert torch.equal(out.isnan().any(dim=1).nonzero(), torch.tensor([[4]]))
    assert d_w1.isnan().any() and d_w2.isnan().any()
    assert not d_rows[:4].isnan().any()


def test_reference_gradients_in_double_precision() -> None:
    assert torch.autograd.gradcheck(mlp, random_input(4, 7, 12, 5, torch.float64))
