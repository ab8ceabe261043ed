"""The dynamic kernel: rigid motions, and a Mask CNN that sizes the kernel of every pixel."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from sharpfield.blur.kernel import Kernel, Phase, Pixels, packed_kernel
from sharpfield.blur.mask import MaskNetwork
from sharpfield.blur.motions import displacements, rank_by_halving, rank_by_size
from sharpfield.blur.rigid import RigidBlur
from sharpfield.blur.tone import gamma_curve
from sharpfield.config import BlurConfig
from sharpfield.geometry.camera import Camera
from sharpfield.geometry.rays import pixel_centres

RENDERED_GATE = 0.05
"""Soft gates below this are closed: their rays would count for little."""

SURROGATE_TEMPERATURE = 1.5
"""Ranks over which the straight-through gradient of a hard gate spreads."""


class DynamicBlur(RigidBlur):
    """A kernel whose size is decided per pixel; rays that the mask closes are never rendered.

    The motions of a view are ranked so that any first few sample its whole path. A pixel of size
    n keeps the origin ray and the motions of rank below n, weights made to sum to one. The CNN is
    taught on pixels whose rays are all rendered: a ray should be closed when closing it, and all
    after it, changes the pixel by less than a tolerance. This criterion knows nothing of the
    fit, so that a bad start cannot talk the mask into closing everything.
    """

    sizes: Float[Tensor, "views rows columns"]
    _halving: Int[Tensor, " motions"]

    def __init__(
        self,
        poses: Float[Tensor, "views 3 4"],
        config: BlurConfig,
        camera: Camera,
        depth: float,
        photos: Float[Tensor, "views height width 3"],
    ) -> None:
        super().__init__(poses, config, camera, depth)
        self.config = config
        self.rays = config.motions + 1
        self.mask = MaskNetwork(photos, config.embedding, config.mask_channels, self.rays)
        with torch.no_grad():
            everything = torch.arange(len(poses))
            sizes = self.mask(everything, self.motions.embedding, torch.zeros(len(poses), 3, 3))
        self.register_buffer("sizes", torch.full_like(sizes, float(self.rays)))
        self.register_buffer("_halving", rank_by_halving(config.motions), persistent=False)

    def ranks(self) -> Int[Tensor, "views motions"]:
        """Rank of each motion, 0 for the origin: the order in which gates open."""
        if self.config.order == "spread":
            return self._halving.expand(len(self.poses), self.rays)
        with torch.no_grad():
            return rank_by_size(displacements(self.motions.twists(), self.camera, self.depth))

    def extents(self) -> Float[Tensor, "views 3 3"]:
        """Root mean square displacement of each view's motions at nine points, in pixels."""
        with torch.no_grad():
            moved = displacements(self.motions.twists(), self.camera, self.depth)
        x_major = moved.unflatten(2, (3, 3, 2)).square().sum(-1).mean(1).sqrt()
        return x_major.transpose(1, 2)

    def kernel(self, pixels: Pixels, phase: Phase) -> Kernel:
        if not (phase.kernel_open and (phase.mask_open or phase.learn_mask)):
            return super().kernel(pixels, phase)
        views = pixels.view.unique() if phase.learn_mask else None
        size = self._sizes_at(pixels, views)
        explored = int(self.config.mask_exploration * len(pixels)) if phase.learn_mask else 0
        rank = self.ranks()[pixels.view]
        gates, rendered = open_gates(size, rank, phase.temperature, explored, phase.mask_open)
        return packed_kernel(
            pixels.view, gates, self.base_weights(), self.motion_poses(), rendered, rank,
            size[:explored],
        )  # fmt: skip

    def _sizes_at(self, pixels: Pixels, learning: Tensor | None) -> Float[Tensor, " pixels"]:
        """Kernel sizes of pixels, from fresh maps of the ``learning`` views or from stored maps."""
        if learning is None:
            return bilinear(self.sizes, pixels.view, pixels.xy, self.camera)
        maps = self.mask(learning, self.motions.embedding[learning], self.extents()[learning])
        self.sizes[learning] = maps.detach()
        place = torch.searchsorted(learning, pixels.view)
        return bilinear(maps, place, pixels.xy, self.camera)

    def costs(self, phase: Phase) -> Float[Tensor, " views"]:
        if not phase.mask_open:
            return super().costs(phase)
        return self.sizes.clamp(1.0, self.rays).mean((1, 2))

    def mask_loss(self, kernel: Kernel, colours: Float[Tensor, "rays 3"]) -> Float[Tensor, ""]:
        if kernel.explored == 0:
            return super().mask_loss(kernel, colours)
        count = kernel.explored * self.rays
        wanted = self._wanted_sizes(kernel, colours[:count])
        ladder = torch.arange(1, self.rays, device=wanted.device)
        logits = kernel.explored_sizes[:, None] - ladder - 0.5
        target = (wanted[:, None] > ladder).float()
        return F.binary_cross_entropy_with_logits(logits / SURROGATE_TEMPERATURE, target)

    @torch.no_grad()
    def _wanted_sizes(
        self, kernel: Kernel, colours: Float[Tensor, "rays 3"]
    ) -> Int[Tensor, " explored"]:
        """Fewest rays per explored pixel from which on the colour stays within the tolerance."""
        shape = (kernel.explored, self.rays)
        rank = kernel.rank[: len(colours)].view(shape)
        order = rank.argsort(dim=1)
        weights = kernel.weights[: len(colours)].view(shape).gather(1, order)
        colour = colours.view(*shape, 3).gather(1, order[..., None].expand(*shape, 3))
        summed = (weights[..., None] * colour).cumsum(1) / weights.cumsum(1)[..., None]
        display = gamma_curve(summed)
        change = ((display - display[:, -1:]) ** 2).mean(-1)
        too_few = change > self.config.mask_tolerance**2
        return too_few.int().flip(1).cummax(1).values.flip(1).sum(1) + 1

    def masks(self, view: int) -> Float[Tensor, "motions height width"]:
        with torch.no_grad():
            centres = pixel_centres(self.camera).to(self.sizes.device)
            views = torch.full((len(centres),), view, device=self.sizes.device)
            sizes = bilinear(self.sizes, views, centres, self.camera)
            sizes = sizes.view(self.camera.height, self.camera.width)
            rank = self.ranks()[view]
            return (rank[:, None, None] < sizes.clamp(min=1.0) - 0.5).float()


def open_gates(
    size: Float[Tensor, " pixels"],
    rank: Int[Tensor, "pixels motions"],
    temperature: float,
    explored: int,
    mask_open: bool,
) -> tuple[Float[Tensor, "pixels motions"], Tensor]:
    """Gates per motion and which rays to render.

    A soft gate is ``sigmoid((size - rank - 0.5) / temperature)``; a hard one is its sign. Hard
    and fully open gates pass the gradient of a soft gate (straight-through), which reaches the
    CNN wherever a ray is rendered. The origin's gate is 1. The first ``explored`` pixels, or all
    when the mask is not open yet, have every gate open.
    """
    height = size[:, None] - rank - 0.5
    surrogate = torch.sigmoid(height / max(temperature, SURROGATE_TEMPERATURE))
    if temperature > 0:
        value = torch.sigmoid(height.detach() / temperature)
    else:
        value = (height.detach() > 0).float()
    value = torch.where(rank == 0, 1.0, value)
    if mask_open:
        value[:explored] = 1.0
    else:
        value = torch.ones_like(value)
    rendered = value > RENDERED_GATE
    gates = value + torch.where(rank == 0, 0.0, surrogate - surrogate.detach())
    return gates, rendered


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
