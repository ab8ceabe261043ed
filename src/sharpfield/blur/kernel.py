"""What a blurry pixel is made of: weighted kernel rays; and the protocol of blur models."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from sharpfield.blur.tone import ToneCurve


@dataclass(frozen=True)
class Pixels:
    """Pixels of photos: the view each belongs to and its image point (pixels, centres at +0.5)."""

    view: Int[Tensor, " pixels"]
    xy: Float[Tensor, "pixels 2"]

    def __len__(self) -> int:
        return len(self.view)

    def __getitem__(self, index: slice) -> Pixels:
        return Pixels(self.view[index], self.xy[index])


@dataclass(frozen=True)
class Exploration:
    """The first pixels of a kernel, if any, have all their rays, for the mask to learn from.

    ``sizes`` are the kernel sizes that the mask would have given them, ``weights`` what motions
    count at every size from 1, for all pixels. ``each_alone``: the field is sharp enough that
    pixels which look sharp may do without a kernel.
    """

    sizes: Float[Tensor, " explored"]
    weights: Float[Tensor, "views sizes motions"]
    each_alone: bool

    def __len__(self) -> int:
        return len(self.sizes)


@dataclass(frozen=True)
class Kernel:
    """The kernel rays of a pixel batch, packed pixel after pixel.

    Ray r belongs to ``pixel[r]``, is seen through motion ``motion[r]`` (0 = origin) from the
    camera-to-world pose ``poses[r]``, and counts ``weights[r]``. Weights of a pixel sum to one,
    unless closed rays keep theirs (``blur.renormalise`` false).
    """

    pixel: Int[Tensor, " rays"]
    motion: Int[Tensor, " rays"]
    poses: Float[Tensor, "rays 3 4"]
    weights: Float[Tensor, " rays"]
    pixels: int
    exploration: Exploration | None = None

    def __len__(self) -> int:
        return len(self.pixel)

    def __add__(self, other: Kernel) -> Kernel:
        """The kernels of both batches of pixels; what is explored of the second is forgotten."""
        return Kernel(
            torch.cat([self.pixel, other.pixel + self.pixels]),
            torch.cat([self.motion, other.motion]),
            torch.cat([self.poses, other.poses]),
            torch.cat([self.weights, other.weights]),
            self.pixels + other.pixels,
            self.exploration,
        )

    def blend(self, values: Float[Tensor, "rays channels"]) -> Float[Tensor, "pixels channels"]:
        """Weighted sum of what a pixel's rays have, such as their colours in linear light."""
        blended = values.new_zeros(self.pixels, values.shape[1])
        return blended.index_add(0, self.pixel, self.weights[:, None] * values)

    def cut(self) -> Kernel:
        """The same kernel, cut off from what it was computed of; see ``carry_back``."""
        lessons = self.exploration
        if lessons is not None:
            lessons = replace(lessons, sizes=_leaf(lessons.sizes))
        return replace(
            self, poses=_leaf(self.poses), weights=_leaf(self.weights), exploration=lessons
        )

    def carry_back(self, cut: Kernel) -> None:
        """Hand the gradients that ``cut`` has gathered on to what this kernel was computed of."""
        pairs = [(self.poses, cut.poses), (self.weights, cut.weights)]
        if self.exploration is not None and cut.exploration is not None:
            pairs.append((self.exploration.sizes, cut.exploration.sizes))
        reached = [(tensor, leaf.grad) for tensor, leaf in pairs if leaf.grad is not None]
        if reached:
            torch.autograd.backward([t for t, _ in reached], [gradient for _, gradient in reached])

    def part(self, rays: slice, pixels: slice) -> Kernel:
        """The kernel of a run of pixels, whose rays are ``rays``, without its exploration."""
        return Kernel(
            self.pixel[rays] - pixels.start,
            self.motion[rays],
            self.poses[rays],
            self.weights[rays],
            pixels.stop - pixels.start,
        )


def _leaf(tensor: Tensor) -> Tensor:
    return tensor.detach().requires_grad_(tensor.requires_grad)


@dataclass(frozen=True)
class Phase:
    """Where training stands, as far as a blur model is concerned.

    ``kernel_open``: the kernel is in use (else every pixel is its origin ray).
    ``mask_open``: the mask decides (else every pixel has the same kernel size).
    ``temperature``: width of the soft gates in ranks; 0 means hard gates.
    ``learn_mask``: this step trains the Mask CNN.
    ``judge_photos``: this step, like those that train the mask, tells photos that need no kernel.
    ``learn_motions``: this step trains motions and weights; a step that trains nothing of the
    blur model is cheaper.
    """

    kernel_open: bool
    mask_open: bool = False
    temperature: float = 0.0
    learn_mask: bool = False
    judge_photos: bool = False
    learn_motions: bool = True

    @property
    def learns(self) -> bool:
        """Whether this step trains anything of the blur model."""
        return self.learn_motions or self.learn_mask

    @property
    def hard(self) -> bool:
        """Whether the mask decides, and its gates are exactly 0 or 1."""
        return self.mask_open and self.temperature == 0


WARM_UP = Phase(kernel_open=False)
TRAINED = Phase(kernel_open=True, mask_open=True)


class BlurModel(nn.Module, ABC):
    """Turns pixels into weighted kernel rays. Everything is available without a field."""

    poses: Float[Tensor, "views 3 4"]

    def __init__(self, poses: Float[Tensor, "views 3 4"]) -> None:
        super().__init__()
        self.register_buffer("poses", poses.clone(), persistent=False)

    def centres(self) -> Float[Tensor, "views 3 4"]:
        """Camera-to-world pose of each view as a sharp photo: the given one, or a corrected one."""
        return self.poses

    @abstractmethod
    def motion_poses(self) -> Float[Tensor, "views motions 3 4"]:
        """Camera-to-world pose of every motion of every view; motion 0 is the view's centre.

        Of kernels that vary over the photo beyond their size, those at its centre.
        """

    @abstractmethod
    def base_weights(self) -> Float[Tensor, "views motions"]:
        """Kernel weights with all rays open; they sum to one."""

    @abstractmethod
    def kernel(self, pixels: Pixels, phase: Phase) -> Kernel:
        """The kernel rays of ``pixels``; each pixel's rays do not depend on the other pixels."""

    def whole_kernel(self, pixels: Pixels) -> Kernel:
        """The trained kernel of ``pixels``, with all that explains their photos."""
        return self.kernel(pixels, TRAINED)

    def training_kernel(self, pixels: Pixels, phase: Phase, generator: torch.Generator) -> Kernel:
        """The kernel of a training step, which may take random numbers from ``generator``."""
        return self.kernel(pixels, phase)

    @abstractmethod
    def masks(self, view: int) -> Float[Tensor, "motions height width"]:
        """The mask over a whole photo: gates in [0, 1] per motion; a gate of 0: never rendered."""

    def costs(self, phase: Phase) -> Float[Tensor, " views"]:
        """Expected kernel rays per pixel of each view."""
        return self.poses.new_ones(len(self.poses))

    def explored(self, pixels: int, phase: Phase) -> int:
        """How many of a step's pixels, its first ones, have all rays for the mask to learn from."""
        return 0

    def own_loss(
        self,
        kernel: Kernel,
        pixels: Pixels,
        photo: Float[Tensor, "pixels 3"],
        colours: Float[Tensor, "rays 3"],
        display: ToneCurve,
    ) -> Float[Tensor, ""]:
        """What the blur model asks for beside the photo; zero by default.

        ``kernel`` is that of ``pixels``, all of a step, which are ``photo`` in display colours;
        ``colours``, linear and detached, are what its rays have just seen, and ``display`` makes
        photo colours of them.
        """
        return colours.new_zeros(())

    def noticed(self) -> Iterator[Tensor]:
        """What training notices beside what it learns; a checkpoint keeps it."""
        learned = {name for name, _ in self.named_parameters()}
        for name, value in self.state_dict().items():
            if name not in learned:
                yield value

    def origin_kernel(self, pixels: Pixels) -> Kernel:
        """One ray per pixel, unmoved: plain NeRF."""
        index = torch.arange(len(pixels), device=pixels.view.device)
        weights = torch.ones(len(pixels), device=pixels.view.device)
        origin = torch.zeros_like(index)
        poses = self.poses[pixels.view]
        return Kernel(index, origin, poses, weights, len(pixels))
