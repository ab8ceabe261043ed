"""From rays to colours: march, evaluate the field, composite."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from sharpfield.fields.field import Field
from sharpfield.geometry.ndc import NdcCube
from sharpfield.geometry.rays import Rays
from sharpfield.ops.composite import composite
from sharpfield.ops.march import march, sample_points
from sharpfield.render.occupancy import OccupancyGrid

OCCUPIED_ALPHA = 0.01
"""A step through a cell counts when it would be at least this opaque."""


@dataclass(frozen=True)
class RayColours:
    """Linear colour of each ray, its expected ``t`` in the cube, and the samples it all took."""

    colour: Float[Tensor, "rays 3"]
    depth: Float[Tensor, " rays"]
    samples: int


class Renderer(nn.Module):
    """Renders packed world rays through a field; knows nothing of pixels, views or blur."""

    def __init__(self, cube: NdcCube, occupancy: OccupancyGrid, steps: int) -> None:
        super().__init__()
        self.cube = cube
        self.occupancy = occupancy
        self.steps = steps

    def __call__(self, field: Field, rays: Rays, offsets: Float[Tensor, " rays"]) -> RayColours:
        """Render ``rays`` with sample places ``(i + offset) / steps``, offsets in [0, 1)."""
        inside = self.cube.rays(rays)
        step_length = inside.directions.detach().norm(dim=1) / self.steps
        samples = march(
            inside.origins, inside.directions, offsets, self.steps, step_length,
            self.occupancy.density, OCCUPIED_ALPHA,
        )  # fmt: skip
        points = sample_points(inside.origins, inside.directions, samples)
        seen = field(points, F.normalize(rays.directions, dim=1), samples.ray)
        colour, depth = composite(seen.density, seen.colour, samples, step_length)
        return RayColours(colour, depth, len(samples.t))

    def image_offsets(self, rays: Rays) -> Float[Tensor, " rays"]:
        """The offsets of a still picture: every sample in the middle of its step."""
        return torch.full((len(rays),), 0.5, device=rays.origins.device)
