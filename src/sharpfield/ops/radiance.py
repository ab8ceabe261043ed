"""Two small heads, from encoded samples to density and colour: numba on CPU, else plain torch."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from sharpfield.ops import radiance_cpu
from sharpfield.ops.dispatch import arrays, use_cpu_kernels


class Heads(NamedTuple):
    """Weights of two perceptrons with one hidden ReLU layer each, and no biases.

    The first turns an encoded sample into its feature, the second the feature and what is known
    of the sample's ray into the colour.
    """

    w1: Float[Tensor, "width hidden"]
    w2: Float[Tensor, "hidden channels"]
    v1: Float[Tensor, "channels_and_seen glow"]
    v2: Float[Tensor, "glow 3"]


class DensityCurve(NamedTuple):
    """Density is ``exp(min(gain * x + empty, limit))``, x being a feature's first channel."""

    gain: float
    empty: float
    limit: float


def density(
    encoded: Float[Tensor, "samples width"], heads: Heads, curve: DensityCurve
) -> Float[Tensor, " samples"]:
    """The density alone, as ``radiance`` has it."""
    if use_cpu_kernels(encoded, *heads) and not _differentiates(encoded, *heads):
        out = torch.empty(len(encoded))
        inputs = (_columns(encoded), *arrays(*heads[:2]), *_floats(curve), out.numpy())
        radiance_cpu.density(*inputs)
        return out
    return _density_reference(F.relu(encoded @ heads.w1) @ heads.w2[:, 0], curve)


def radiance(
    encoded: Float[Tensor, "samples width"],
    seen_along: Float[Tensor, "rays seen"],
    ray: Int[Tensor, " samples"],
    heads: Heads,
    curve: DensityCurve,
) -> tuple[Float[Tensor, " samples"], Float[Tensor, "samples 3"]]:
    """Density, and colour in (0, 1), of samples; sample i belongs to ray ``ray[i]``."""
    on_cpu = use_cpu_kernels(encoded, seen_along, *heads)
    if on_cpu and not _differentiates(seen_along):
        values: tuple[Tensor, Tensor] = _Radiance.apply(encoded, seen_along, ray, curve, *heads)
        return values
    return radiance_reference(encoded, seen_along, ray, heads, curve)


def radiance_reference(
    encoded: Tensor, seen_along: Tensor, ray: Tensor, heads: Heads, curve: DensityCurve
) -> tuple[Tensor, Tensor]:
    """The twin of the numba kernel."""
    feature = F.relu(encoded @ heads.w1) @ heads.w2
    seen = torch.cat([feature, seen_along.index_select(0, ray)], dim=1)
    colour = torch.sigmoid(F.relu(seen @ heads.v1) @ heads.v2)
    return _density_reference(feature[:, 0], curve), colour


def _density_reference(feature: Tensor, curve: DensityCurve) -> Tensor:
    return torch.exp((curve.gain * feature + curve.empty).clamp(max=curve.limit))


def _differentiates(*tensors: Tensor) -> bool:
    return torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors)


def _columns(encoded: Tensor) -> np.ndarray:
    return encoded.detach().T.contiguous().numpy()


def _floats(curve: DensityCurve) -> list[np.float32]:
    return [np.float32(value) for value in curve]


class _Radiance(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, encoded: Tensor, seen_along: Tensor, ray: Tensor, curve: DensityCurve,
        *heads: Tensor,
    ) -> tuple[Tensor, Tensor]:  # fmt: skip
        samples = len(encoded)
        feature = torch.empty(heads[1].shape[1], samples)
        density, colour = torch.empty(samples), torch.empty(3, samples)
        ctx.inputs = [_columns(encoded), *arrays(seen_along, ray, *heads), *_floats(curve)]
        ctx.outputs = [feature.numpy(), density.numpy(), colour.numpy()]
        radiance_cpu.radiance(*ctx.inputs, *ctx.outputs)
        return density, colour.T

    @staticmethod
    def backward(ctx: Any, d_density: Tensor, d_colour: Tensor) -> tuple[Tensor | None, ...]:
        columns, _, _, *weights = ctx.inputs[:7]
        d_columns = torch.empty(columns.shape)
        d_heads = [torch.empty(weight.shape) for weight in weights]
        upstream = [d_density.contiguous().numpy(), d_colour.T.contiguous().numpy()]
        downstream = arrays(d_columns, *d_heads)
        radiance_cpu.radiance_gradient(*ctx.inputs, *ctx.outputs, *upstream, *downstream)
        return d_columns.T, None, None, None, *d_heads
