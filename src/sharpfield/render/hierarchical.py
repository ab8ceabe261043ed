"""Hierarchical sampling: coarse places first, then where they saw something (NeRF, 5.2)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from sharpfield.config import HierarchicalConfig
from sharpfield.fields.mlp import MlpField, NerfNetwork
from sharpfield.geometry.camera import Camera
from sharpfield.geometry.ndc import ndc_lengths, to_ndc
from sharpfield.geometry.rays import Rays
from sharpfield.render.renderer import RayColours, RayFeatures, Renderer

NEAR_CUT_STEPS = 128.0
"""`HierarchicalConfig.near_cut` counts in this part of the ray."""

AT_INFINITY = 1e-4
"""How far in front of NDC's far plane, which lies at infinity, a length is still measured."""


@dataclass(frozen=True)
class Span:
    """The part of a ray that is sampled, in units of its direction."""

    near: float
    far: float


@dataclass(frozen=True)
class _Numbers:
    """The random numbers of a step by their use; None where a picture or a setting has none."""

    coarse: Float[Tensor, "rays coarse"] | None = None
    fine: Float[Tensor, "rays fine"] | None = None
    coarse_noise: Float[Tensor, "rays coarse"] | None = None
    fine_noise: Float[Tensor, "rays merged"] | None = None


@dataclass(frozen=True)
class _Batch:
    """Rays in the space that is sampled, the unit directions of view, and what they are for."""

    inside: Rays
    view_directions: Float[Tensor, "rays 3"]
    picture: bool


@dataclass(frozen=True)
class _Composited:
    colour: Float[Tensor, "rays 3"]
    depth: Float[Tensor, " rays"]
    weights: Float[Tensor, "rays samples"]
    met: RayFeatures | None


class HierarchicalRenderer(Renderer):
    """Renders with a coarse and a fine network; every ray ends at an opaque far plane.

    ``span`` None means normalised device coordinates, in which rays run from 0 to 1.
    ``features``: whether training wants to know what the rays met.
    """

    def __init__(
        self, config: HierarchicalConfig, camera: Camera, span: Span | None, features: bool
    ) -> None:
        super().__init__()
        self.config, self.camera, self.span, self.features = config, camera, span, features

    def draws(self, rays: int, generator: torch.Generator) -> Float[Tensor, "rays numbers"]:
        """Uniform numbers that move coarse and fine samples, then normal ones for the noise."""
        config = self.config
        uniform = torch.rand(rays, config.coarse + config.fine, generator=generator)
        if config.density_noise == 0:
            return uniform
        noise = torch.randn(rays, 2 * config.coarse + config.fine, generator=generator)
        return torch.cat([uniform, config.density_noise * noise], dim=1)

    def __call__(
        self, field: MlpField, rays: Rays, draws: Float[Tensor, "rays numbers"] | None
    ) -> RayColours:
        numbers = self._numbers(draws)
        inside = to_ndc(rays, self.camera) if self.span is None else rays
        batch = _Batch(inside, F.normalize(rays.directions, dim=1), draws is None)
        keep = self.features and draws is not None
        t = self._coarse_places(inside, numbers.coarse)
        if field.fine is None:
            seen = self._along(field.coarse, batch, t, numbers.coarse_noise, keep)
            return RayColours(seen.colour, self._share(seen.depth), t.numel(), None, seen.met)
        coarse = self._along(field.coarse, batch, t, numbers.coarse_noise, False)
        middle = 0.5 * (t[:, 1:] + t[:, :-1])
        weights = coarse.weights[:, 1:-1].detach()
        places = places_by_weight(middle, weights, self.config.fine, numbers.fine)
        fine_t = torch.cat([t, places], dim=1).sort(dim=1).values
        seen = self._along(field.fine, batch, fine_t, numbers.fine_noise, keep)
        samples = t.numel() + fine_t.numel()
        return RayColours(seen.colour, self._share(seen.depth), samples, coarse.colour, seen.met)

    def lengths(self, rays: Rays, t: Float[Tensor, " rays"]) -> Float[Tensor, " rays"]:
        if self.span is not None:
            return self.span.near + t * (self.span.far - self.span.near)
        return ndc_lengths(rays, (2.0 * t - 1.0).clamp(max=1.0 - AT_INFINITY))

    def _numbers(self, draws: Float[Tensor, "rays numbers"] | None) -> _Numbers:
        coarse, fine = self.config.coarse, self.config.fine
        if draws is None:
            return _Numbers()
        moves = [*draws[:, : coarse + fine].split([coarse, fine], dim=1)]
        noise: list[Tensor | None] = [None, None]
        if self.config.density_noise > 0:
            noise = [*draws[:, coarse + fine :].split([coarse, coarse + fine], dim=1)]
        if self.config.jitter == 0:
            return _Numbers(None, None, *noise)
        return _Numbers(*moves, *noise)

    def _coarse_places(
        self, inside: Rays, uniform: Float[Tensor, "rays samples"] | None
    ) -> Float[Tensor, "rays samples"]:
        """Even places from near to far, in training each moved within its stratum."""
        near, far = (0.0, 1.0) if self.span is None else (self.span.near, self.span.far)
        s = torch.linspace(0.0, 1.0, self.config.coarse).to(inside.origins)
        if self.config.even_disparity and self.span is not None:
            t = 1.0 / ((1.0 - s) / near + s / far)
        else:
            t = near + (far - near) * s
        t = t.expand(len(inside), -1)
        if uniform is None:
            return t
        middle = 0.5 * (t[:, 1:] + t[:, :-1])
        low = torch.cat([t[:, :1], middle], dim=1)
        high = torch.cat([middle, t[:, -1:]], dim=1)
        return torch.lerp(t, low + (high - low) * uniform, self.config.jitter)

    def _along(
        self,
        network: NerfNetwork,
        batch: _Batch,
        t: Float[Tensor, "rays samples"],
        noise: Float[Tensor, "rays samples"] | None,
        keep_features: bool,
    ) -> _Composited:
        inside, directions = batch.inside, batch.view_directions
        points = inside.origins[:, None] + t[..., None] * inside.directions[:, None]
        at_once = max(1, self.config.points_at_once // t.shape[1])
        density, colour, feature = [], [], []
        for start in range(0, len(t), at_once):
            part = slice(start, start + at_once)
            part_noise = None if noise is None else noise[part]
            seen = network(points[part], directions[part], part_noise)
            density.append(seen.density)
            colour.append(seen.colour)
            if keep_features:
                feature.append(seen.feature)
        densities = torch.cat(density).view_as(t)
        if batch.picture and self.config.near_cut > 0:
            ends = self._share(torch.cat([t[:, 1:], torch.full_like(t[:, :1], torch.inf)], dim=1))
            densities = densities * (ends > self.config.near_cut / NEAR_CUT_STEPS)
        lengths = _lengths(t, inside)
        met = None
        if keep_features:
            met = RayFeatures(torch.cat(feature).unflatten(0, t.shape), lengths)
        return _composite(densities, torch.cat(colour).unflatten(0, t.shape), t, lengths, met)

    def _share(self, depth: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """``t`` as a share of the span."""
        if self.span is None:
            return depth
        return (depth - self.span.near) / (self.span.far - self.span.near)


def _lengths(t: Float[Tensor, "rays samples"], inside: Rays) -> Float[Tensor, "rays samples"]:
    """Distances to the next sample; the last one is never used."""
    gaps = torch.cat([t[:, 1:] - t[:, :-1], torch.zeros_like(t[:, :1])], dim=1)
    return gaps * inside.directions.norm(dim=1, keepdim=True)


def _composite(
    density: Float[Tensor, "rays samples"],
    colour: Float[Tensor, "rays samples 3"],
    t: Float[Tensor, "rays samples"],
    lengths: Float[Tensor, "rays samples"],
    met: RayFeatures | None,
) -> _Composited:
    """Quadrature of the rendering integral (NeRF, equation 3); the last sample is opaque."""
    alpha = 1.0 - torch.exp(-density * lengths)
    alpha = torch.cat([alpha[:, :-1], torch.ones_like(alpha[:, :1])], dim=1)
    through = torch.cumprod(1.0 - alpha[:, :-1] + 1e-10, dim=1)
    weights = alpha * F.pad(through, (1, 0), value=1.0)
    return _Composited((weights[..., None] * colour).sum(1), (weights * t).sum(1), weights, met)


def places_by_weight(
    edges: Float[Tensor, "rays edges"],
    weights: Float[Tensor, "rays bins"],
    count: int,
    uniform: Float[Tensor, "rays count"] | None,
) -> Float[Tensor, "rays count"]:
    """Samples of the piecewise constant density that ``weights`` give the bins between edges.

    Inverts the distribution at ``uniform`` numbers, or at even ones for None. Bins of no weight
    keep a little, so that nothing is missed for good.
    """
    density = weights + 1e-5
    share = F.pad((density / density.sum(1, keepdim=True)).cumsum(1), (1, 0))
    if uniform is None:
        even = torch.linspace(0.0, 1.0, count, device=edges.device, dtype=edges.dtype)
        uniform = even.expand(len(edges), count)
    after = torch.searchsorted(share, uniform.contiguous(), right=True)
    low, high = (after - 1).clamp(min=0), after.clamp(max=share.shape[1] - 1)
    start, stop = share.gather(1, low), share.gather(1, high)
    width = stop - start
    inside = (uniform - start) / torch.where(width < 1e-5, torch.ones_like(width), width)
    first, last = edges.gather(1, low), edges.gather(1, high)
    return first + inside * (last - first)
