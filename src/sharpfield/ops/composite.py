"""Volume rendering of packed samples (Mildenhall et al. 2020, equation 3)."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from sharpfield.ops import composite_cpu
from sharpfield.ops.dispatch import use_cpu_kernels
from sharpfield.ops.march import Samples


def composite(
    density: Float[Tensor, " samples"],
    colour: Float[Tensor, "samples 3"],
    samples: Samples,
    step_length: Float[Tensor, " rays"],
) -> tuple[Float[Tensor, "rays 3"], Float[Tensor, " rays"]]:
    """Colour and expected ``t`` of each ray; the last sample of a ray is opaque.

    Differentiable in density and colour; the expected ``t`` is not differentiable.
    """
    if use_cpu_kernels(density, colour):
        rendered, depth = _Composite.apply(density, colour, samples, step_length.detach())
    else:
        rendered, depth = composite_reference(density, colour, samples, step_length.detach())
    return rendered, depth.detach()


def composite_reference(
    density: Tensor, colour: Tensor, samples: Samples, step_length: Tensor
) -> tuple[Tensor, Tensor]:
    """The twin of the numba kernel, by segment-wise cumulative sums."""
    ray, rays = samples.ray, len(samples.starts) - 1
    optical = density * step_length[ray]
    # One sum runs through all rays: in single precision thin rays would drown in opaque ones.
    summed = optical.double().cumsum(0)
    before = summed - optical
    in_front = before.index_select(0, samples.starts[:-1]).index_select(0, ray)
    transmittance = torch.exp(in_front - before).to(density.dtype)
    last = torch.zeros_like(ray, dtype=torch.bool)
    last[samples.starts[1:] - 1] = True
    weights = transmittance * torch.where(last, 1.0, -torch.expm1(-optical))
    rendered = colour.new_zeros(rays, 3).index_add(0, ray, weights[:, None] * colour)
    depth = colour.new_zeros(rays).index_add(0, ray, weights * samples.t.to(colour.dtype))
    return rendered, depth


class _Composite(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, density: Tensor, colour: Tensor, samples: Samples, step_length: Tensor
    ) -> tuple[Tensor, Tensor]:
        density, colour = density.contiguous(), colour.T.contiguous()
        rays = len(samples.starts) - 1
        rendered, depth = torch.empty(rays, 3), torch.empty(rays)
        weights = torch.empty_like(density)
        composite_cpu.composite(
            density.detach().numpy(), colour.detach().numpy(), samples.t.numpy(),
            samples.starts.numpy(), step_length.numpy(),
            rendered.numpy(), depth.numpy(), weights.numpy(),
        )  # fmt: skip
        ctx.save_for_backward(density, colour, samples.starts, step_length, weights)
        ctx.mark_non_differentiable(depth)
        return rendered, depth

    @staticmethod
    def backward(ctx: Any, upstream: Tensor, _: Tensor) -> tuple[Tensor, Tensor, None, None]:
        density, colour, starts, step_length, weights = ctx.saved_tensors
        density_gradient, colour_gradient = torch.empty_like(density), torch.empty_like(colour)
        composite_cpu.composite_gradient(
            density.detach().numpy(), colour.detach().numpy(), starts.numpy(), step_length.numpy(),
            weights.numpy(), upstream.contiguous().numpy(),
            density_gradient.numpy(), colour_gradient.numpy(),
        )  # fmt: skip
        return density_gradient, colour_gradient.T, None, None
