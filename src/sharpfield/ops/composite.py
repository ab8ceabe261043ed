"""Volume rendering of packed samples (Mildenhall et al. 2020, equation 3)."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from sharpfield.ops import composite_cpu
from sharpfield.ops.dispatch import use_cpu_kernels
from sharpfield.ops.march import Samples


class Composited(NamedTuple):
    """What rays see.

    Linear colour; expected ``t``, not differentiable; and ``distortion``, the expected distance in
    ``t`` of two places where the ray may end (Barron et al. 2022, equation 15): 0 where it meets
    one surface.
    """

    colour: Float[Tensor, "rays 3"]
    depth: Float[Tensor, " rays"]
    distortion: Float[Tensor, " rays"]


def composite(
    density: Float[Tensor, " samples"],
    colour: Float[Tensor, "samples 3"],
    samples: Samples,
    step_length: Float[Tensor, " rays"],
) -> Composited:
    """What each ray sees; its last sample is opaque. Differentiable in density and colour."""
    if use_cpu_kernels(density, colour):
        return Composited(*_Composite.apply(density, colour, samples, step_length.detach()))
    return composite_reference(density, colour, samples, step_length.detach())


def composite_reference(
    density: Tensor, colour: Tensor, samples: Samples, step_length: Tensor
) -> Composited:
    """The twin of the numba kernel, by segment-wise cumulative sums."""
    ray, rays = samples.ray, len(samples.starts) - 1
    transmittance = torch.exp(-_in_front(density * step_length[ray], samples)).to(density.dtype)
    last = torch.zeros_like(ray, dtype=torch.bool)
    last[samples.starts[1:] - 1] = True
    opaque = -torch.expm1(-density * step_length[ray])
    weights = transmittance * torch.where(last, 1.0, opaque)
    rendered = colour.new_zeros(rays, 3).index_add(0, ray, weights[:, None] * colour)
    t = samples.t.to(colour.dtype)
    depth = colour.new_zeros(rays).index_add(0, ray, weights * t)
    nearer = t * _in_front(weights, samples) - _in_front(weights * t, samples)
    pairs = (2.0 * weights * nearer).to(colour.dtype)
    distortion = colour.new_zeros(rays).index_add(0, ray, pairs)
    return Composited(rendered, depth.detach(), distortion)


def _in_front(values: Float[Tensor, " samples"], samples: Samples) -> Float[Tensor, " samples"]:
    """The sum of ``values`` over the samples of the same ray in front of each.

    One sum runs through all rays: in single precision thin rays would drown in opaque ones.
    """
    before = values.double().cumsum(0) - values
    return before - before[samples.starts[:-1]][samples.ray]


class _Composite(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, density: Tensor, colour: Tensor, samples: Samples, step_length: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        density, colour = density.contiguous(), colour.T.contiguous()
        rays = len(samples.starts) - 1
        rendered, depth, distortion = torch.empty(rays, 3), torch.empty(rays), torch.empty(rays)
        weights = torch.empty_like(density)
        composite_cpu.composite(
            density.detach().numpy(), colour.detach().numpy(), samples.t.numpy(),
            samples.starts.numpy(), step_length.numpy(),
            rendered.numpy(), depth.numpy(), distortion.numpy(), weights.numpy(),
        )  # fmt: skip
        ctx.save_for_backward(density, colour, step_length, depth, weights)
        ctx.samples = samples
        ctx.mark_non_differentiable(depth)
        return rendered, depth, distortion

    @staticmethod
    def backward(
        ctx: Any, upstream: Tensor, _: Tensor, upstream_distortion: Tensor
    ) -> tuple[Tensor, Tensor, None, None]:
        density, colour, step_length, depth, weights = ctx.saved_tensors
        density_gradient, colour_gradient = torch.empty_like(density), torch.empty_like(colour)
        composite_cpu.composite_gradient(
            density.detach().numpy(), colour.detach().numpy(), ctx.samples.t.numpy(),
            ctx.samples.starts.numpy(), step_length.numpy(), depth.numpy(), weights.numpy(),
            upstream.contiguous().numpy(), upstream_distortion.contiguous().numpy(),
            density_gradient.numpy(), colour_gradient.numpy(),
        )  # fmt: skip
        return density_gradient, colour_gradient.T, None, None
