"""The fast field: a multi-resolution hash grid with two small heads (Mueller et al. 2022)."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from sharpfield.config import HashGridConfig
from sharpfield.fields.field import FieldSamples
from sharpfield.ops.hash import hash_encode
from sharpfield.ops.hash_spec import FEATURES, HashSpec
from sharpfield.ops.radiance import DensityCurve, Heads, density, radiance

FEATURE_CHANNELS = 16
"""Output of the density head: the log density, and everything else that the colour head sees."""

SEEN_CHANNELS = 8
"""What the colour head knows of a ray: spherical harmonics of its direction."""

COARSE_FIRST = 0.5
"""How much less each finer level counts in the density at the start: shapes grow coarse to fine,
and colours, which all levels share alike, sharpen them. Left to chance, this costs up to a decibel.
"""

DENSITY_CURVE = DensityCurve(gain=6.0, empty=-1.5, limit=10.0)
"""The gain turns surfaces opaque within a few hundred steps; where nothing was learned, a step is
too thin to count as occupied."""


class HashGridField(nn.Module):
    """Density and view-dependent linear colour from a hash grid."""

    def __init__(self, config: HashGridConfig) -> None:
        super().__init__()
        self.spec = HashSpec(
            config.levels, config.log2_entries, config.coarsest, config.finest, config.depth_ratio
        )
        self.table = nn.Parameter(torch.empty(self.spec.rows, 2).uniform_(-1e-2, 1e-2))
        coarse_first = COARSE_FIRST ** torch.arange(config.levels).repeat_interleave(FEATURES)
        self.density_head = TwoLayer(coarse_first[:, None], config.hidden, FEATURE_CHANNELS)
        red_to_blue = torch.eye(FEATURE_CHANNELS + SEEN_CHANNELS)[:, 1:4]
        self.colour_head = TwoLayer(red_to_blue, config.hidden, 3)

    def density(self, points: Float[Tensor, "points 3"]) -> Float[Tensor, " points"]:
        return density(hash_encode(points, self.table, self.spec), self._heads(), DENSITY_CURVE)

    def __call__(
        self,
        points: Float[Tensor, "samples 3"],
        view_directions: Float[Tensor, "rays 3"],
        ray: Int[Tensor, " samples"],
    ) -> FieldSamples:
        encoded = hash_encode(points, self.table, self.spec)
        seen_along = spherical_harmonics(view_directions)
        return FieldSamples(*radiance(encoded, seen_along, ray, self._heads(), DENSITY_CURVE))

    def _heads(self) -> Heads:
        density, colour = self.density_head, self.colour_head
        return Heads(density.w1, density.w2, colour.w1, colour.w2)


class TwoLayer(nn.Module):
    """Weights of a perceptron with one hidden ReLU layer and no biases.

    It starts as a linear map: each hidden unit has a mirror image, and the two add up to what one
    without ReLU would give (Balduzzi et al. 2017, "The shattered gradients problem", section 4).
    ``first`` are the input directions that its first outputs start as; the others are random.
    """

    def __init__(self, first: Float[Tensor, "inputs known"], hidden: int, outputs: int) -> None:
        super().__init__()
        inputs, known = first.shape
        half = (hidden + 1) // 2
        into = nn.init.orthogonal_(torch.empty(inputs, half)) * math.sqrt(2.0 * half / inputs)
        towards = F.normalize(into.T @ first, dim=0)
        out = nn.init.orthogonal_(torch.empty(half, outputs))
        out = torch.cat([towards, (out - towards @ (towards.T @ out))[:, known:]], dim=1)
        out = F.normalize(out, dim=0) / math.sqrt(2.0)
        self.w1 = nn.Parameter(torch.cat([into, -into], dim=1)[:, :hidden].contiguous())
        self.w2 = nn.Parameter(torch.cat([out, -out])[:hidden])


def spherical_harmonics(directions: Float[Tensor, "rays 3"]) -> Float[Tensor, "rays 8"]:
    """Real spherical harmonics of degrees 1 and 2 at unit directions, up to constant factors."""
    x, y, z = directions.unbind(-1)
    return torch.stack([x, y, z, x * y, y * z, x * z, 3.0 * z * z - 1.0, x * x - y * y], dim=-1)
