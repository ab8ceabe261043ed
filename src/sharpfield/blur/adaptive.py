"""The adaptive weight proposal: kernel weights from what the rays meet (DP-NeRF, section 4.2)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from sharpfield.blur.kernel import Kernel
from sharpfield.blur.network_motions import relu_layers
from sharpfield.config import AdaptiveConfig, FidelityName
from sharpfield.fields.mlp import encoded_width, positional_encoding


class AdaptiveWeights(nn.Module):
    """Per pixel, weights of its kernel rays from the field's features along them.

    ``correct`` weights of a pixel depend on that pixel alone, and features are composited from
    front to back. ``original`` keeps two faults of the published code: light is lost from channel
    to channel (``integral_across_channels``), and features are normalised over the batch.
    """

    def __init__(
        self,
        motions: int,
        feature_width: int,
        code_width: int,
        config: AdaptiveConfig,
        fidelity: FidelityName = "correct",
    ) -> None:
        super().__init__()
        self.slots, self.octaves, self.fidelity = motions + 1, config.direction_octaves, fidelity
        width = config.motion_width
        self.sample_layers = nn.Sequential(
            *relu_layers(feature_width, config.sample_width, config.sample_depth)
        )
        inputs = config.sample_width + code_width + encoded_width(self.octaves)
        self.ray_layers = nn.Sequential(*relu_layers(inputs, width, 1 + config.motion_depth))
        self.narrow = nn.Linear(config.sample_width, width)
        self.attention = MotionAttention(width)
        # Statistics of the batch at hand, always: proposals are made in training only.
        self.norm = (
            nn.BatchNorm1d(width, track_running_stats=False)
            if fidelity == "original"
            else nn.LayerNorm(width)
        )
        self.head = nn.Linear(width, self.slots)

    def __call__(
        self,
        features: Float[Tensor, "rays samples channels"],
        lengths: Float[Tensor, "rays samples"],
        directions: Float[Tensor, "pixels 3"],
        code: Float[Tensor, "pixels code"],
        kernel: Kernel,
    ) -> Float[Tensor, " rays"]:
        """Weights of the kernel's rays, positive and summing to one per pixel.

        ``features``: non-negative. ``lengths``: from each sample to the next, as in compositing;
        the last is not read. ``directions``: units, of each pixel's unmoved ray, in the
        coordinates of the field. ``code``: of each pixel's view, from ``Motions.code``.
        """
        samples = self.sample_layers(features)
        original = self.fidelity == "original"
        integral = integral_across_channels if original else integral_along_samples
        pixel = torch.cat([code, positional_encoding(directions, self.octaves)], dim=1)
        whole = torch.cat([integral(samples, lengths), pixel.index_select(0, kernel.pixel)], dim=1)
        rays = self.ray_layers(whole)

        slot = kernel.pixel * self.slots + kernel.motion
        present = torch.zeros(kernel.pixels * self.slots, dtype=torch.bool, device=slot.device)
        present = present.index_fill(0, slot, True).unflatten(0, (-1, self.slots))
        attended = self.attention(
            self._in_slots(rays, slot, kernel.pixels),
            self._in_slots(self.narrow(samples), slot, kernel.pixels),
            present,
        )
        change = self.norm(attended.flatten(0, 1).index_select(0, slot))
        rays = F.leaky_relu(rays + change, 0.2)
        mean = self._in_slots(rays, slot, kernel.pixels).sum(1) / present.sum(1, keepdim=True)
        # sigmoid / sum(sigmoid) over the rays that are there, whatever the logits.
        logits = F.logsigmoid(self.head(mean)).masked_fill(~present, -torch.inf)
        return F.softmax(logits, dim=1).flatten().index_select(0, slot)

    def _in_slots(
        self, values: Float[Tensor, "rays ..."], slot: Int[Tensor, " rays"], pixels: int
    ) -> Float[Tensor, "pixels motions ..."]:
        """Values of packed rays by pixel and motion; zero where a motion has no ray."""
        empty = values.new_zeros(pixels * self.slots, *values.shape[1:])
        return empty.index_copy(0, slot, values).unflatten(0, (pixels, self.slots))


class MotionAttention(nn.Module):
    """Rays of a pixel look at its motions and at its sample places.

    The curve aggregation of CurveNet (Xiang et al. 2021, section 3.3): motions in place of curves.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        half = (width + 1) // 2
        self.score = nn.Linear(width, 1, bias=False)
        self.query = nn.Linear(width, half, bias=False)
        self.motion_key = nn.Linear(width, half, bias=False)
        self.place_key = nn.Linear(width, half, bias=False)
        self.motion_value = nn.Linear(half, half, bias=False)
        self.place_value = nn.Linear(half, half, bias=False)
        self.join = nn.Linear(2 * half, width, bias=False)

    def __call__(
        self,
        rays: Float[Tensor, "pixels motions width"],
        samples: Float[Tensor, "pixels motions samples width"],
        present: Bool[Tensor, "pixels motions"],
    ) -> Float[Tensor, "pixels motions width"]:
        """What each ray sees; rays that are not ``present`` are not looked at."""
        score = self.score(samples)[..., 0]
        motions = torch.einsum("pms,pmsc->pmc", score.softmax(2), samples)
        shares = score.masked_fill(~present[:, :, None], -torch.inf).softmax(1)
        places = torch.einsum("pms,pmsc->psc", shares, samples)
        motions, places, query = self.motion_key(motions), self.place_key(places), self.query(rays)
        likeness = (query @ motions.mT).masked_fill(~present[:, None], -torch.inf)
        of_motions = likeness.softmax(2) @ self.motion_value(motions)
        of_places = (query @ places.mT).softmax(2) @ self.place_value(places)
        return self.join(torch.cat([of_motions, of_places], dim=2))


def integral_along_samples(
    features: Float[Tensor, "rays samples channels"], lengths: Float[Tensor, "rays samples"]
) -> Float[Tensor, "rays channels"]:
    """Each channel composited along the ray, being its own density; the last sample is nothing."""
    seen = features[:, :-1]
    thickness = seen * lengths[:, :-1, None]
    transmittance = torch.exp(thickness - thickness.cumsum(1))
    return (transmittance * -torch.expm1(-thickness) * seen).sum(1)


def integral_across_channels(
    features: Float[Tensor, "rays samples channels"], lengths: Float[Tensor, "rays samples"]
) -> Float[Tensor, "rays channels"]:
    """The published code: light is lost from channel to channel of the sample before."""
    seen = features[:, :-1]
    alpha = -torch.expm1(-seen * lengths[:, :-1, None])
    passed = F.pad(1.0 - alpha[:, :-1] + 1e-10, (0, 0, 1, 0), value=1.0)
    return (passed.cumprod(2) * alpha * seen).sum(1)
