"""The dynamic kernel: rigid motions, and a Mask CNN that sizes the kernel of every pixel."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from sharpfield.blur.kernel import TRAINED, Exploration, Kernel, Phase, Pixels, packed_kernel
from sharpfield.blur.mask import MaskNetwork, ViewSizes
from sharpfield.blur.motions import Motions, displacements
from sharpfield.blur.nested import (
    cut_off_weights,
    quadrature_rules,
    quadrature_weights,
    rank_by_size,
    rank_by_spread,
    renormalised_weights,
)
from sharpfield.blur.photo_gate import PhotoGate
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
    n keeps the origin ray and the motions of rank below n, which take over the weights of the
    closed ones. The CNN is taught on pixels whose rays are all rendered: a ray should be closed
    when closing it, and all after it, changes the pixel by less than a tolerance. This criterion
    knows nothing of the fit, so that a bad start cannot talk the mask into closing everything.

    Sizes grow from coarse to fine: first all pixels have `first_size`, then photos that need no
    kernel close theirs as a whole, and only in a field that is already sharp does the mask let
    off single pixels of the others. In a blurry field rays differ little, and the mask would
    close what could make it sharp.
    """

    sizes: Float[Tensor, "views rows columns"]
    """What the CNN last wanted, whatever the photo gate says."""

    _spread: Int[Tensor, " motions"]
    _rules: Float[Tensor, "sizes motions motions"]

    def __init__(
        self,
        poses: Float[Tensor, "views 3 4"],
        motions: Motions,
        config: BlurConfig,
        camera: Camera,
        depth: float,
        photos: Float[Tensor, "views height width 3"],
    ) -> None:
        super().__init__(poses, motions, camera, depth)
        self.config = config
        self.rays = config.motions + 1
        self.first = min(config.first_size, self.rays)
        self.mask: MaskNetwork | ViewSizes
        if config.mask == "network":
            self.mask = MaskNetwork(photos, config.embedding, config.mask_channels, self.rays)
        else:
            self.mask = ViewSizes(len(poses), self.rays)
        with torch.no_grad():
            everything = torch.arange(len(poses))
            sizes = self.mask(everything, self.motions.embedding, torch.zeros(len(poses), 3, 3))
        self.register_buffer("sizes", torch.full_like(sizes, float(self.rays)))
        self.photo_gate = PhotoGate(len(poses), config.photo_share, config.photo_tolerance)
        spread = rank_by_spread(config.motions)
        self.register_buffer("_spread", spread, persistent=False)
        self.register_buffer("_rules", quadrature_rules(spread), persistent=False)

    def ranks(self) -> Int[Tensor, "views motions"]:
        """Rank of each motion, 0 for the origin: the order in which gates open."""
        if self.config.order == "spread":
            return self._spread.expand(len(self.poses), self.rays)
        with torch.no_grad():
            return rank_by_size(displacements(self.motions.twists(), self.camera, self.depth))

    def extents(self, views: Int[Tensor, " views"]) -> Float[Tensor, "views 3 3"]:
        """Root mean square displacement of the views' motions at nine points, in pixels."""
        with torch.no_grad():
            moved = displacements(self.motions.twists()[views], self.camera, self.depth)
        x_major = moved.unflatten(2, (3, 3, 2)).square().sum(-1).mean(1).sqrt()
        return x_major.transpose(1, 2)

    def sized_weights(self) -> Float[Tensor, "views sizes motions"]:
        """Kernel weights at every size from 1; closed motions count nothing."""
        base = self.base_weights()
        if not self.config.renormalise:
            return cut_off_weights(base, self.ranks())
        if self.config.order == "spread":
            return quadrature_weights(base, self._rules)
        return renormalised_weights(base, self.ranks())

    def kernel(self, pixels: Pixels, phase: Phase) -> Kernel:
        """Open gates of adjacent rank differ by the share of a pixel that has that very size.

        So the weights of soft gates are a mixture of those of whole sizes. The first pixels of a
        step that teaches the mask, those that `explored` counts, have all gates open.
        """
        if not phase.kernel_open:
            return super().kernel(pixels, phase)
        explored = self.explored(len(pixels), phase)
        learning, others = pixels[slice(0, explored)], pixels[slice(explored, None)]
        stored = bilinear(self.sizes, others.view, others.xy, self.camera)
        size = torch.cat([self._fresh_sizes(learning), stored]) if explored else stored
        gates = self._gates(size, pixels.view, phase)
        gates[:explored] = 1.0 + (gates[:explored] - gates[:explored].detach())
        rendered = (gates > RENDERED_GATE).gather(1, self.ranks()[pixels.view])
        of_size = gates - F.pad(gates[:, 1:], (0, 1))
        sized = self.sized_weights()
        by_size = sized.index_select(0, pixels.view)
        weights = (of_size[:, None] @ by_size)[:, 0]
        lessons = None
        if explored:
            lessons = Exploration(size[:explored], sized.detach(), phase.hard)
        return packed_kernel(
            pixels.view, weights, rendered, self.motion_poses(), lessons, self.config.renormalise
        )

    def _gates(
        self, size: Float[Tensor, " pixels"], view: Int[Tensor, " pixels"], phase: Phase
    ) -> Float[Tensor, "pixels ranks"]:
        """Gates by rank, where the CNN wants ``size`` rays."""
        gates = open_gates(self._in_use(size, phase), self.rays, phase.temperature)
        rank = torch.arange(self.rays, device=size.device)
        return gates * (rank < self._most_rays(phase)[view, None])

    def _in_use(self, wanted: Tensor, phase: Phase) -> Tensor:
        """Sizes in use where the CNN wants ``wanted``, up to `_most_rays`."""
        if not phase.mask_open:
            return torch.full_like(wanted, float(self.first))
        if phase.temperature > 0:
            return 1.0 + (self.first - 1) * (wanted - 1.0)
        return wanted

    def _most_rays(self, phase: Phase) -> Int[Tensor, " views"]:
        """The most rays that a pixel of each view may have."""
        most = self.rays if phase.hard else self.first
        has_kernel = self.photo_gate.open | (not phase.mask_open)
        return torch.where(has_kernel, most, 1)

    def _fresh_sizes(self, pixels: Pixels) -> Float[Tensor, " pixels"]:
        """Kernel sizes as the CNN now has them; its maps are kept."""
        learning = pixels.view.unique()
        maps = self.mask(learning, self.motions.embedding[learning], self.extents(learning))
        self.sizes[learning] = maps.detach()
        place = torch.searchsorted(learning, pixels.view)
        return bilinear(maps, place, pixels.xy, self.camera)

    def explored(self, pixels: int, phase: Phase) -> int:
        learns = phase.kernel_open and phase.learn_mask
        return math.ceil(self.config.mask_exploration * pixels) if learns else 0

    def costs(self, phase: Phase) -> Float[Tensor, " views"]:
        if not phase.kernel_open:
            return super().costs(phase)
        sizes = self._in_use(self.sizes, phase).clamp(min=1.0)
        return sizes.minimum(self._most_rays(phase)[:, None, None]).mean((1, 2))

    def own_loss(
        self, kernel: Kernel, pixels: Pixels, colours: Float[Tensor, "rays 3"]
    ) -> Float[Tensor, ""]:
        """What the rays just rendered teach the mask: which ranks explored pixels should open."""
        lessons = kernel.exploration
        if lessons is None:
            return super().own_loss(kernel, pixels, colours)
        self._judge_photos(lessons, kernel, pixels, colours)
        has_kernel = self.photo_gate.open[pixels.view[: len(lessons)]]
        wanted = torch.where(has_kernel, self._wanted_sizes(lessons, pixels, colours), 1)
        ladder = torch.arange(1, self.rays, device=wanted.device)
        should_open = (wanted[:, None] > ladder).to(lessons.sizes.dtype)
        logits = (lessons.sizes[:, None] - ladder - 0.5) / SURROGATE_TEMPERATURE
        return F.binary_cross_entropy_with_logits(logits, should_open)

    @torch.no_grad()
    def _judge_photos(
        self, lessons: Exploration, kernel: Kernel, pixels: Pixels, colours: Float[Tensor, "rays 3"]
    ) -> None:
        """Let the photo gate know how the kernel changes all pixels that have all their rays."""
        whole = torch.bincount(kernel.pixel, minlength=len(pixels)) == self.rays
        view = pixels.view[whole]
        rays = colours[whole[kernel.pixel]].view(-1, self.rays, 3)
        self.photo_gate.follow(view, changes(lessons.weights[view][:, [0, -1]], rays)[:, 0])

    @torch.no_grad()
    def _wanted_sizes(
        self, lessons: Exploration, pixels: Pixels, colours: Float[Tensor, "rays 3"]
    ) -> Int[Tensor, " explored"]:
        """Fewest rays per explored pixel from which on the colour stays within the tolerance."""
        explored = len(lessons)
        rays = colours[: explored * self.rays].view(explored, self.rays, 3)
        change = changes(lessons.weights[pixels.view[:explored]], rays)
        too_few = change > self.config.mask_tolerance**2
        if lessons.each_alone:
            too_few &= change[:, :1] > self.config.sharp_tolerance**2
        return too_few.int().flip(1).cummax(1).values.flip(1).sum(1) + 1

    def masks(self, view: int) -> Float[Tensor, "motions height width"]:
        with torch.no_grad():
            centres = pixel_centres(self.camera).to(self.sizes.device)
            views = torch.full((len(centres),), view, device=self.sizes.device)
            sizes = bilinear(self.sizes, views, centres, self.camera)
            sizes = sizes.clamp(min=1.0).minimum(self._most_rays(TRAINED)[view])
            sizes = sizes.view(self.camera.height, self.camera.width)
            return (self.ranks()[view][:, None, None] < sizes - 0.5).float()


def open_gates(
    size: Float[Tensor, " pixels"], rays: int, temperature: float
) -> Float[Tensor, "pixels ranks"]:
    """Gates in [0, 1] by rank, never rising; that of rank 0, the origin, is 1.

    A soft gate is ``sigmoid((size - rank - 0.5) / temperature)``; a hard one is its sign. All
    pass the gradient of a soft gate that is wide enough to be felt from afar (straight-through).
    """
    height = size[:, None] - torch.arange(1, rays, device=size.device) - 0.5
    surrogate = torch.sigmoid(height / max(temperature, SURROGATE_TEMPERATURE))
    if temperature > 0:
        value = torch.sigmoid(height.detach() / temperature)
    else:
        value = (height.detach() > 0).float()
    return F.pad(value + (surrogate - surrogate.detach()), (1, 0), value=1.0)


def changes(
    weights: Float[Tensor, "pixels sizes motions"], rays: Float[Tensor, "pixels motions 3"]
) -> Float[Tensor, "pixels sizes"]:
    """Mean squared difference, in display colours, of pixels of each size to those of the last."""
    display = gamma_curve(weights @ rays)
    return ((display - display[:, -1:]) ** 2).mean(-1)


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
