"""One training step: pixels to kernel rays to colours to loss to gradients."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from sharpfield.blur.kernel import Phase, Pixels
from sharpfield.model import Model


@dataclass(frozen=True)
class StepResult:
    """What a step measured: mean squared display error, rays, samples, mask loss."""

    loss: float
    rays: int
    samples: int
    mask_loss: float


def train_step(
    model: Model,
    optimiser: torch.optim.Optimizer,
    pixels: Pixels,
    photo_colours: Float[Tensor, "pixels 3"],
    phase: Phase,
    generator: torch.Generator,
) -> StepResult:
    """Fit one batch of pixels; ``photo_colours`` are display colours."""
    kernel = model.blur.kernel(pixels, phase)
    rays = model.kernel_rays(pixels, kernel)
    offsets = torch.rand(len(rays), generator=generator).to(rays.origins.device)
    rendered = model.renderer(model.field, rays, offsets)
    predicted = model.display(kernel.blend(rendered.colour))
    photo_loss = ((predicted - photo_colours) ** 2).mean()
    mask_loss = model.blur.mask_loss(kernel, rendered.colour.detach())
    optimiser.zero_grad(set_to_none=True)
    (photo_loss + mask_loss).backward()
    optimiser.step()
    return StepResult(
        float(photo_loss.detach()), len(rays), rendered.samples, float(mask_loss.detach())
    )
