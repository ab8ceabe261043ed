"""The occupancy grid: where in the unit cube there may be something."""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from sharpfield.fields.field import Field

DECAY = 0.3
"""A cell forgets its highest density by this factor at each of its updates: one that was opaque is
known to be empty after half a dozen."""


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
        """Refresh every ``slabs``-th layer in depth, in turn, at one random point per cell.

        In depth, so that neighbouring rays see cells of the same age: by layers from left to right
        almost a decibel was lost.
        """
        first = int(self.next_slab) % slabs
        cells = self.density[..., first::slabs]
        points = torch.rand(*cells.shape, 3, generator=generator).to(cells.device)
        for axis, count in enumerate(self.density.shape):
            start, step = (first, slabs) if axis == 2 else (0, 1)
            corners = torch.arange(count, device=cells.device)[start::step]
            points[..., axis].add_(corners.view([-1 if a == axis else 1 for a in range(3)]))
            points[..., axis].div_(count)
        fresh = field.density(points.view(-1, 3)).view(cells.shape)
        cells.copy_(torch.maximum(cells * DECAY, fresh))
        self.next_slab += 1
