"""The classic field: NeRF's coarse and fine networks (Mildenhall et al. 2020, appendix A)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from sharpfield.config import ActivationName, MlpConfig
from sharpfield.fields.field import FieldSamples

SKIP_AFTER = 5
"""Hidden layers after which the encoded position joins again."""

ACTIVATIONS: dict[ActivationName, Callable[[Tensor], Tensor]] = {
    "none": lambda raw: raw,
    "relu": F.relu,
    "sigmoid": torch.sigmoid,
    # Slightly wider than [0, 1], so that pure black and white lie within reach.
    "sigmoid1": lambda raw: 1.002 * torch.sigmoid(raw) - 0.001,
    "exp": torch.exp,
    "softplus": lambda raw: F.softplus(raw - 1.0),
}


class MlpField(nn.Module):
    """Two networks: ``coarse`` says where samples are worth while, ``fine`` what is there.

    Without fine samples there is no fine network, and the coarse one stands for it.
    """

    def __init__(self, config: MlpConfig, two: bool) -> None:
        super().__init__()
        self.coarse = NerfNetwork(config, config.depth, config.width)
        self.fine = NerfNetwork(config, config.fine_depth, config.fine_width) if two else None

    @property
    def feature_channels(self) -> int:
        """Width of the features that the last network gives."""
        return (self.fine or self.coarse).width


@dataclass(frozen=True)
class MlpSamples(FieldSamples):
    """The field at packed samples, and the feature that colour was made of."""

    feature: Float[Tensor, "samples channels"]


class NerfNetwork(nn.Module):
    """From positions and directions of view to density, colour and the last hidden layer."""

    def __init__(self, config: MlpConfig, depth: int, width: int) -> None:
        super().__init__()
        self.config, self.width = config, width
        position = encoded_width(config.position_octaves)
        inputs = [position] + [
            width + (position if layer == SKIP_AFTER else 0) for layer in range(1, depth)
        ]
        self.layers = nn.ModuleList([nn.Linear(count, width) for count in inputs])
        if config.view_directions:
            self.density_head = nn.Linear(width, 1)
            self.bottleneck = nn.Linear(width, width)
            self.view_layer = nn.Linear(width + encoded_width(config.direction_octaves), width // 2)
            self.colour_head = nn.Linear(width // 2, 3)
        else:
            self.head = nn.Linear(width, 4)

    def __call__(
        self,
        points: Float[Tensor, "rays samples 3"],
        view_directions: Float[Tensor, "rays 3"],
        density_noise: Float[Tensor, "rays samples"] | None = None,
    ) -> MlpSamples:
        """The field along rays seen in unit ``view_directions``; noise adds to the raw density.

        The results are flat over rays and samples.
        """
        encoded = positional_encoding(points, self.config.position_octaves)
        hidden = encoded
        for number, layer in enumerate(self.layers):
            if number == SKIP_AFTER:
                hidden = torch.cat([encoded, hidden], dim=-1)
            hidden = F.relu(layer(hidden))
        raw_density, raw_colour = self._heads(hidden, view_directions)
        if density_noise is not None:
            raw_density = raw_density + density_noise
        density = ACTIVATIONS[self.config.density_activation](raw_density)
        colour = ACTIVATIONS[self.config.colour_activation](raw_colour)
        return MlpSamples(density.flatten(), colour.flatten(0, 1), hidden.flatten(0, 1))

    def _heads(
        self, hidden: Float[Tensor, "rays samples width"], view_directions: Float[Tensor, "rays 3"]
    ) -> tuple[Float[Tensor, "rays samples"], Float[Tensor, "rays samples 3"]]:
        if not self.config.view_directions:
            raw = self.head(hidden)
            return raw[..., 3], raw[..., :3]
        seen_along = positional_encoding(view_directions, self.config.direction_octaves)
        seen_along = seen_along[:, None].expand(-1, hidden.shape[1], -1)
        bottleneck = self.bottleneck(hidden)
        seen = F.relu(self.view_layer(torch.cat([bottleneck, seen_along], dim=-1)))
        return self.density_head(hidden)[..., 0], self.colour_head(seen)


def encoded_width(octaves: int) -> int:
    """Channels of the encoding of three coordinates."""
    return 3 * (1 + 2 * octaves)


def positional_encoding(
    values: Float[Tensor, "*batch axes"], octaves: int
) -> Float[Tensor, "*batch channels"]:
    """The values, then sine and cosine at frequencies 1, 2, 4, ... (NeRF, equation 4)."""
    parts = [values]
    for octave in range(octaves):
        parts += [torch.sin(2.0**octave * values), torch.cos(2.0**octave * values)]
    return torch.cat(parts, dim=-1)
