"""The occupancy grid: where in the unit cube there may be something."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from sharpfield.fields.field import Field

DECAY = 0.85
"""A cell forgets its highest density by this factor at each of its updates."""


class OccupancyGrid(nn.Module):
    """Recent maximum of the density per cell (Mueller et al. 2022, appendix C).

    ``unseen_density`` is what a cell holds before its first update.
    """

    density: Float[Tensor, "x y z"]
    next_slab: Int[Tensor, ""]

    def __init__(self, shape: tuple[int, int, int], unseen_density: float) -> None:
        super().__init__()
        self.register_buffer("density", torch.full(shape, unseen_density))
        self.register_buffer("next_slab", torch.zeros((), dtype=torch.int64))

    @torch.no_grad()
    def update(self, field: Field, generator: torch.Generator, slabs: int) -> None:
        """Refresh one of ``slabs`` interleaved parts of the grid at one random point per cell."""
        device = self.density.device
        flat = self.density.view(-1)
        cells = torch.arange(int(self.next_slab) % slabs, len(flat), slabs, device=device)
        size = torch.tensor(self.density.shape, device=device)
        index = torch.stack(
            [cells // (size[1] * size[2]), cells // size[2] % size[1], cells % size[2]], dim=1
        )
        jitter = torch.rand(len(cells), 3, generator=generator).to(device)
        fresh = field.density((index + jitter) / size)
        flat[cells] = torch.maximum(flat[cells] * DECAY, fresh)
        self.next_slab += 1
