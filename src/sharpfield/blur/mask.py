"""The Mask CNN: from a blurry photo to a kernel size for every pixel."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from sharpfield.blur.tone import to_linear
from sharpfield.config import BlurConfig

EVIDENCE_CHANNELS = 7

SPREAD_UNIT = 4.0
"""Pixels of spread that the CNN sees as one."""

SHRINK = 2
"""The CNN looks at the photo at this fraction of its size, and its first layer halves it again."""


class MaskNetwork(nn.Module):
    """Convolutions over a photo's evidence of blur, modulated by the view embedding.

    The output, ``size``, is the wanted number of kernel rays per pixel, unbounded: gates saturate,
    the size never does.
    """

    evidence: Float[Tensor, "views evidence rows columns"]

    def __init__(
        self,
        photos: Float[Tensor, "views height width 3"],
        config: BlurConfig,
    ) -> None:
        super().__init__()
        channels, reach = config.mask_channels, config.mask_reach
        self.rays = config.motions + 1
        evidence = torch.cat([blur_evidence(photo[None]) for photo in photos])
        self.register_buffer("evidence", evidence, persistent=False)
        self.look = _convolution(EVIDENCE_CHANNELS + 2, channels, 5, stride=2)
        self.near = _convolution(channels, channels, 3)
        self.wide = _convolution(channels, channels, 3, dilation=reach)
        self.modulate = nn.Linear(config.embedding, 2 * channels)
        self.head = nn.Conv2d(channels, 1, 1)
        nn.init.zeros_(self.head.weight)
        if self.head.bias is not None:
            nn.init.constant_(self.head.bias, 0.5)

    def __call__(
        self,
        views: Int[Tensor, " views"],
        embedding: Float[Tensor, "views code"],
        spread: Float[Tensor, "views 3 3"],
    ) -> Float[Tensor, "views rows columns"]:
        """Size maps of ``views``, at a quarter of the photo's resolution.

        ``spread`` is how far the view's motions lead in pixels, from corner to corner: with it,
        what the CNN learns of one view holds for all.
        """
        scale, shift = self.modulate(embedding)[:, :, None, None].chunk(2, dim=1)
        seen = self.evidence[views]
        unit = spread[:, None] / SPREAD_UNIT
        wide = F.interpolate(unit, size=seen.shape[-2:], mode="bilinear", align_corners=True)
        x = F.relu(self.look(torch.cat([seen, wide, wide * seen[:, 3:4]], dim=1)))
        x = F.relu(self.near(x) * (1.0 + scale) + shift)
        x = F.relu(self.wide(x)) + x
        return 1.0 + (self.rays - 1) * (0.5 + self.head(x)[:, 0])


def _convolution(
    inputs: int, outputs: int, width: int, stride: int = 1, dilation: int = 1
) -> nn.Conv2d:
    """The photo goes on beyond its border as it ends: zeros there would look like a sharp edge."""
    return nn.Conv2d(
        inputs,
        outputs,
        width,
        stride=stride,
        padding=dilation * (width // 2),
        dilation=dilation,
        padding_mode="replicate",
    )


class ViewSizes(nn.Module):
    """In the Mask CNN's place: one learned size per view, whatever its pixels show."""

    def __init__(self, views: int, rays: int) -> None:
        super().__init__()
        self.rays = rays
        self.share = nn.Parameter(torch.ones(views))

    def __call__(
        self,
        views: Int[Tensor, " views"],
        embedding: Float[Tensor, "views code"],
        spread: Float[Tensor, "views 3 3"],
    ) -> Float[Tensor, "views 2 2"]:
        """The smallest size maps there are, each of one value."""
        sizes = 1.0 + (self.rays - 1) * self.share.index_select(0, views)
        return sizes[:, None, None].expand(-1, 2, 2)


def blur_evidence(
    photos: Float[Tensor, "views height width 3"],
) -> Float[Tensor, "views evidence rows columns"]:
    """What tells blur: linear colour, fine gradient, its ratio to the coarse one, and the place."""
    display = photos.permute(0, 3, 1, 2)
    linear = F.avg_pool2d(to_linear(display.movedim(1, -1)).movedim(-1, 1), SHRINK, ceil_mode=True)
    luminance = display.mean(1, keepdim=True)
    fine = F.avg_pool2d(_gradient(luminance), SHRINK, ceil_mode=True)
    half = F.avg_pool2d(luminance, 4, ceil_mode=True)
    coarse = F.interpolate(_gradient(half), size=fine.shape[-2:], mode="bilinear")
    ratio = fine / (coarse + 0.02)
    rows = torch.linspace(-1, 1, fine.shape[2]).view(1, 1, -1, 1).expand_as(fine)
    columns = torch.linspace(-1, 1, fine.shape[3]).view(1, 1, 1, -1).expand_as(fine)
    return torch.cat([linear, 10 * fine, ratio, rows.to(fine), columns.to(fine)], dim=1)


def _gradient(
    image: Float[Tensor, "views 1 rows columns"],
) -> Float[Tensor, "views 1 rows columns"]:
    """Magnitude of the forward differences."""
    dx = F.pad(image[..., :, 1:] - image[..., :, :-1], (0, 1))
    dy = F.pad(image[..., 1:, :] - image[..., :-1, :], (0, 0, 0, 1))
    return (dx**2 + dy**2 + 1e-8).sqrt()
