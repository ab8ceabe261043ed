"""The deformable sparse kernel (Deblur-NeRF: Ma et al. 2022): points in the image plane."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from sharpfield.blur.kernel import BlurModel, Kernel, Phase, Pixels
from sharpfield.blur.network_motions import relu_layers
from sharpfield.blur.tone import ToneCurve
from sharpfield.config import SparseConfig
from sharpfield.fields.mlp import positional_encoding
from sharpfield.geometry.camera import Camera
from sharpfield.geometry.se3 import compose
from sharpfield.geometry.shear import shifted_and_sheared

START_SPREAD = 0.1
"""Standard deviation of the canonical points at the start, as a share of the window."""

HEAD_GAIN = 0.1
"""Of the last layer at the start, so that the points begin where the canonical ones are."""

ORIGIN_WEIGHT = 10.0
"""What a scene unit of the first ray's origin counts in the alignment, against a pixel."""


@dataclass(frozen=True)
class SparsePoints:
    """The kernel rays of pixels, as they leave the camera.

    ``image``: where they cross the image, in pixels from the pixel, x to the right and y down.
    ``origin``: where they start, in scene units along the camera's x and y axes.
    ``weights`` of a pixel sum to one.
    """

    image: Float[Tensor, "pixels points 2"]
    origin: Float[Tensor, "pixels points 2"]
    weights: Float[Tensor, "pixels points"]


class PointNetwork(nn.Module):
    """Every view has canonical points, which a network displaces from pixel to pixel."""

    photo_size: Float[Tensor, " axes"]

    def __init__(self, views: int, points: int, config: SparseConfig, camera: Camera) -> None:
        super().__init__()
        self.config, self.points = config, points
        self.canonical = nn.Parameter(START_SPREAD * torch.randn(views, points, 2))
        self.embedding = nn.Parameter(torch.zeros(views, config.embedding))
        inputs = 2 * (2 + 2 * config.point_octaves + 2 * config.pixel_octaves) + config.embedding
        self.layers = nn.Sequential(*relu_layers(inputs, config.width, config.depth))
        self.join = nn.Linear(inputs + config.width, config.width)
        self.head = nn.Linear(config.width, 5)
        for layer in self.modules():
            if isinstance(layer, nn.Linear):
                nn.init.xavier_normal_(layer.weight, HEAD_GAIN if layer is self.head else 1.0)
                nn.init.zeros_(layer.bias)
        size = torch.tensor([camera.width, camera.height], dtype=torch.float32)
        self.register_buffer("photo_size", size, persistent=False)

    def at(
        self, pixels: Pixels, jitter: Float[Tensor, "pixels points 2"] | None = None
    ) -> SparsePoints:
        """The points of ``pixels``; ``jitter``, in pixels, moves the canonical ones."""
        # index_select adds its gradient up in a fixed order, indexing does not.
        canonical = self.canonical.index_select(0, pixels.view).tanh() * self.config.window
        if jitter is not None:
            canonical = canonical + jitter
        place = (2.0 * pixels.xy / self.photo_size - 1.0) * math.pi
        of_pixel = torch.cat(
            [
                self.embedding.index_select(0, pixels.view),
                positional_encoding(place, self.config.pixel_octaves),
            ],
            dim=1,
        )
        of_point = positional_encoding(
            canonical * math.pi / self.config.window, self.config.point_octaves
        )
        shared = of_pixel[:, None].expand(-1, self.points, -1)
        seen = torch.cat([of_point, shared], dim=2)
        joined = F.relu(self.join(torch.cat([seen, self.layers(seen)], dim=2)))
        origin, moved, logit = self.head(joined).split([2, 2, 1], dim=2)
        weights = F.softmax(logit[..., 0], dim=1)
        return SparsePoints(canonical + moved, self.config.origin_scale * origin, weights)


class SparseBlur(BlurModel):
    """A pixel's rays cross the image at a few points around it and leave from points of their own.

    There is no unmoved ray: an alignment loss holds the first point, motion 0, near the pixel, and
    its ray near the camera's centre. Kernels vary over the photo; where a view is asked for its
    motions and weights as a whole, they are those at the centre of the photo.

    Two things differ from the published system. It jitters the points whenever it looks at them,
    and here only training does; and it gives the alignment up for the last tenth of its steps,
    which here stays.
    """

    def __init__(
        self,
        poses: Float[Tensor, "views 3 4"],
        motions: int,
        config: SparseConfig,
        camera: Camera,
    ) -> None:
        """``motions``: points besides the first."""
        super().__init__(poses)
        self.config, self.camera = config, camera
        self.motions = PointNetwork(len(poses), motions + 1, config, camera)

    def motion_poses(self) -> Float[Tensor, "views motions 3 4"]:
        """At the centre of the photo; motion 0 is held near the given pose, not tied to it."""
        centre = self._centre()
        return self._poses(centre, self.motions.at(centre))

    def base_weights(self) -> Float[Tensor, "views motions"]:
        return self.motions.at(self._centre()).weights

    def _centre(self) -> Pixels:
        """The middle of every photo."""
        views = torch.arange(len(self.poses), device=self.poses.device)
        middle = self.poses.new_tensor([self.camera.width / 2, self.camera.height / 2])
        return Pixels(views, middle.expand(len(views), 2))

    def kernel(self, pixels: Pixels, phase: Phase) -> Kernel:
        if not phase.kernel_open:
            return self.origin_kernel(pixels)
        return self._kernel_of(pixels, self.motions.at(pixels))

    def training_kernel(self, pixels: Pixels, phase: Phase, generator: torch.Generator) -> Kernel:
        if not phase.kernel_open:
            return self.origin_kernel(pixels)
        shape = (len(pixels), self.motions.points, 2)
        noise = torch.randn(shape, generator=generator).to(pixels.xy)
        return self._kernel_of(pixels, self.motions.at(pixels, self.config.jitter * noise))

    def _kernel_of(self, pixels: Pixels, points: SparsePoints) -> Kernel:
        count, each = points.weights.shape
        pixel = torch.arange(count, device=pixels.view.device).repeat_interleave(each)
        motion = torch.arange(each, device=pixels.view.device).repeat(count)
        poses = self._poses(pixels, points).flatten(0, 1)
        return Kernel(pixel, motion, poses, points.weights.flatten(), count)

    def _poses(self, pixels: Pixels, points: SparsePoints) -> Float[Tensor, "pixels points 3 4"]:
        given = self.poses[pixels.view][:, None]
        return compose(given, camera_matrices(points.image, points.origin, self.camera))

    def masks(self, view: int) -> Float[Tensor, "motions height width"]:
        shape = (self.motions.points, self.camera.height, self.camera.width)
        return self.poses.new_ones(shape)

    def costs(self, phase: Phase) -> Float[Tensor, " views"]:
        rays = self.motions.points if phase.kernel_open else 1
        return self.poses.new_full((len(self.poses),), float(rays))

    def own_loss(
        self,
        kernel: Kernel,
        pixels: Pixels,
        photo: Float[Tensor, "pixels 3"],
        colours: Float[Tensor, "rays 3"],
        display: ToneCurve,
    ) -> Float[Tensor, ""]:
        """The alignment of the first rays, read from their poses: mean absolute offsets."""
        if len(kernel) == kernel.pixels:  # plain NeRF
            return super().own_loss(kernel, pixels, photo, colours, display)
        first = kernel.poses.unflatten(0, (kernel.pixels, -1))[:, 0]
        given = self.poses[pixels.view]
        turned_back = given[:, :, :3].transpose(1, 2)
        shear = (turned_back @ first[:, :, 2:3])[:, :2, 0]
        origin = (turned_back @ (first[:, :, 3:] - given[:, :, 3:]))[:, :2, 0]
        image = (origin - shear) / depth_one_steps(shear, self.camera)
        aligned = image.abs().mean() + ORIGIN_WEIGHT * origin.abs().mean()
        return self.config.alignment * aligned


def camera_matrices(
    image: Float[Tensor, "*batch 2"], origin: Float[Tensor, "*batch 2"], camera: Camera
) -> Float[Tensor, "*batch 3 4"]:
    """Matrices that carry a pixel's ray, in camera axes, to one with these offsets.

    The camera moves to ``origin`` (scene units), and a shear turns the ray (directions have depth
    1, z = -1) so that at depth 1 it meets the unmoved camera's ray through the point ``image``
    (pixels, x to the right, y down) away. No rigid motion, but used like one.
    """
    shear = origin - image * depth_one_steps(image, camera)
    return shifted_and_sheared(origin, shear)


def depth_one_steps(like: Tensor, camera: Camera) -> Float[Tensor, " axes"]:
    """How far a pixel to the right, and one down, lie apart at depth 1, along camera axes."""
    return like.new_tensor([1.0 / camera.focal_x, -1.0 / camera.focal_y])
