"""How a step is split so that it fits into memory, known before training starts."""

from __future__ import annotations

import math
from dataclasses import dataclass

import psutil
import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks

from sharpfield.blur.kernel import Phase
from sharpfield.config import Config
from sharpfield.errors import InputError
from sharpfield.train.trainer import Trainer

SAFE_SHARE = 0.6
"""Share of the free memory that the saved tensors of a step may take.

The rest is for temporaries, gradients and what the allocator cannot use.
"""

PROBE_PIXELS = 16
FEWEST_RAYS = 64
ALL_OPEN = Phase(kernel_open=True, mask_open=True, learn_mask=True)


@dataclass(frozen=True)
class MemoryPlan:
    """What a process keeps of the largest step for its gradients, and the rays to keep at once.

    ``rays_at_once`` 0: all of them.
    """

    bytes_per_ray: float
    rays: int
    rays_at_once: int

    @property
    def step_bytes(self) -> int:
        """What the largest step would keep, unsplit."""
        return round(self.bytes_per_ray * self.rays)


def plan_memory(trainer: Trainer, limit: int | None, processes: int) -> MemoryPlan:
    """Measure one small worst case, every ray of the largest kernel, and split to fit ``limit``.

    ``limit`` is in bytes per process; None takes the safe share of what is free now.
    """
    config = trainer.config
    per_ray = saved_bytes_per_ray(trainer)
    rays = config.train.pixels * _largest_kernel(config) // processes
    usable = SAFE_SHARE * free_bytes(trainer.device) if limit is None else limit
    at_once = max(FEWEST_RAYS, int(usable / per_ray))
    return MemoryPlan(per_ray, rays, 0 if at_once >= rays else at_once)


def check_unsplit(plan: MemoryPlan, pixels: int, device: torch.device) -> None:
    """Raise ``InputError`` where the largest step, unsplit, is larger than what is free."""
    free = free_bytes(device)
    if plan.step_bytes > free:
        fits = max(1, int(pixels * SAFE_SHARE * free / plan.step_bytes))
        raise InputError(
            f"--N_rand {pixels}: a step would take {plan.step_bytes / 2**30:.1f} GiB and "
            f"{free / 2**30:.1f} GiB are free; set --N_rand {fits} or --memory auto"
        )


def saved_bytes_per_ray(trainer: Trainer) -> float:
    """Bytes that autograd keeps per kernel ray; each tensor counted once, parameters not at all."""
    seen: dict[int, int] = {}
    kept: list[Tensor] = []  # so that no memory is used again while it is counted
    parameters = {p.untyped_storage().data_ptr() for p in trainer.model.parameters()}

    def count(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in parameters:
            seen[storage.data_ptr()] = storage.nbytes()
            kept.append(tensor)
        return tensor

    with saved_tensors_hooks(count, lambda tensor: tensor):
        rays = trainer.rehearse(PROBE_PIXELS, ALL_OPEN)
    return sum(seen.values()) / rays


def free_bytes(device: torch.device) -> int:
    """Memory that is free on the device, or in the machine."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    return int(psutil.virtual_memory().available)


def _largest_kernel(config: Config) -> int:
    """The most rays that a pixel can have."""
    return 1 if config.blur.model == "none" else config.blur.motions + 1


def rehearse_largest(trainer: Trainer, rays_at_once: int, processes: int) -> None:
    """On a CUDA device, compute the largest part once, so that what does not fit fails at once.

    That is, of a process's share of a step. Raises ``InputError`` where it does not fit. A CPU is
    slow and has swap: the plan must do.
    """
    if trainer.device.type != "cuda":
        return
    config = trainer.config
    pixels = math.ceil(config.train.pixels / processes)
    if rays_at_once:
        pixels = max(1, min(pixels, rays_at_once // _largest_kernel(config)))
    try:
        trainer.rehearse(pixels, ALL_OPEN)
    except torch.OutOfMemoryError:
        raise InputError(
            f"--N_rand {config.train.pixels}: the largest step does not fit into the GPU's memory; "
            f"set --N_rand {max(1, config.train.pixels // 2)} or --memory auto"
        ) from None
    torch.cuda.empty_cache()
