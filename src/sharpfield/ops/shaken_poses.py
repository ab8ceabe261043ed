"""Poses of cameras that shake behind a lens: small, but asked for at every step."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from sharpfield.geometry import se3
from sharpfield.geometry.shear import shifted_and_sheared
from sharpfield.ops import shaken_poses_cpu
from sharpfield.ops.dispatch import arrays, use_cpu_kernels


class Aperture(NamedTuple):
    """Where rays pass a thin lens: a point per motion, scaled by the radius of each view's lens.

    ``radius`` in scene units; ``disparity`` is one over the depth in focus.
    """

    points: Float[Tensor, "motions 2"]
    radius: Float[Tensor, " views"]
    disparity: Float[Tensor, " views"]

    def matrices(self) -> Float[Tensor, "views motions 3 4"]:
        """From the frame of the camera to that of each ray.

        The shear takes the shift back at the depth in focus.
        """
        shift = self.radius[:, None, None] * self.points
        return shifted_and_sheared(shift, shift * self.disparity[:, None, None])


def shaken_poses(
    given: Float[Tensor, "views 3 4"],
    twists: Float[Tensor, "views motions 6"],
    aperture: Aperture | None = None,
    correction: Float[Tensor, "views 6"] | None = None,
) -> Float[Tensor, "views motions_and_origin 3 4"]:
    """The given poses, and behind each those that its motions move it to; the lens moves along.

    No aperture: a pinhole. A correction is a twist that moves a camera before it shakes. Not
    differentiable in the given poses and the aperture's points.
    """
    if aperture is None:
        nothing = twists.new_zeros(len(twists))
        aperture = Aperture(twists.new_zeros(twists.shape[1], 2), nothing, nothing)
    if correction is None:
        correction = twists.new_zeros(len(twists), 6)
    if not use_cpu_kernels(given, correction, twists, *aperture):
        return shaken_poses_reference(given, twists, aperture, correction)
    poses: Tensor = _ShakenPoses.apply(given, correction, twists, *aperture)
    return poses


def shaken_poses_reference(
    given: Tensor, twists: Tensor, aperture: Aperture, correction: Tensor
) -> Tensor:
    """The twin of the numba kernel."""
    centres = se3.compose(given, se3.exponential(correction))[:, None]
    moved = se3.compose(se3.exponential(twists), aperture.matrices())
    return torch.cat([centres, se3.compose(centres, moved)], dim=1)


class _ShakenPoses(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, *inputs: Tensor) -> Tensor:
        ctx.inputs = arrays(*inputs)
        views, motions, _ = inputs[2].shape
        poses = torch.empty(views, motions + 1, 3, 4)
        ctx.outputs = arrays(poses)
        shaken_poses_cpu.shaken_poses(*ctx.inputs, *ctx.outputs)
        return poses

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, ...]:
        _, correction, twists, _, radius, disparity = ctx.inputs
        gradients = [torch.zeros(x.shape) for x in (correction, twists, radius, disparity)]
        shaken_poses_cpu.shaken_poses_gradient(
            *ctx.inputs, *ctx.outputs, *arrays(upstream, *gradients)
        )
        d_correction, d_twists, d_radius, d_disparity = gradients
        return None, d_correction, d_twists, None, d_radius, d_disparity
