"""Samples along rays: which steps of each ray are worth evaluating, packed ray after ray."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from sharpfield.ops import march_cpu
from sharpfield.ops.dispatch import use_cpu_kernels


@dataclass(frozen=True)
class Samples:
    """Packed samples of a set of rays, in ray order and front to back.

    ``t`` in [0, 1] is the place along the ray, ``ray`` the ray's index, and samples
    ``starts[r] : starts[r + 1]`` belong to ray ``r``; every ray has at least one.
    """

    t: Float[Tensor, " samples"]
    ray: Int[Tensor, " samples"]
    starts: Int[Tensor, " rays_plus_one"]


class Limits(NamedTuple):
    """Which steps of a ray are worth a sample, in optical depths by the occupancy grid.

    Steps through cells not above ``thin`` are skipped, and so is all behind a depth of ``opaque``.
    """

    thin: float
    opaque: float


LARGEST_STEP = 0.35
"""Of ``opaque``, the share that one step can count for: three steps at least go into what looks
opaque. A cell is as dense as its densest place of late, and the surface may lie behind where the
ray crosses it."""


def march(
    origins: Float[Tensor, "rays 3"],
    directions: Float[Tensor, "rays 3"],
    offsets: Float[Tensor, " rays"],
    steps: int,
    step_length: Float[Tensor, " rays"],
    density: Float[Tensor, "x y z"],
    limits: Limits,
) -> Samples:
    """Keep the steps ``t = (i + offset) / steps`` that fall into occupied cells of the unit cube.

    A step's optical depth is ``density * step_length``. The last step is the far plane: it is
    kept unless the ray is opaque before. Not differentiable.
    """
    with torch.no_grad():
        offsets = offsets.contiguous()
        slots, counts = _walk(
            origins.detach().contiguous(),
            directions.detach().contiguous(),
            offsets,
            step_length.detach().contiguous(),
            steps,
            density,
            limits,
        )
        starts = torch.zeros(len(origins) + 1, dtype=torch.int64, device=origins.device)
        torch.cumsum(counts, 0, out=starts[1:])
        return _pack(slots, counts, offsets, starts)


def sample_points(
    origins: Float[Tensor, "rays 3"], directions: Float[Tensor, "rays 3"], samples: Samples
) -> Float[Tensor, "samples 3"]:
    """Positions ``origin + t * direction``; differentiable in origins and directions."""
    if use_cpu_kernels(origins, directions):
        return _SamplePoints.apply(origins, directions, samples)
    start, way = origins.index_select(0, samples.ray), directions.index_select(0, samples.ray)
    return start + samples.t[:, None] * way


def _walk(
    origins: Tensor,
    directions: Tensor,
    offsets: Tensor,
    step_length: Tensor,
    steps: int,
    density: Tensor,
    limits: Limits,
) -> tuple[Tensor, Tensor]:
    if not use_cpu_kernels(origins, directions, offsets, density):
        return walk_reference(origins, directions, offsets, step_length, steps, density, limits)
    slots = torch.empty(len(origins), steps, dtype=torch.int32)
    counts = torch.empty(len(origins), dtype=torch.int64)
    march_cpu.walk(
        origins.numpy(), directions.numpy(), offsets.numpy(), step_length.numpy(), density.numpy(),
        limits.thin, limits.opaque, LARGEST_STEP * limits.opaque, slots.numpy(), counts.numpy(),
    )  # fmt: skip
    return slots, counts


def walk_reference(
    origins: Tensor,
    directions: Tensor,
    offsets: Tensor,
    step_length: Tensor,
    steps: int,
    density: Tensor,
    limits: Limits,
) -> tuple[Tensor, Tensor]:
    """The twin of the numba walk: kept step indices, packed to the left, and their number."""
    index = torch.arange(steps, device=origins.device)
    t = (index + offsets[:, None]) / steps
    points = origins[:, None] + t[..., None] * directions[:, None]
    size = torch.tensor(density.shape, device=origins.device)
    cell = torch.minimum((points * size).long().clamp(min=0), size - 1)
    optical = density[cell[..., 0], cell[..., 1], cell[..., 2]] * step_length[:, None]
    keep = (optical > limits.thin) | (index == steps - 1)
    kept = torch.where(keep, optical, 0.0).clamp(max=LARGEST_STEP * limits.opaque)
    keep &= kept.cumsum(1) - kept <= limits.opaque
    slots = torch.argsort((~keep).to(torch.uint8), dim=1, stable=True).to(torch.int32)
    return slots, keep.sum(1)


def _pack(slots: Tensor, counts: Tensor, offsets: Tensor, starts: Tensor) -> Samples:
    steps = slots.shape[1]
    if use_cpu_kernels(offsets):
        total = int(starts[-1])
        t, ray = torch.empty(total), torch.empty(total, dtype=torch.int64)
        march_cpu.pack(slots.numpy(), offsets.numpy(), starts.numpy(), t.numpy(), ray.numpy())
        return Samples(t, ray, starts)
    ray = torch.repeat_interleave(torch.arange(len(slots), device=slots.device), counts)
    place = torch.arange(len(ray), device=slots.device) - starts[ray]
    return Samples((slots[ray, place] + offsets[ray]) / steps, ray, starts)


class _SamplePoints(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, origins: Tensor, directions: Tensor, samples: Samples) -> Tensor:
        out = torch.empty(3, len(samples.t))
        march_cpu.points(
            origins.detach().contiguous().numpy(), directions.detach().contiguous().numpy(),
            samples.t.numpy(), samples.starts.numpy(), out.numpy(),
        )  # fmt: skip
        ctx.samples = samples
        return out.T

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None]:
        samples = ctx.samples
        origin_gradient = torch.empty(len(samples.starts) - 1, 3)
        direction_gradient = torch.empty_like(origin_gradient)
        march_cpu.points_gradient(
            gradient.T.contiguous().numpy(), samples.t.numpy(), samples.starts.numpy(),
            origin_gradient.numpy(), direction_gradient.numpy(),
        )  # fmt: skip
        return origin_gradient, direction_gradient, None
