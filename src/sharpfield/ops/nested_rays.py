"""Kernel rays of pixels whose sizes are known: small, but asked for at every step."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor

from sharpfield.geometry.camera import Camera
from sharpfield.ops import nested_rays_cpu
from sharpfield.ops.dispatch import arrays, use_cpu_kernels

RENDERED_GATE = 0.05
"""Soft gates below this are closed: their rays would count for little. The gate of a ray is the
share of the sizes in a pixel's mixture that have it."""

SURROGATE_TEMPERATURE = 1.5
"""Ranks over which the straight-through gradient of a hard gate spreads."""

LOOKED_AT = 4
"""Every so many rows and columns of a map are enough for its mean, which every step asks for."""


class Opening(NamedTuple):
    """How wanted sizes become gates: ``offset + slope * size`` rays, at most ``most`` of a view.

    ``temperature`` is the width of the gates in ranks; 0: hard ones.
    """

    offset: float
    slope: float
    temperature: float
    most: Int[Tensor, " views"]

    def sizes(self, wanted: Tensor) -> Tensor:
        """The sizes in use, not yet cut off at ``most``."""
        return self.offset + self.slope * wanted


class Nest(NamedTuple):
    """The kernels of each view at every size from 1.

    Weights of all motions that any size has, positive where the size has the motion and else zero;
    their poses.
    """

    sized: Float[Tensor, "views sizes motions"]
    poses: Float[Tensor, "views motions 3 4"]
    renormalise: bool


class PackedRays(NamedTuple):
    """Rays, pixel after pixel: whose they are, through which motion, from where, their weight."""

    pixel: Int[Tensor, " rays"]
    motion: Int[Tensor, " rays"]
    poses: Float[Tensor, "rays 3 4"]
    weights: Float[Tensor, " rays"]


def nested_rays(
    maps: Float[Tensor, "views rows columns"],
    view: Int[Tensor, " pixels"],
    xy: Float[Tensor, "pixels 2"],
    camera: Camera,
    opening: Opening,
    nest: Nest,
) -> PackedRays:
    """The open rays of pixels that want the sizes in ``maps``; differentiable in the nest only."""
    if not use_cpu_kernels(maps, xy, nest.sized, nest.poses):
        return nested_rays_reference(maps, view, xy, camera, opening, nest)
    poses, weights, pixel, motion = _NestedRays.apply(
        nest.sized, nest.poses, nest.renormalise, maps.detach(), view, xy, camera, opening
    )
    return PackedRays(pixel, motion, poses, weights)


def nested_rays_reference(
    maps: Tensor, view: Tensor, xy: Tensor, camera: Camera, opening: Opening, nest: Nest
) -> PackedRays:
    """The twin of the numba kernel."""
    wanted = bilinear(maps.detach(), view, xy, camera)
    gates = limited_gates(wanted, view, opening, nest.sized.shape[1])
    weights = mixed_weights(gates, view, nest.sized)
    rendered = mixed_weights(gates, view, (nest.sized > 0).float()) > RENDERED_GATE
    return pack(view, weights, rendered, nest.poses, nest.renormalise)


def mean_sizes(
    maps: Float[Tensor, "views rows columns"], opening: Opening
) -> Float[Tensor, " views"]:
    """Rays per pixel of each view, about, where the sizes in ``maps`` are wanted."""
    if not use_cpu_kernels(maps):
        return mean_sizes_reference(maps, opening)
    means = torch.empty(len(maps))
    nested_rays_cpu.mean_sizes(
        opening.offset, opening.slope, LOOKED_AT, *arrays(maps, opening.most, means)
    )
    return means


def mean_sizes_reference(maps: Tensor, opening: Opening) -> Tensor:
    """The twin of the numba kernel."""
    sizes = opening.sizes(maps[:, ::LOOKED_AT, ::LOOKED_AT]).clamp(min=1.0)
    return sizes.minimum(opening.most[:, None, None]).mean((1, 2))


def limited_gates(
    wanted: Float[Tensor, " pixels"], view: Int[Tensor, " pixels"], opening: Opening, rays: int
) -> Float[Tensor, "pixels ranks"]:
    """Gates of so many ranks, where ``wanted`` rays are wanted; beyond a view's most, closed."""
    gates = open_gates(opening.sizes(wanted), rays, opening.temperature)
    return gates * (torch.arange(rays, device=view.device) < opening.most[view, None])


def gate_heights(size: Shaped[Tensor, " pixels"], rays: int) -> Float[Tensor, "pixels ranks"]:
    """By how many ranks a pixel's size exceeds what opens each gate but the origin's."""
    return size[:, None] - torch.arange(1, rays, device=size.device) - 0.5


def open_gates(
    size: Float[Tensor, " pixels"], rays: int, temperature: float
) -> Float[Tensor, "pixels ranks"]:
    """Gates in [0, 1] by rank, never rising; that of rank 0, the origin, is 1.

    A soft gate is ``sigmoid((size - rank - 0.5) / temperature)``; a hard one is its sign. All
    pass the gradient of a soft gate that is wide enough to be felt from afar (straight-through).
    """
    height = gate_heights(size, rays)
    surrogate = torch.sigmoid(height / max(temperature, SURROGATE_TEMPERATURE))
    if temperature > 0:
        value = torch.sigmoid(height.detach() / temperature)
    else:
        value = (height.detach() > 0).float()
    return F.pad(value + (surrogate - surrogate.detach()), (1, 0), value=1.0)


def mixed_weights(
    gates: Float[Tensor, "pixels ranks"],
    view: Int[Tensor, " pixels"],
    sized: Float[Tensor, "views sizes motions"],
) -> Float[Tensor, "pixels motions"]:
    """Weights of soft gates: gates of adjacent rank differ by the share that has that very size."""
    of_size = gates - F.pad(gates[:, 1:], (0, 1))
    return (of_size[:, None] @ sized.index_select(0, view))[:, 0]


def pack(
    view: Int[Tensor, " pixels"],
    weights: Float[Tensor, "pixels motions"],
    rendered: Bool[Tensor, "pixels motions"],
    poses: Float[Tensor, "views motions 3 4"],
    renormalise: bool,
) -> PackedRays:
    """The ``rendered`` rays; with ``renormalise``, weights of a pixel sum to one."""
    weights = weights * rendered
    if renormalise:
        weights = weights / weights.sum(1, keepdim=True)
    pixel, motion = rendered.nonzero(as_tuple=True)
    # index_select adds its gradient up in a fixed order, indexing does not.
    ray_poses = poses.flatten(0, 1).index_select(0, view[pixel] * poses.shape[1] + motion)
    return PackedRays(pixel, motion, ray_poses, weights[pixel, motion])


def bilinear(
    maps: Float[Tensor, "maps rows columns"],
    index: Int[Tensor, " pixels"],
    xy: Float[Tensor, "pixels 2"],
    camera: Camera,
) -> Float[Tensor, " pixels"]:
    """Sample ``maps[index]`` at image points of the full-size photo (edges repeat)."""
    rows, columns = maps.shape[1:]
    x = (xy[:, 0] / camera.width * columns - 0.5).clamp(0, columns - 1)
    y = (xy[:, 1] / camera.height * rows - 0.5).clamp(0, rows - 1)
    x0, y0 = x.floor().long().clamp(max=columns - 2), y.floor().long().clamp(max=rows - 2)
    fx, fy = x - x0, y - y0
    top = torch.lerp(maps[index, y0, x0], maps[index, y0, x0 + 1], fx)
    bottom = torch.lerp(maps[index, y0 + 1, x0], maps[index, y0 + 1, x0 + 1], fx)
    return torch.lerp(top, bottom, fy)


class _NestedRays(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, sized: Tensor, poses: Tensor, renormalise: bool, maps: Tensor,
        view: Tensor, xy: Tensor, camera: Camera, opening: Opening,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:  # fmt: skip
        pixels, (sizes, motions) = len(view), sized.shape[1:]
        of_size, totals = torch.empty(pixels, sizes), torch.empty(pixels)
        pixel, motion = torch.empty(2, pixels * motions, dtype=torch.int64)
        ray_poses, weights = torch.empty(pixels * motions, 3, 4), torch.empty(pixels * motions)
        count = nested_rays_cpu.nested_rays(
            camera.width, camera.height, opening.offset, opening.slope, opening.temperature,
            RENDERED_GATE, renormalise,
            *arrays(maps, view, xy, opening.most, sized, poses),
            *arrays(of_size, totals, pixel, motion, ray_poses, weights),
        )  # fmt: skip
        pixel, motion = pixel[:count], motion[:count]
        ray_poses, weights = ray_poses[:count], weights[:count]
        ctx.save_for_backward(view, pixel, motion, weights, of_size, totals, sized, poses)
        ctx.renormalise = renormalise
        ctx.mark_non_differentiable(pixel, motion)
        return ray_poses, weights, pixel, motion

    @staticmethod
    def backward(
        ctx: Any, d_poses: Tensor, d_weights: Tensor, *_: Tensor
    ) -> tuple[Tensor | None, ...]:
        *known, sized, poses = ctx.saved_tensors
        sized_gradient, poses_gradient = torch.zeros(sized.shape), torch.zeros(poses.shape)
        nested_rays_cpu.nested_rays_gradient(
            ctx.renormalise, *arrays(*known, d_poses, d_weights, sized_gradient, poses_gradient)
        )
        return sized_gradient, poses_gradient, *[None] * 6
