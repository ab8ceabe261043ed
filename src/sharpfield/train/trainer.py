"""The trainer: a model, its optimiser and its random state, advanced one step at a time."""

from __future__ import annotations

import math
import typing
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sharpfield.blur.kernel import TRAINED, WARM_UP, Phase
from sharpfield.config import Config
from sharpfield.files import JSON
from sharpfield.model import Model
from sharpfield.scene.scene import Scene
from sharpfield.train.averaging import ParameterMean
from sharpfield.train.checkpoints import Checkpoint
from sharpfield.train.distributed import ALONE, Group
from sharpfield.train.memory import keep_freed_memory
from sharpfield.train.optimiser import build_optimiser, moments, restore_moments, set_rates
from sharpfield.train.pixel_sampler import Batch, PixelSampler
from sharpfield.train.schedule import adaptive_share_at, phase_at, rate_at, thrift_at
from sharpfield.train.step import StepResult, StepSettings, compute_gradients

SMALLEST_BATCH = 64

SMEARS_EVERY = 24
"""Once the mask is open, the smears of one view are looked at every so many steps."""


@dataclass
class Progress:
    """Where training stands and the running averages that shape its batches."""

    step: int = 0
    seconds: float = 0.0
    rays: int = 0
    pixels: int = 0
    samples: int = 0
    samples_per_ray: float = 0.0
    kernel_size: float = 1.0
    display_error: float = 0.01
    peak_memory_bytes: int = 0

    @property
    def rays_per_pixel(self) -> float:
        """Kernel rays rendered per pixel, over all of training."""
        return self.rays / max(1, self.pixels)


def read_progress(state: Mapping[str, JSON]) -> Progress:
    """The progress that a checkpoint's state holds."""
    return Progress(**typing.cast(dict[str, Any], dict(state)))


class Trainer:
    """Fits a model to the training photos of a scene. Knows no files."""

    def __init__(
        self, scene: Scene, config: Config, device: torch.device, group: Group = ALONE
    ) -> None:
        self.device, self.group = device, group
        torch.set_flush_denormal(True)  # old Adam moments fade into denormals, which are slow
        torch.manual_seed(config.train.seed)
        self.generator = torch.Generator().manual_seed(config.train.seed)
        self.model = Model(scene, config).to(device)
        self.config = config = self.model.config
        self.optimiser = build_optimiser(self.model, config.train)
        self.mean = ParameterMean(self.model)
        photos = np.stack([scene.views[i].photo for i in scene.train_indices])
        self.sampler = PixelSampler(
            torch.from_numpy(photos).to(device), config.train.textured, config.train.seed
        )
        self.progress = Progress(samples_per_ray=float(config.render.steps))
        if device.type == "cpu":
            keep_freed_memory()  # of steps, not of what has just been built
        self.torn = False
        """Whether a step began and never ended; the state is that of no step then."""

    @property
    def share_done(self) -> float:
        """Progress in [0, 1]: of the time budget, the ray budget, or the steps."""
        train, progress = self.config.train, self.progress
        if train.time_budget > 0:
            return min(1.0, progress.seconds / train.time_budget)
        if train.ray_budget > 0:
            return min(1.0, progress.rays / train.ray_budget)
        return min(1.0, progress.step / max(1, train.steps))

    @property
    def finished(self) -> bool:
        """Whether the budget is spent and the parameters are as `finish` leaves them."""
        return self.share_done >= 1.0 and self.mean.steps == 0

    def compile(self) -> None:
        """Run every kernel once, without effect, so that compilation is not counted as training."""
        for phase in (WARM_UP, TRAINED):
            self.model.blur.costs(phase)
            self.rehearse(SMALLEST_BATCH, phase)
        with self._forgetting():
            self.model.limit_kernels(0)
        self.model.renderer.rehearse(self.model.field)

    def rehearse(self, pixels: int, phase: Phase) -> int:
        """Compute a step's gradients for so many pixels, and forget them; how many rays it had.

        What the blur model has noticed on the way is forgotten as well.
        """
        shares = torch.ones(len(self.sampler.photos))
        generator = torch.Generator().manual_seed(0)
        batch = self.sampler.draw(pixels, 0, generator, shares)
        settings = StepSettings(phase, None, self.config.train.rays_at_once)
        with self._forgetting():
            result = compute_gradients(self.model, batch, settings, generator, ALONE)
        self.optimiser.zero_grad(set_to_none=True)
        return result.rays

    @contextmanager
    def _forgetting(self) -> Iterator[None]:
        """What the blur model notices within the block is forgotten."""
        noticed = [value.clone() for value in self.model.blur.noticed()]
        yield
        for value, before in zip(self.model.blur.noticed(), noticed, strict=True):
            value.copy_(before)

    def step(self) -> StepResult:
        """One optimiser step; the caller adds its seconds to ``progress``."""
        progress, config = self.progress, self.config
        self.torn = True
        set_rates(self.optimiser, rate_at(self.share_done, config))
        phase = phase_at(self.share_done, progress.step, config, progress.kernel_size)
        batch = self._draw(phase)
        adaptive_share = adaptive_share_at(self.share_done, progress.step, config)
        large = config.train.large_errors * math.sqrt(progress.display_error)
        settings = StepSettings(phase, adaptive_share, config.train.rays_at_once, large)
        self.optimiser.zero_grad(set_to_none=True)
        result = compute_gradients(self.model, batch, settings, self.generator, self.group)
        self.optimiser.step()
        self._account(result, len(batch.pixels), phase)
        self.model.renderer.refresh(
            self.model.field, self.generator, progress.step, self.share_done
        )
        if phase.mask_open and progress.step % SMEARS_EVERY == 0:
            self._look_at_smears(progress.step // SMEARS_EVERY)
        progress.step += 1
        if self.share_done > 1.0 - config.train.average:
            self.mean.add()
        else:  # a resumed run that was made longer has left its end again
            self.mean.forget()
        self.torn = False
        return result

    def _look_at_smears(self, turn: int) -> None:
        """Of one view after the other: a dynamic kernel has rays by how far a pixel is smeared."""
        self.model.limit_kernels(turn % len(self.sampler.photos))
        self.group.share(self.model.blur.noticed())

    def finish(self) -> None:
        """Leave the model as it was in the mean over the end of training, if that is wanted."""
        self.mean.hand_over()

    def _draw(self, phase: Phase) -> Batch:
        """A step's pixels; those that the mask learns from stand in front, and show few views."""
        blur = self.model.blur
        pixels = self._pixels_per_step(phase)
        explored = blur.explored(pixels, phase)
        place = self.progress.pixels
        shares = blur.costs(phase) ** -thrift_at(place / self.sampler.pixels)
        batch = self.sampler.draw(pixels - explored, place + explored, self.generator, shares)
        if not explored:
            return batch
        views = self.config.blur.mask_views
        return self.sampler.draw(explored, place, self.generator, shares, views) + batch

    def _pixels_per_step(self, phase: Phase) -> int:
        """As many pixels as the sample budget allows at the expected kernel size."""
        if self.config.train.pixels > 0:
            return self.config.train.pixels
        blur = self.config.blur
        size = self.progress.kernel_size
        if not phase.mask_open:
            size = float(self.model.blur.costs(phase).mean())
        if phase.learn_mask:
            size += blur.mask_exploration * (blur.motions + 1 - size)
        per_pixel = size * self.progress.samples_per_ray
        return max(SMALLEST_BATCH, int(self.config.train.samples / per_pixel))

    def _account(self, result: StepResult, pixels: int, phase: Phase) -> None:
        progress = self.progress
        if not math.isfinite(result.loss):
            raise FloatingPointError(f"the loss is {result.loss} at step {progress.step}")
        progress.rays += result.rays
        progress.pixels += pixels
        progress.samples += result.samples
        progress.samples_per_ray += 0.1 * (result.samples / result.rays - progress.samples_per_ray)
        progress.display_error += 0.02 * (result.error - progress.display_error)
        # What is explored has all rays, whatever the mask wants.
        explored = self.model.blur.explored(pixels, phase)
        if explored < pixels:
            rays = result.rays - explored * (self.config.blur.motions + 1)
            follow = 0.1 if phase.mask_open else 1.0
            size = rays / (pixels - explored)
            progress.kernel_size += follow * (size - progress.kernel_size)

    def stage(self) -> str:
        """What training is busy with, in words."""
        phase = phase_at(self.share_done, self.progress.step, self.config)
        if not phase.kernel_open:
            return "warm-up"
        if self.config.blur.model != "dynamic":
            return "sharpening"
        if not phase.mask_open:
            return "finding motions"
        return "soft masks" if phase.temperature > 0 else "hard masks"

    def tensors(self) -> dict[str, Tensor]:
        """Everything that a resumed run needs, as tensors."""
        model = {f"model/{name}": value for name, value in self.model.state_dict().items()}
        adam = {
            f"adam/{name}": value for name, value in moments(self.optimiser, self.model).items()
        }
        random = self.generator.get_state()
        return {**model, **adam, **self.mean.tensors(), "random": random}

    def state(self) -> dict[str, int | float]:
        """Everything else that a resumed run needs."""
        return asdict(self.progress)

    def expected_shapes(self) -> dict[str, torch.Size]:
        """Shapes of the model's tensors in a checkpoint of this configuration."""
        return self.model.checkpoint_shapes()

    def restore(self, checkpoint: Checkpoint) -> None:
        """Continue from ``checkpoint`` as if training had never stopped."""
        self.model.load_checkpoint(checkpoint.tensors)
        adam = {
            name.removeprefix("adam/"): value
            for name, value in checkpoint.tensors.items()
            if name.startswith("adam/")
        }
        restore_moments(self.optimiser, self.model, adam)
        self.generator.set_state(checkpoint.tensors["random"])
        self.progress = read_progress(checkpoint.state)
        self.mean.restore(checkpoint.tensors)
