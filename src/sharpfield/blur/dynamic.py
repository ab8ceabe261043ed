"""The dynamic kernel: rigid motions, and a Mask CNN that sizes the kernel of every pixel."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from sharpfield.blur.kernel import TRAINED, Exploration, Kernel, Phase, Pixels
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
from sharpfield.blur.pose_correction import PoseCorrection
from sharpfield.blur.rigid import RigidBlur
from sharpfield.blur.small_kernels import SmallKernels, rays_of_size
from sharpfield.blur.tone import ToneCurve
from sharpfield.config import BlurConfig
from sharpfield.geometry.camera import Camera
from sharpfield.geometry.rays import pixel_centres
from sharpfield.ops.nested_rays import (
    SURROGATE_TEMPERATURE,
    Nest,
    Opening,
    bilinear,
    gate_heights,
    limited_gates,
    mean_sizes,
    mixed_weights,
    nested_rays,
    pack,
)
from sharpfield.ops.shaken_poses import shaken_poses

MISSING_RAY = 2.0
"""How much worse the mask's lessons count a ray that is closed and needed than one that is open and
is not: where a pixel might need it, it is rendered, and sharp photos have the photo gate."""

GRID_COLUMNS = 36
"""Places across a photo where smears are looked at: depths differ, but not from pixel to pixel."""


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
    close what could make it sharp. From then on a pixel also has no more rays than one for each
    ``ray_spacing`` pixels of its smear, and those of a kernel of their number.
    """

    sizes: Float[Tensor, "views rows columns"]
    """What the CNN last wanted, whatever the photo gate says."""

    limits: Float[Tensor, "views rows columns"]
    """The most rays that smears are worth; all before they were looked at."""

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
        correction: PoseCorrection | None = None,
    ) -> None:
        super().__init__(poses, motions, camera, depth, correction=correction)
        self.config = config
        self.rays = config.motions + 1
        self.first = config.most_rays(hard=False)
        self.mask: MaskNetwork | ViewSizes
        if config.mask == "network":
            self.mask = MaskNetwork(photos, config)
        else:
            self.mask = ViewSizes(len(poses), self.rays)
        with torch.no_grad():
            everything = torch.arange(len(poses))
            sizes = self.mask(everything, self.motions.embedding, torch.zeros(len(poses), 3, 3))
        self.register_buffer("sizes", torch.full_like(sizes, float(self.rays)))
        limited = config.ray_spacing > 0
        self.register_buffer("limits", self.sizes.clone(), persistent=limited)
        self.small = None
        if limited and config.motions >= 3 and config.renormalise:
            self.small = SmallKernels(config.motions, motions.code_width, config)
        self.photo_gate = PhotoGate(len(poses), config.photo_share, config.photo_tolerance)
        spread = rank_by_spread(config.motions)
        self.register_buffer("_spread", spread, persistent=False)
        self.register_buffer("_rules", quadrature_rules(spread), persistent=False)

    def ranks(self, poses: Float[Tensor, "views motions 3 4"]) -> Int[Tensor, "views motions"]:
        """Rank of each motion, 0 for the origin: the order in which gates open."""
        if self.config.order == "spread":
            return self._spread.expand(len(self.poses), self.rays)
        return rank_by_size(displacements(poses.detach(), self.camera, self.depth))

    def spreads(self, poses: Float[Tensor, "views motions 3 4"]) -> Float[Tensor, "views 3 3"]:
        """Root mean square displacement by motions at nine points of a photo, in pixels."""
        moved = displacements(poses.detach(), self.camera, self.depth)
        return moved.square().mean(1).sqrt().unflatten(1, (3, 3)).transpose(1, 2)

    def sized_weights(
        self, base: Float[Tensor, "views motions"], rank: Int[Tensor, "views motions"]
    ) -> Float[Tensor, "views sizes motions"]:
        """Kernel weights at every size from 1; closed motions count nothing."""
        if not self.config.renormalise:
            return cut_off_weights(base, rank)
        if self.config.order == "spread":
            return quadrature_weights(base, self._rules)
        return renormalised_weights(base, rank)

    def kernel(self, pixels: Pixels, phase: Phase) -> Kernel:
        """The first pixels of a step that teaches the mask, as `explored` counts, have all rays.

        The others have as many as the stored maps of sizes say.
        """
        if not phase.kernel_open:
            return super().kernel(pixels, phase)
        explored = self.explored(len(pixels), phase)
        learning, others = pixels[slice(0, explored)], pixels[slice(explored, None)]
        opening, nest = self._opening(phase), self._nest(phase)
        judged = None
        if phase.judge_photos:
            weights = nest.sized[:, :, : self.rays].detach()
            judged = Exploration(self.sizes.new_zeros(0), weights, phase.hard)
        kernel = self._sized_kernel(others, opening, nest, self._wanted(phase), judged)
        if not explored:
            return kernel
        whole = nest if self._small_kernels(phase) is None else self._whole_nest()
        return self._explored_kernel(learning, opening, whole, phase) + kernel

    def whole_kernel(self, pixels: Pixels) -> Kernel:
        """All rays in photos that need a kernel, whatever the mask lets off; else the origin's."""
        every = Opening(float(self.rays), 0.0, 0.0, self._most_rays(TRAINED))
        return self._sized_kernel(pixels, every, self._whole_nest(), self.sizes)

    def _sized_kernel(
        self,
        pixels: Pixels,
        opening: Opening,
        nest: Nest,
        maps: Float[Tensor, "views rows columns"],
        judged: Exploration | None = None,
    ) -> Kernel:
        """As many rays as ``maps`` say, and ``opening`` makes of them."""
        rays = nested_rays(maps, pixels.view, pixels.xy, self.camera, opening, nest)
        if self.small is not None:
            rays = rays._replace(motion=self.small.motion_of[rays.motion])
        return Kernel(*rays, len(pixels), judged)

    def _explored_kernel(
        self, pixels: Pixels, opening: Opening, nest: Nest, phase: Phase
    ) -> Kernel:
        """All rays, at the weights of all open gates; the photo's gradient reaches the CNN."""
        size = self._fresh_sizes(pixels, nest.poses)
        gates = limited_gates(size, pixels.view, opening, self.rays)
        weights = mixed_weights(1.0 + (gates - gates.detach()), pixels.view, nest.sized)
        rendered = torch.ones_like(weights, dtype=torch.bool)
        lessons = Exploration(size, nest.sized.detach(), phase.hard)
        rays = pack(pixels.view, weights, rendered, nest.poses, nest.renormalise)
        return Kernel(*rays, len(pixels), lessons)

    def _nest(self, phase: Phase) -> Nest:
        """Kernels of every size; where there are small ones, they have motions of their own."""
        small = self._small_kernels(phase)
        if small is None:
            return self._whole_nest()
        course = self.motions.course()
        paths = small(course, self.motions.unit)
        poses = shaken_poses(
            self.poses,
            torch.cat([course.twists, paths.twists], dim=1),
            small.aperture(self.motions.aperture()),
            self.motions.corrected(course, self.correction),
        )
        return Nest(paths.weights, poses, True)

    def _small_kernels(self, phase: Phase) -> SmallKernels | None:
        """Small kernels are in use once gates are hard."""
        return self.small if phase.hard else None

    def _whole_nest(self) -> Nest:
        """Kernels whose every size has some of the motions of the whole one."""
        poses, base = self._view_kernels()
        weights = self.sized_weights(base, self.ranks(poses))
        return Nest(weights, poses, self.config.renormalise)

    def _wanted(self, phase: Phase) -> Float[Tensor, "views rows columns"]:
        """Sizes by the CNN; once gates are hard, no larger than smears are worth."""
        return self.sizes.minimum(self.limits) if phase.hard else self.sizes

    def grid(self, view: int) -> Pixels:
        """Places all over the photo of a training view where its smear should be looked at."""
        rows, columns = self._grid_shape()
        x = (torch.arange(columns) + 0.5) * (self.camera.width / columns)
        y = (torch.arange(rows) + 0.5) * (self.camera.height / rows)
        xy = torch.cartesian_prod(y, x).flip(1).to(self.poses)
        return Pixels(torch.full((len(xy),), view, device=xy.device), xy)

    def limit(self, view: int, extent: Float[Tensor, " places"]) -> None:
        """Take notice of how far, in pixels, kernels spread at the places of ``grid``."""
        most = 1.0 + extent.view(1, 1, *self._grid_shape()) / self.config.ray_spacing
        size = self.limits.shape[1:]
        self.limits[view] = F.interpolate(most, size, mode="bilinear", align_corners=False)[0, 0]

    def _grid_shape(self) -> tuple[int, int]:
        rows, columns = self.limits.shape[1:]
        coarser = max(1.0, columns / GRID_COLUMNS)
        return max(2, round(rows / coarser)), max(2, round(columns / coarser))

    def _opening(self, phase: Phase) -> Opening:
        """What sizes count for: nothing at first, then the first size or one, then themselves."""
        most = self._most_rays(phase)
        if not phase.mask_open:
            return Opening(float(self.first), 0.0, phase.temperature, most)
        if phase.temperature > 0:
            return Opening(2.0 - self.first, self.first - 1.0, phase.temperature, most)
        return Opening(0.0, 1.0, 0.0, most)

    def _most_rays(self, phase: Phase) -> Int[Tensor, " views"]:
        """The most rays that a pixel of each view may have."""
        most = self.config.most_rays(phase.hard)
        if not phase.mask_open:
            return torch.full_like(self.photo_gate.open, most, dtype=torch.int64)
        return torch.where(self.photo_gate.open, most, 1)

    def _fresh_sizes(
        self, pixels: Pixels, poses: Float[Tensor, "views motions 3 4"]
    ) -> Float[Tensor, " pixels"]:
        """Kernel sizes as the CNN now has them; its maps are kept."""
        learning = pixels.view.unique()
        spreads = self.spreads(poses[learning])
        maps = self.mask(learning, self.motions.embedding[learning], spreads)
        self.sizes[learning] = maps.detach()
        place = torch.searchsorted(learning, pixels.view)
        return bilinear(maps, place, pixels.xy, self.camera)

    def explored(self, pixels: int, phase: Phase) -> int:
        learns = phase.kernel_open and phase.learn_mask
        return math.ceil(self.config.mask_exploration * pixels) if learns else 0

    def costs(self, phase: Phase) -> Float[Tensor, " views"]:
        if not phase.kernel_open:
            return super().costs(phase)
        if not phase.mask_open:
            return self.poses.new_full((len(self.poses),), float(self.first))
        return mean_sizes(self._wanted(phase), self._opening(phase))

    def own_loss(
        self,
        kernel: Kernel,
        pixels: Pixels,
        photo: Float[Tensor, "pixels 3"],
        colours: Float[Tensor, "rays 3"],
        display: ToneCurve,
    ) -> Float[Tensor, ""]:
        """What the rays just rendered teach the mask: which ranks explored pixels should open."""
        lessons = kernel.exploration
        if lessons is not None:
            self._judge_photos(lessons, kernel, pixels, photo, colours, display)
        if not lessons:
            return super().own_loss(kernel, pixels, photo, colours, display)
        has_kernel = self.photo_gate.open[pixels.view[: len(lessons)]]
        wanted = self._wanted_sizes(lessons, pixels, colours, display)
        wanted = torch.where(has_kernel, wanted, 1)
        logits = gate_heights(lessons.sizes, self.rays) / SURROGATE_TEMPERATURE
        should_open = (gate_heights(wanted, self.rays) > 0).to(logits.dtype)
        missing = logits.new_tensor(MISSING_RAY)
        return F.binary_cross_entropy_with_logits(logits, should_open, pos_weight=missing)

    @torch.no_grad()
    def _judge_photos(
        self,
        lessons: Exploration,
        kernel: Kernel,
        pixels: Pixels,
        photo: Float[Tensor, "pixels 3"],
        colours: Float[Tensor, "rays 3"],
        display: ToneCurve,
    ) -> None:
        """Let the photo gate know what the kernel does to all pixels that have all their rays."""
        whole = torch.bincount(kernel.pixel, minlength=len(pixels)) == self.rays
        view = pixels.view[whole]
        rays = colours[whole[kernel.pixel]].view(-1, self.rays, 3)
        alone_or_whole = lessons.weights[:, [0, -1]].index_select(0, view)
        shown = display(alone_or_whole @ rays)
        unmoved, blurred = (shown - photo[whole, None]).square().mean(2).unbind(1)
        self.photo_gate.follow(view, changes(shown)[:, 0], unmoved, blurred)

    @torch.no_grad()
    def _wanted_sizes(
        self,
        lessons: Exploration,
        pixels: Pixels,
        colours: Float[Tensor, "rays 3"],
        display: ToneCurve,
    ) -> Int[Tensor, " explored"]:
        """Fewest rays per explored pixel from which on the colour stays within the tolerance."""
        explored = len(lessons)
        rays = colours[: explored * self.rays].view(explored, self.rays, 3)
        change = changes(display(lessons.weights[pixels.view[:explored]] @ rays))
        too_few = change > self.config.mask_tolerance**2
        if lessons.each_alone:
            too_few &= change[:, :1] > self.config.sharp_tolerance**2
        return too_few.int().flip(1).cummax(1).values.flip(1).sum(1) + 1

    def masks(self, view: int) -> Float[Tensor, "motions height width"]:
        """Which motions are open; in a small kernel, as many of its own stand for them."""
        with torch.no_grad():
            centres = pixel_centres(self.camera).to(self.sizes.device)
            views = torch.full((len(centres),), view, device=self.sizes.device)
            sizes = bilinear(self._wanted(TRAINED), views, centres, self.camera)
            sizes = (sizes - 0.5).ceil().clamp(min=1.0).minimum(self._most_rays(TRAINED)[view])
            if self.small is not None:
                sizes = rays_of_size(sizes, self.rays)
            sizes = sizes.view(self.camera.height, self.camera.width)
            return (self.ranks(self.motion_poses())[view][:, None, None] < sizes).float()


def changes(shown: Float[Tensor, "pixels sizes 3"]) -> Float[Tensor, "pixels sizes"]:
    """Mean squared difference of pixels of each size to those of the last, in display colours."""
    return ((shown - shown[:, -1:]) ** 2).mean(-1)
