"""What a blurry pixel is made of: weighted kernel rays; and the protocol of blur models."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn


@dataclass(frozen=True)
class Pixels:
    """Pixels of photos: the view each belongs to and its image point (pixels, centres at +0.5)."""

    view: Int[Tensor, " pixels"]
    xy: Float[Tensor, "pixels 2"]

    def __len__(self) -> int:
        return len(self.view)


@dataclass(frozen=True)
class Kernel:
    """The kernel rays of a pixel batch, packed pixel after pixel.

    Ray r belongs to ``pixel[r]``, is seen through motion ``motion[r]`` (0 = origin), which has
    rank ``rank[r]`` among its view's motions, from the camera-to-world pose ``poses[r]``, and
    counts ``weights[r]``; weights of a pixel sum to one.
    The first pixels, as many as ``explored_sizes``, have all their rays, whatever the mask says;
    it holds the kernel sizes that the mask would have given them.
    """

    pixel: Int[Tensor, " rays"]
    motion: Int[Tensor, " rays"]
    rank: Int[Tensor, " rays"]
    poses: Float[Tensor, "rays 3 4"]
    weights: Float[Tensor, " rays"]
    pixels: int
    explored_sizes: Float[Tensor, " explored"]

    @property
    def explored(self) -> int:
        """How many pixels have all their rays for the mask to learn from."""
        return len(self.explored_sizes)

    def blend(self, colours: Float[Tensor, "rays 3"]) -> Float[Tensor, "pixels 3"]:
        """Weighted sum of ray colours per pixel, in linear light."""
        blended = colours.new_zeros(self.pixels, 3)
        return blended.index_add(0, self.pixel, self.weights[:, None] * colours)


@dataclass(frozen=True)
class Phase:
    """Where training stands, as far as a blur model is concerned.

    ``kernel_open``: the kernel is in use (else every pixel is its origin ray).
    ``mask_open``: the mask decides (else all rays are open).
    ``temperature``: width of the soft gates in ranks; 0 means hard gates.
    ``learn_mask``: this step trains the Mask CNN.
    """

    kernel_open: bool
    mask_open: bool = False
    temperature: float = 0.0
    learn_mask: bool = False


WARM_UP = Phase(kernel_open=False)


class BlurModel(nn.Module, ABC):
    """Turns pixels into weighted kernel rays. Everything is available without a field."""

    poses: Float[Tensor, "views 3 4"]

    def __init__(self, poses: Float[Tensor, "views 3 4"]) -> None:
        super().__init__()
        self.register_buffer("poses", poses.clone(), persistent=False)

    @abstractmethod
    def motion_poses(self) -> Float[Tensor, "views motions 3 4"]:
        """Camera-to-world pose of every motion of every view; motion 0 is the given pose."""

    @abstractmethod
    def base_weights(self) -> Float[Tensor, "views motions"]:
        """Kernel weights with all rays open; they sum to one."""

    @abstractmethod
    def kernel(self, pixels: Pixels, phase: Phase) -> Kernel:
        """The kernel rays of ``pixels``; each pixel's rays do not depend on the other pixels."""

    @abstractmethod
    def masks(self, view: int) -> Float[Tensor, "motions height width"]:
        """The mask over a whole photo: gates in [0, 1] per motion; the origin's gate is 1."""

    def costs(self, phase: Phase) -> Float[Tensor, " views"]:
        """Expected kernel rays per pixel of each view."""
        return self.poses.new_ones(len(self.poses))

    def mask_loss(self, kernel: Kernel, colours: Float[Tensor, "rays 3"]) -> Float[Tensor, ""]:
        """What the mask is taught by the rays just rendered, beside the photo; zero by default.

        ``colours`` are linear and detached.
        """
        return colours.new_zeros(())

    def origin_kernel(self, pixels: Pixels) -> Kernel:
        """One ray per pixel, unmoved: plain NeRF."""
        index = torch.arange(len(pixels), device=pixels.view.device)
        weights = torch.ones(len(pixels), device=pixels.view.device)
        origin = torch.zeros_like(index)
        poses = self.poses[pixels.view]
        return Kernel(index, origin, origin, poses, weights, len(pixels), weights[:0])


def packed_kernel(
    view: Int[Tensor, " pixels"],
    gates: Float[Tensor, "pixels motions"],
    base_weights: Float[Tensor, "views motions"],
    poses: Float[Tensor, "views motions 3 4"],
    rendered: Bool[Tensor, "pixels motions"],
    rank: Int[Tensor, "pixels motions"],
    explored_sizes: Float[Tensor, " explored"],
) -> Kernel:
    """Pack the ``rendered`` rays; weights are gate times base weight, made to sum to one."""
    weights = gates * base_weights.index_select(0, view) * rendered
    weights = weights / weights.sum(1, keepdim=True)
    pixel, motion = rendered.nonzero(as_tuple=True)
    # index_select adds its gradient up in a fixed order, indexing does not.
    ray_poses = poses.flatten(0, 1).index_select(0, view[pixel] * poses.shape[1] + motion)
    return Kernel(
        pixel,
        motion,
        rank[pixel, motion],
        ray_poses,
        weights[pixel, motion],
        len(view),
        explored_sizes,
    )
