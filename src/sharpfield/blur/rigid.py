"""The rigid blurring kernel (DP-NeRF, section 4.1): M + 1 rays for every pixel of a view."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from sharpfield.blur.kernel import BlurModel, Kernel, Phase, Pixels
from sharpfield.blur.motions import Motions, ViewKernels
from sharpfield.blur.pose_correction import PoseCorrection
from sharpfield.geometry.camera import Camera
from sharpfield.ops.nested_rays import pack


class RigidBlur(BlurModel):
    """Every pixel of a view shares the view's motions and weights.

    Without ``origin``, the unmoved ray is never rendered and the others share its weight.
    """

    def __init__(
        self,
        poses: Float[Tensor, "views 3 4"],
        motions: Motions,
        camera: Camera,
        depth: float,
        origin: bool = True,
        correction: PoseCorrection | None = None,
    ) -> None:
        super().__init__(poses)
        self.motions, self.camera, self.depth, self.origin = motions, camera, depth, origin
        self.correction = correction

    def centres(self) -> Float[Tensor, "views 3 4"]:
        return self.poses if self.correction is None else self.motion_poses()[:, 0]

    def motion_poses(self) -> Float[Tensor, "views motions 3 4"]:
        return self._view_kernels().poses

    def base_weights(self) -> Float[Tensor, "views motions"]:
        return self._view_kernels().weights

    def _view_kernels(self) -> ViewKernels:
        """Of every view, with all rays open."""
        poses, weights = self.motions.kernels(self.poses, self.correction)
        if not self.origin:
            moved = weights[:, 1:]
            weights = F.pad(moved / moved.sum(1, keepdim=True), (1, 0))
        return ViewKernels(poses, weights)

    def kernel(self, pixels: Pixels, phase: Phase) -> Kernel:
        if not phase.kernel_open:
            return self.origin_kernel(pixels)
        poses, base = self._view_kernels()
        weights = base.index_select(0, pixels.view)
        rendered = torch.ones_like(weights, dtype=torch.bool)
        rendered[:, 0] = self.origin
        return Kernel(*pack(pixels.view, weights, rendered, poses, True), len(pixels))

    def costs(self, phase: Phase) -> Float[Tensor, " views"]:
        rays = self.motions.motions + self.origin if phase.kernel_open else 1
        return self.poses.new_full((len(self.poses),), float(rays))

    def masks(self, view: int) -> Float[Tensor, "motions height width"]:
        shape = (self.motions.motions + 1, self.camera.height, self.camera.width)
        mask = self.poses.new_ones(shape)
        mask[0] = float(self.origin)
        return mask
