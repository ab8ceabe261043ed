"""No blur model: every pixel is one ray. A baseline NeRF on the same path."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from sharpfield.blur.kernel import BlurModel, Kernel, Phase, Pixels


class NoBlur(BlurModel):
    """The kernel of one unmoved ray."""

    def __init__(self, poses: Float[Tensor, "views 3 4"], height: int, width: int) -> None:
        super().__init__(poses)
        self.size = (height, width)

    def motion_poses(self) -> Float[Tensor, "views motions 3 4"]:
        return self.poses[:, None]

    def base_weights(self) -> Float[Tensor, "views motions"]:
        return self.poses.new_ones(len(self.poses), 1)

    def kernel(self, pixels: Pixels, phase: Phase) -> Kernel:
        return self.origin_kernel(pixels)

    def masks(self, view: int) -> Float[Tensor, "motions height width"]:
        return self.poses.new_ones(1, *self.size)
