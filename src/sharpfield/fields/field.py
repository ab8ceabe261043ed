"""What the renderer needs to know of a field."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from jaxtyping import Float, Int
from torch import Tensor


@dataclass(frozen=True)
class FieldSamples:
    """The field at packed samples: density per cube length, linear colour in [0, 1]."""

    density: Float[Tensor, " samples"]
    colour: Float[Tensor, "samples 3"]


@runtime_checkable
class Field(Protocol):
    """A radiance field over the unit cube."""

    def density(self, points: Float[Tensor, "points 3"]) -> Float[Tensor, " points"]:
        """Density alone, for the occupancy grid."""
        ...

    def __call__(
        self,
        points: Float[Tensor, "samples 3"],
        view_directions: Float[Tensor, "rays 3"],
        ray: Int[Tensor, " samples"],
    ) -> FieldSamples:
        """The field at ``points``; sample i is seen along unit ``view_directions[ray[i]]``."""
        ...
