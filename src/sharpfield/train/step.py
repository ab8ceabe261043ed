"""One training step: pixels to kernel rays to colours to loss to gradients."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from sharpfield.blur.kernel import Kernel, Phase
from sharpfield.errors import InputError
from sharpfield.model import Model
from sharpfield.train.distributed import Group
from sharpfield.train.parts import cut_into_parts
from sharpfield.train.pixel_sampler import Batch


@dataclass(frozen=True)
class StepSettings:
    """What a step does beside fitting.

    ``adaptive_share`` is the share of the loss through the adaptive weights, None: both count
    fully. ``rays_at_once`` bounds the kernel rays of a part, 0: no bound. Errors above
    ``large_error``, in display colours, count in proportion, 0: all by their squares.
    """

    phase: Phase
    adaptive_share: float | None = None
    rays_at_once: int = 0
    large_error: float = 0.0


@dataclass(frozen=True)
class StepResult:
    """What a step measured.

    Mean squared display error, the loss by the photos, rays, samples, the blur model's own loss.
    """

    error: float
    loss: float
    rays: int
    samples: int
    own_loss: float


@dataclass(frozen=True)
class _PartLoss:
    """Means over a part, what its rays have seen (linear, detached), and the samples it took."""

    loss: Float[Tensor, ""]
    error: Float[Tensor, ""]
    seen: Float[Tensor, "rays 3"]
    samples: int


def compute_gradients(
    model: Model,
    batch: Batch,
    settings: StepSettings,
    generator: torch.Generator,
    group: Group,
) -> StepResult:
    """Add the gradients of one batch of pixels, computed part by part.

    The parts, and the processes that share them, change the result by rounding only: the kernel,
    its own loss and all random numbers belong to the whole step.
    """
    with torch.set_grad_enabled(settings.phase.learns):
        kernel = model.blur.training_kernel(batch.pixels, settings.phase, generator)
    _check_same_kernel(kernel, group)
    draws = model.renderer.draws(len(kernel), generator)
    cut = kernel.cut()
    parts = cut_into_parts(cut, settings.rays_at_once, group.size)
    seen = batch.colours.new_zeros(len(cut), 3)
    error = loss = samples = 0.0
    for number in group.mine(len(parts)):
        pixels, rays = parts[number].pixels, parts[number].rays
        if pixels.start == pixels.stop:
            continue
        part = cut if len(parts) == 1 else cut.part(rays, pixels)
        result = _part_loss(model, part, batch[pixels], draws[rays], settings)
        share = part.pixels / cut.pixels
        (share * result.loss).backward()
        seen[rays] = result.seen
        error += share * result.error.item()
        loss += share * result.loss.item()
        samples += result.samples
    seen = group.total(seen)
    own = _add_own_loss(model, cut, batch, seen, group)
    kernel.carry_back(cut)
    group.add_gradients(model.parameters())
    sums = torch.tensor([error, loss, own, samples], dtype=torch.float64)
    error, loss, own, samples = group.total(sums.to(batch.colours.device)).tolist()
    return StepResult(error, loss, len(kernel), round(samples), own)


def _check_same_kernel(kernel: Kernel, group: Group) -> None:
    """Kernels that round differently cost their processes the common random numbers.

    Raises ``InputError`` where they do.
    """
    rays = group.of_all([float(len(kernel))], kernel.poses.device)
    if any(count != rays[0] for count in rays):
        raise InputError(
            "the processes see kernels of different sizes; use the same kind of device and the "
            "same version of torch for all of them"
        )


def _add_own_loss(
    model: Model, kernel: Kernel, batch: Batch, seen: Float[Tensor, "rays 3"], group: Group
) -> float:
    """The blur model's own loss; every process computes it, and the first adds its gradients.

    What the blur model has noticed is that of the first: sums on a GPU differ by rounding.
    """
    own = model.blur.own_loss(kernel, batch.pixels, batch.colours, seen, model.display)
    group.share(model.blur.noticed())
    if not group.first:
        return 0.0
    if own.requires_grad:
        own.backward()
    return own.item()


def _part_loss(
    model: Model,
    kernel: Kernel,
    batch: Batch,
    draws: Float[Tensor, "rays numbers"],
    settings: StepSettings,
) -> _PartLoss:
    """Means over the part's pixels, with gradients."""
    rays = model.kernel_rays(batch.pixels, kernel)
    rendered = model.renderer(model.field, rays, draws.to(rays.origins.device))

    loss_of = partial(photo_loss, photo=batch.colours, large=settings.large_error)

    def shown(kernel: Kernel, colours: Float[Tensor, "rays 3"]) -> Float[Tensor, "pixels 3"]:
        return model.display(kernel.blend(colours))

    fine = shown(kernel, rendered.colour)
    error = F.mse_loss(fine.detach(), batch.colours)
    loss = loss_of(fine)
    if rendered.coarse is not None:
        loss = loss + loss_of(shown(kernel, rendered.coarse))
    if model.adaptive is not None and rendered.met is not None and settings.phase.kernel_open:
        proposed = replace(
            kernel, weights=model.adaptive_weights(batch.pixels, kernel, rendered.met)
        )
        adapted = loss_of(shown(proposed, rendered.colour))
        share = settings.adaptive_share
        loss = loss + adapted if share is None else (1.0 - share) * loss + share * adapted
    return _PartLoss(loss, error, rendered.colour.detach(), rendered.samples)


def photo_loss(
    shown: Float[Tensor, "pixels 3"], photo: Float[Tensor, "pixels 3"], large: float
) -> Float[Tensor, ""]:
    """Mean squared error, but errors above ``large`` pull no more than one of that (Huber 1964).

    0: all errors count by their squares.
    """
    if large == 0.0:
        return F.mse_loss(shown, photo)
    return 2.0 * F.huber_loss(shown, photo, delta=large)
