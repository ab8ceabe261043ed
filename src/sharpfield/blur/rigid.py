"""The rigid blurring kernel (DP-NeRF, section 4.1): M + 1 rays for every pixel of a view."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from sharpfield.blur.kernel import BlurModel, Kernel, Phase, Pixels, packed_kernel
from sharpfield.blur.motions import RigidMotions
from sharpfield.config import BlurConfig
from sharpfield.geometry.camera import Camera


class RigidBlur(BlurModel):
    """Every pixel of a view shares the view's motions and weights."""

    def __init__(
        self,
        poses: Float[Tensor, "views 3 4"],
        config: BlurConfig,
        camera: Camera,
        depth: float,
    ) -> None:
        super().__init__(poses)
        self.camera, self.depth = camera, depth
        self.motions = RigidMotions(len(poses), config, camera, depth)

    def motion_poses(self) -> Float[Tensor, "views motions 3 4"]:
        return self.motions.poses(self.poses)

    def base_weights(self) -> Float[Tensor, "views motions"]:
        return self.motions.weights()

    def kernel(self, pixels: Pixels, phase: Phase) -> Kernel:
        if not phase.kernel_open:
            return self.origin_kernel(pixels)
        weights = self.base_weights().index_select(0, pixels.view)
        everything = torch.ones_like(weights, dtype=torch.bool)
        return packed_kernel(pixels.view, weights, everything, self.motion_poses())

    def costs(self, phase: Phase) -> Float[Tensor, " views"]:
        rays = self.motions.motions + 1 if phase.kernel_open else 1
        return self.poses.new_full((len(self.poses),), float(rays))

    def masks(self, view: int) -> Float[Tensor, "motions height width"]:
        shape = (self.motions.motions + 1, self.camera.height, self.camera.width)
        return self.poses.new_ones(shape)
