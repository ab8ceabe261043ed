"""How a step's kernel is cut into parts: for memory, and for several processes."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from sharpfield.blur.kernel import Kernel


@dataclass(frozen=True)
class Part:
    """A run of pixels and the run of kernel rays that belong to them."""

    pixels: slice
    rays: slice


def cut_into_parts(kernel: Kernel, rays_at_once: int, processes: int) -> list[Part]:
    """Parts with about equally many rays, at most about ``rays_at_once`` each (0: no limit).

    The number of parts is a multiple of ``processes``. A pixel is never cut, and a part may be
    empty where pixels are fewer than parts.
    """
    rays = len(kernel)
    each = math.ceil(rays / processes / rays_at_once) if rays_at_once > 0 else 1
    count = max(1, each) * processes
    if count == 1:
        return [Part(slice(0, kernel.pixels), slice(0, rays))]
    wanted = torch.arange(1, count) * rays // count
    ends = [0, *kernel.pixel.cpu()[wanted].tolist(), kernel.pixels]
    ray_ends = torch.searchsorted(kernel.pixel, torch.tensor(ends).to(kernel.pixel)).tolist()
    return [
        Part(slice(ends[i], ends[i + 1]), slice(ray_ends[i], ray_ends[i + 1])) for i in range(count)
    ]
