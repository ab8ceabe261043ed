"""From rays to colours through the occupied part of the unit cube, with packed samples."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from sharpfield.fields.field import Field
from sharpfield.geometry.ndc import NdcCube, ndc_lengths
from sharpfield.geometry.rays import Rays
from sharpfield.ops.composite import composite
from sharpfield.ops.march import Limits, march, sample_points
from sharpfield.ops.ray_maps import cube_rays
from sharpfield.render.occupancy import OccupancyGrid
from sharpfield.render.renderer import RayColours, Renderer, mean_picture

EXPLORING = Limits(thin=0.03, opaque=12.0)
SETTLED = Limits(thin=0.055, opaque=4.5)
"""Fog and what hides behind surfaces are sampled while shapes are found, and fewer, better placed
samples to a ray leave more rays once they have settled. Shapes that are not found yet would freeze
where they are: the motions bend to fit them, and other views are displaced."""

SETTLED_SHARE, SETTLED_STEPS = 0.3, 256
"""The share of training, and the steps at least, by which shapes have settled; limits change evenly
until then."""

UNSEEN_ALPHA = 1.1 * SETTLED.thin
"""What a step through a cell counts for until its first update, which then may close it."""

GOLDEN_SECTION = 0.6180339887498949

PICTURE_PLACES = (0.25, 0.75)
"""Where within their step the samples of a picture lie. Training sees them everywhere and fits the
mean; a single place shows the edges of steps."""

OCCUPANCY_EVERY = 8
OCCUPANCY_SLABS = 8
"""The occupancy grid is refreshed at every so many steps, one of so many parts at a time."""

OFTEN_UNTIL = 2
"""Steps for each cell across, during which that holds whatever the grid's size: most of the cube
turns out to be empty."""

SMALL_GRID = 96 * 96 * 48
"""Grids of more cells are refreshed more rarely from then on: it costs no more than for this."""


class MarchingRenderer(Renderer):
    """March, evaluate the field where the occupancy grid is not empty, composite."""

    settled: Float[Tensor, ""]
    """How far the shapes have settled, in [0, 1]."""

    def __init__(self, cube: NdcCube, cells: tuple[int, int, int], steps: int) -> None:
        """``cells`` of the occupancy grid along each axis; ``steps`` per ray."""
        super().__init__()
        self.cube = cube
        # No ray crosses the cube, which is 1 deep, in shorter steps than 1 / steps.
        self.occupancy = OccupancyGrid(cells, UNSEEN_ALPHA * steps)
        self.register_buffer("settled", torch.zeros(()))
        self.steps = steps
        rarely = round(OCCUPANCY_EVERY * math.prod(cells) / SMALL_GRID)
        self.refresh_every = max(OCCUPANCY_EVERY, rarely)
        self.often_until = OFTEN_UNTIL * cells[0]

    def draws(self, rays: int, generator: torch.Generator) -> Float[Tensor, "rays 1"]:
        """Where within their step the samples of each ray lie.

        By golden section: rays that follow on each other, as those of a pixel do, fill the step
        evenly, so that their mean is less noisy than that of independent ones.
        """
        first = torch.rand((), generator=generator, dtype=torch.float64)
        places = (first + torch.arange(rays, dtype=torch.float64) * GOLDEN_SECTION) % 1.0
        return places.float()[:, None]

    def __call__(
        self, field: Field, rays: Rays, draws: Float[Tensor, "rays 1"] | None
    ) -> RayColours:
        """Sample places are ``(i + draw) / steps``; a picture is the mean over a few draws.

        Gradients reach the rays through the places only: a motion hardly turns a view direction.
        """
        if draws is not None:
            return self._render(field, rays, draws[:, 0])
        return mean_picture(
            [
                self._render(field, rays, rays.origins.new_full((len(rays),), place))
                for place in PICTURE_PLACES
            ]
        )

    def _render(self, field: Field, rays: Rays, offsets: Float[Tensor, " rays"]) -> RayColours:
        inside = cube_rays(rays, self.cube)
        step_length = inside.directions.detach().norm(dim=1) / self.steps
        samples = march(
            inside.origins, inside.directions, offsets,
            self.steps, step_length, self.occupancy.density, self._limits(),
        )  # fmt: skip
        points = sample_points(inside.origins, inside.directions, samples)
        seen = field(points, F.normalize(rays.directions.detach(), dim=1), samples.ray)
        colour, depth = composite(seen.density, seen.colour, samples, step_length)
        return RayColours(colour, depth, len(samples.t))

    def _limits(self) -> Limits:
        settled = float(self.settled)
        pairs = zip(EXPLORING, SETTLED, strict=True)
        return Limits(*(first * (last / first) ** settled for first, last in pairs))

    def lengths(self, rays: Rays, t: Float[Tensor, " rays"]) -> Float[Tensor, " rays"]:
        low, high = self.cube.low[2], self.cube.high[2]
        return ndc_lengths(rays, low + t * (high - low))

    def rehearse(self, field: Field) -> None:
        with torch.no_grad():
            field.density(self.occupancy.density.new_zeros(1, 3))

    def refresh(
        self, field: Field, generator: torch.Generator, step: int, share_done: float
    ) -> None:
        self.settled.fill_(min(1.0, share_done / SETTLED_SHARE, step / SETTLED_STEPS))
        every = OCCUPANCY_EVERY if step < self.often_until else self.refresh_every
        if step % every == 0:
            self.occupancy.update(field, generator, OCCUPANCY_SLABS)
