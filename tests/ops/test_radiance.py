from __future__ import annotations

import numba
import pytest
import torch
from torch import Tensor

from sharpfield.ops.blocks_cpu import BLOCK, CHUNKS
from sharpfield.ops.radiance import DensityCurve, Heads, density, radiance, radiance_reference

ONE_BLOCK_EACH = BLOCK * CHUNKS
"""Samples from which on a thread adds up several blocks."""

CURVE = DensityCurve(gain=0.5, empty=-1.0, limit=0.2)
FIELD = (16, 64, 16, 8, 64)
"""Widths: encoded sample, hidden layer, feature, what is known of a ray, second hidden layer."""


def random_input(
    samples: int, sizes: tuple[int, ...] = FIELD, dtype: torch.dtype = torch.float32
) -> tuple[list[Tensor], Tensor, Tensor]:
    """Encoded samples and heads, which want gradients; what is known of rays; each sample's ray."""
    width, hidden, channels, seen, glow = sizes
    random = torch.Generator().manual_seed(samples)
    shapes = (
        (samples, width), (width, hidden), (hidden, channels), (channels + seen, glow), (glow, 3)
    )  # fmt: skip
    tensors = [
        (torch.randn(shape, generator=random, dtype=dtype) / shape[-1] ** 0.5).requires_grad_()
        for shape in shapes
    ]
    rays = 1 + samples // 5
    ray = torch.randint(rays, (samples,), generator=random).sort().values
    return tensors, torch.randn(rays, seen, generator=random, dtype=dtype), ray


def away_from_kinks(
    tensors: list[Tensor], seen_along: Tensor, ray: Tensor
) -> tuple[list[Tensor], Tensor, Tensor]:
    """Without the samples where a ReLU or the density's limit may switch within rounding error."""
    encoded, w1, w2, v1, _ = [tensor.detach().double() for tensor in tensors]
    hidden = encoded @ w1
    feature = hidden.relu() @ w2
    glow = torch.cat([feature, seen_along.double()[ray]], dim=1) @ v1
    log_density = CURVE.gain * feature[:, :1] + CURVE.empty - CURVE.limit
    clear = (torch.cat([hidden, glow, log_density], dim=1).abs() > 1e-5).all(dim=1)
    return [tensors[0].detach()[clear].requires_grad_(), *tensors[1:]], seen_along, ray[clear]


def values_and_gradients(
    tensors: list[Tensor], seen_along: Tensor, ray: Tensor, exact: bool = False
) -> list[Tensor]:
    """Density, colour and all gradients; in double precision by the reference when ``exact``."""
    if exact:
        tensors = [tensor.detach().double().requires_grad_() for tensor in tensors]
        seen_along = seen_along.double()
    op = radiance_reference if exact else radiance
    values = op(tensors[0], seen_along, ray, Heads(*tensors[1:]), CURVE)
    random = torch.Generator().manual_seed(1)
    upstream = [torch.randn(v.shape, generator=random).to(v.dtype) for v in values]
    return [v.detach() for v in values] + list(torch.autograd.grad(values, tensors, upstream))


def assert_close_to_exact(tensors: list[Tensor], seen_along: Tensor, ray: Tensor) -> None:
    ours = values_and_gradients(tensors, seen_along, ray)
    theirs = values_and_gradients(tensors, seen_along, ray, exact=True)
    for one, exact in zip(ours, theirs, strict=True):
        assert one.dtype == torch.float32
        scale = max(1.0, float(exact.abs().max())) if exact.numel() else 1.0
        torch.testing.assert_close(one.double(), exact, rtol=0, atol=2e-6 * scale)


@pytest.mark.parametrize("sizes", [FIELD, (32, 32, 16, 8, 16), (8, 16, 4, 8, 16)])
@pytest.mark.parametrize("samples", [0, 1, BLOCK, 3 * BLOCK + 77])
def test_the_sizes_of_fields(samples: int, sizes: tuple[int, ...]) -> None:
    assert_close_to_exact(*away_from_kinks(*random_input(samples, sizes)))


@pytest.mark.parametrize("width", [1, 6])
@pytest.mark.parametrize("hidden", [1, 7, 12])
@pytest.mark.parametrize("channels", [1, 2, 5])
@pytest.mark.parametrize("seen", [1, 3])
def test_sizes_that_fill_no_tile(width: int, hidden: int, channels: int, seen: int) -> None:
    sizes = (width, hidden, channels, seen, hidden + 2)
    assert_close_to_exact(*away_from_kinks(*random_input(BLOCK + 3, sizes)))


@pytest.mark.parametrize(
    "samples", [ONE_BLOCK_EACH - 1, ONE_BLOCK_EACH + 1, 2 * ONE_BLOCK_EACH + 500]
)
def test_every_sample_belongs_to_one_chunk(samples: int) -> None:
    assert_close_to_exact(*away_from_kinks(*random_input(samples, (4, 5, 2, 3, 6))))


def test_results_do_not_depend_on_the_threads() -> None:
    inputs = random_input(9 * BLOCK + 40)
    before = numba.get_num_threads()
    runs = [values_and_gradients(*inputs) for _ in range(3)]
    try:
        numba.set_num_threads(1)
        runs.append(values_and_gradients(*inputs))
    finally:
        numba.set_num_threads(before)
    for run in runs[1:]:
        assert all(torch.equal(a, b) for a, b in zip(runs[0], run, strict=True))


def test_the_density_alone_is_the_same() -> None:
    (encoded, *heads), seen_along, ray = random_input(3 * BLOCK + 77)
    whole, _ = radiance(encoded, seen_along, ray, Heads(*heads), CURVE)
    with torch.no_grad():
        alone = density(encoded, Heads(*heads), CURVE)
    assert torch.equal(alone, whole)
    torch.testing.assert_close(density(encoded, Heads(*heads), CURVE), whole)


def test_a_gradient_that_lies_across_memory() -> None:
    """Autograd hands over expanded gradients too."""
    tensors, seen_along, ray = random_input(BLOCK + 9)
    gradients = []
    for op in (radiance, radiance_reference):
        values = op(tensors[0], seen_along, ray, Heads(*tensors[1:]), CURVE)
        gradients.append(torch.autograd.grad(values[0].sum() + values[1].sum(), tensors))
    for ours, theirs in zip(*gradients, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)


def test_what_is_known_of_a_ray_may_want_a_gradient() -> None:
    (encoded, *heads), seen_along, ray = random_input(40)
    _, colour = radiance(encoded, seen_along.requires_grad_(), ray, Heads(*heads), CURVE)
    colour.sum().backward()
    assert seen_along.grad is not None and seen_along.grad.abs().sum() > 0


def test_a_value_that_is_no_number_shows() -> None:
    tensors, seen_along, ray = random_input(10)
    with torch.no_grad():
        tensors[0][4, 2] = torch.nan
    density, colour, d_encoded, *d_heads = values_and_gradients(tensors, seen_along, ray)
    assert torch.equal(density.isnan().nonzero(), torch.tensor([[4]]))
    assert torch.equal(colour.isnan().any(dim=1).nonzero(), torch.tensor([[4]]))
    assert all(gradient.isnan().any() for gradient in d_heads)
    assert not d_encoded[:4].isnan().any()


def test_reference_gradients_in_double_precision() -> None:
    tensors, seen_along, ray = random_input(4, (5, 7, 3, 2, 6), torch.float64)

    def of_tensors(encoded: Tensor, *heads: Tensor) -> tuple[Tensor, Tensor]:
        return radiance(encoded, seen_along, ray, Heads(*heads), CURVE)

    assert torch.autograd.gradcheck(of_tensors, tensors)
