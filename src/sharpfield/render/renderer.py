"""What turns rays into colours: the protocol of renderers and what they give back."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from sharpfield.geometry.rays import Rays


@dataclass(frozen=True)
class RayFeatures:
    """What rays met at their samples, in order along the ray.

    ``features`` are the field's, ``lengths`` the distances to the next sample, in the units of
    the space that is sampled.
    """

    features: Float[Tensor, "rays samples channels"]
    lengths: Float[Tensor, "rays samples"]


@dataclass(frozen=True)
class RayColours:
    """Linear colour of each ray, its expected ``t`` in [0, 1], and the samples it all took.

    ``coarse`` is the colour by a first, coarser field, which wants its share of the loss.
    ``met`` is known where samples per ray are all alike in number.
    """

    colour: Float[Tensor, "rays 3"]
    depth: Float[Tensor, " rays"]
    samples: int
    coarse: Float[Tensor, "rays 3"] | None = None
    met: RayFeatures | None = None


def mean_picture(seen: Sequence[RayColours]) -> RayColours:
    """The mean of several renderings of the same rays, and the samples that they took together."""
    colour = torch.stack([one.colour for one in seen]).mean(0)
    depth = torch.stack([one.depth for one in seen]).mean(0)
    return RayColours(colour, depth, sum(one.samples for one in seen))


class Renderer(nn.Module, ABC):
    """Renders packed world rays through a field; knows nothing of pixels, views or blur."""

    @abstractmethod
    def draws(self, rays: int, generator: torch.Generator) -> Float[Tensor, "rays numbers"]:
        """The random numbers that a training step needs for ``rays`` rays, on the CPU.

        They are drawn for a whole step at once, so that the parts that it is computed in, and
        the processes, do not change the result.
        """

    @abstractmethod
    def __call__(
        self, field: Any, rays: Rays, draws: Float[Tensor, "rays numbers"] | None
    ) -> RayColours:
        """Render ``rays`` for training, or for a still picture where ``draws`` is None."""

    @abstractmethod
    def lengths(self, rays: Rays, t: Float[Tensor, " rays"]) -> Float[Tensor, " rays"]:
        """How far along world ``rays`` the places ``t`` in [0, 1] are.

        In units of their directions: where these have camera depth 1, it is the camera depth.
        """

    def refresh(self, field: Any, generator: torch.Generator, step: int, share_done: float) -> None:
        """Called after every training step, for what a renderer remembers of the field.

        ``share_done``: how much of the training is over, in [0, 1].
        """

    def rehearse(self, field: Any) -> None:
        """Run what `refresh` will need, without effect."""
