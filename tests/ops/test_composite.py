from __future__ import annotations

import pytest
import torch
from torch import Tensor

from sharpfield.ops.composite import composite, composite_reference
from sharpfield.ops.march import Samples


def ragged(counts: list[int], dtype: torch.dtype = torch.float32) -> Samples:
    """Samples at increasing places of rays that have ``counts`` samples."""
    random = torch.Generator().manual_seed(6)
    lengths = torch.tensor(counts)
    ray = torch.repeat_interleave(torch.arange(len(counts)), lengths)
    starts = torch.cat([torch.zeros(1, dtype=torch.int64), lengths.cumsum(0)])
    t = [torch.rand(count, generator=random, dtype=dtype).sort().values for count in counts]
    return Samples(torch.cat(t), ray, starts)


def random_input(
    samples: Samples, dtype: torch.dtype = torch.float32
) -> tuple[Tensor, Tensor, Tensor]:
    """Densities from thin to opaque, colours, step lengths."""
    random = torch.Generator().manual_seed(7)
    count, rays = len(samples.t), len(samples.starts) - 1
    density = torch.exp(torch.randn(count, generator=random, dtype=dtype) * 3)
    colour = torch.rand(count, 3, generator=random, dtype=dtype)
    step = torch.rand(rays, generator=random, dtype=dtype) * 0.2 + 0.01
    return density.requires_grad_(), colour.requires_grad_(), step


SAMPLES = ragged([5, 1, 9, 2, 30, 1, 17])


def assert_same_gradients(density: Tensor, colour: Tensor, step: Tensor) -> None:
    upstream = torch.randn(len(step), 3, generator=torch.Generator().manual_seed(8))
    fast = composite(density, colour, SAMPLES, step)[0]
    slow = composite_reference(density, colour, SAMPLES, step)[0]
    for ours, theirs in zip(
        torch.autograd.grad(fast, (density, colour), upstream),
        torch.autograd.grad(slow, (density, colour), upstream),
        strict=True,
    ):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-5)


def test_values_and_gradients_match_the_reference() -> None:
    density, colour, step = random_input(SAMPLES)
    fast = composite(density, colour, SAMPLES, step)
    slow = composite_reference(density, colour, SAMPLES, step)
    for ours, theirs in zip(fast, slow, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)
    assert not fast[1].requires_grad
    assert_same_gradients(density, colour, step)


@pytest.mark.parametrize("thin", [1e-3, 1e-5, 1e-7, 0.0])
def test_gradients_of_thin_densities_match_the_reference(thin: float) -> None:
    """Empty space must be able to fill."""
    density, colour, step = random_input(SAMPLES)
    density = torch.full_like(density, thin).requires_grad_()
    assert_same_gradients(density, colour, step)


def test_reference_gradients_in_double_precision() -> None:
    samples = ragged([4, 1, 3], torch.float64)
    density, colour, step = random_input(samples, torch.float64)
    assert torch.autograd.gradcheck(
        lambda d, c: composite_reference(d, c, samples, step), (density, colour)
    )


@pytest.mark.parametrize("render", [composite, composite_reference])
class TestLaws:
    def test_constant_colour_stays(self, render) -> None:
        density, _, step = random_input(SAMPLES)
        colour = torch.tensor([0.2, 0.5, 0.9])
        rendered, _ = render(density.detach(), colour.expand(len(density), 3), SAMPLES, step)
        torch.testing.assert_close(rendered, colour.expand(len(step), 3))

    def test_empty_space_shows_the_last_sample(self, render) -> None:
        density, colour, step = random_input(SAMPLES)
        rendered, depth = render(torch.zeros_like(density), colour.detach(), SAMPLES, step)
        last = SAMPLES.starts[1:] - 1
        torch.testing.assert_close(rendered, colour.detach()[last])
        torch.testing.assert_close(depth, SAMPLES.t[last])

    def test_an_opaque_first_sample_hides_all(self, render) -> None:
        density, colour, step = random_input(SAMPLES)
        first = SAMPLES.starts[:-1]
        opaque = density.detach().clone()
        opaque[first] = 1e6
        rendered, depth = render(opaque, colour.detach(), SAMPLES, step)
        torch.testing.assert_close(rendered, colour.detach()[first])
        torch.testing.assert_close(depth, SAMPLES.t[first])

    def test_two_samples_by_hand(self, render) -> None:
        samples = Samples(torch.tensor([0.25, 0.75]), torch.zeros(2, dtype=torch.int64),
                          torch.tensor([0, 2]))  # fmt: skip
        density, step = torch.tensor([3.0, 0.1]), torch.tensor([0.5])
        colour = torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
        rendered, depth = render(density, colour, samples, step)
        through = float(torch.exp(torch.tensor(-1.5)))
        torch.testing.assert_close(rendered, torch.tensor([[1 - through, through, 0.0]]))
        torch.testing.assert_close(depth, torch.tensor([0.25 * (1 - through) + 0.75 * through]))

    def test_a_ray_knows_nothing_of_the_rays_before_it(self, render) -> None:
        """Optical depths of thousands of opaque rays must not swallow those of a thin one."""
        density, colour, step = (tensor.detach() for tensor in random_input(SAMPLES))
        opaque = torch.full((1000,), 1e6)
        others = ragged([1000, *SAMPLES.starts.diff().tolist()])
        together, _ = render(
            torch.cat([opaque, density]),
            torch.cat([torch.ones(1000, 3), colour]),
            Samples(torch.cat([others.t[:1000], SAMPLES.t]), others.ray, others.starts),
            torch.cat([torch.ones(1), step]),
        )
        alone, _ = render(density, colour, SAMPLES, step)
        torch.testing.assert_close(together[1:], alone, rtol=1e-4, atol=1e-5)
