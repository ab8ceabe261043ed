"""The configuration tree: everything that shapes a run, with units, ranges and costs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

BlurName = Literal["none", "rigid", "dynamic"]
FieldName = Literal["hashgrid"]
OrderName = Literal["spread", "size"]
ToneName = Literal["none", "gamma"]


@dataclass(frozen=True)
class HashGridConfig:
    """The field ``hashgrid``."""

    levels: int = 8
    """Resolution levels, 1 or more. Time per sample is proportional to it."""
    log2_entries: int = 17
    """Table rows per level as a power of two, 10-24. Memory: 8 bytes x 4 (Adam) x rows x levels."""
    coarsest: int = 16
    """Cells per axis of the coarsest level."""
    finest: int = 0
    """Cells across of the finest level; 0: 1.6 times the photo's width, to resolve its pixels."""
    depth_ratio: float = 0.5
    """Cells in depth per cell across, in (0, 1]: disparity varies more slowly than the picture."""
    hidden: int = 64
    """Width of both heads."""


@dataclass(frozen=True)
class RenderConfig:
    """Sampling along rays."""

    steps: int = 64
    """Sample places per ray, 2 or more; empty ones are skipped. Time grows with it."""
    grid: int = 96
    """Cells of the occupancy grid across; half as many in depth."""


@dataclass(frozen=True)
class BlurConfig:
    """The blur model."""

    model: BlurName = "dynamic"
    """none: plain NeRF. rigid: DP-NeRF's rigid kernel. dynamic: rigid, sized per pixel by a CNN."""
    motions: int = 8
    """Rigid motions besides the origin ray, 1 or more. Time of rigid is proportional to it."""
    embedding: int = 64
    """Width of the code that describes a view."""
    path_points: int = 5
    """Control points of the smooth camera path that the motions start from, 2 or more."""
    freedom: float = 0.3
    """How easily a motion leaves the smooth path, relative to the path itself; 0: never."""
    start_pixels: float = 1.0
    """Spread of the motions at the start, in pixels at the scene's middle depth."""
    order: OrderName = "spread"
    """Order in which gates open. spread: any few sample the path. size: small motions first."""
    first_size: int = 5
    """Kernel size, 1 or more rays, while the motions are found and the mask does not decide."""
    mask_tolerance: float = 0.0075
    """Rays are closed while that changes the pixel by less than this, in display colours."""
    mask_channels: int = 16
    """Width of the Mask CNN."""
    mask_every: int = 2
    """The Mask CNN learns at every n-th step."""
    mask_views: int = 4
    """Views that a mask step looks at."""
    mask_exploration: float = 0.25
    """Share of a mask step's pixels that render all rays, so that closed rays can open again."""


@dataclass(frozen=True)
class TrainConfig:
    """The training loop."""

    samples: int = 65536
    """Field samples per step, about, whatever the blur model; pixels per step follow from it."""
    time_budget: float = 0.0
    """Training seconds; 0: use ``steps``. Set-up, compilation and evaluation are not counted."""
    steps: int = 2000
    """Optimiser steps when there is no time budget."""
    warmup: float = 0.15
    """Share of training as plain NeRF, before the kernel starts."""
    settle: float = 0.3
    """Share of training after which the mask decides; before, all pixels have ``first_size``."""
    harden: float = 0.5
    """Share of training after which gates are exactly 0 or 1."""
    table_rate: float = 2e-2
    """Adam rate of the hash table."""
    head_rate: float = 1e-2
    """Adam rate of the heads."""
    blur_rate: float = 2e-3
    """Adam rate of the motions and weights."""
    mask_rate: float = 4e-3
    """Adam rate of the Mask CNN."""
    final_rate: float = 0.05
    """All rates decay exponentially to this share."""
    seed: int = 0
    """Seeds everything random."""
    log_every: int = 20
    """Steps between lines of metrics.jsonl."""
    checkpoint_every: float = 60.0
    """Seconds between checkpoints."""


@dataclass(frozen=True)
class SceneConfig:
    """How the scene folder is read."""

    factor: int = 0
    """Photos come from ``images_<factor>``; 0: the folder with the largest factor."""
    downscale: int = 1
    """Photos are shrunk by this much further, in memory."""
    hold: int = 0
    """Every n-th view is held out; 0: the ``hold=<n>`` marker of the folder, or 8."""
    tone: ToneName = "gamma"
    """Tone curve from linear light to photo colours: gamma 2.2, or none."""


@dataclass(frozen=True)
class Config:
    """A run, completely."""

    scene: SceneConfig = field(default_factory=SceneConfig)
    """The photos."""
    field_name: FieldName = "hashgrid"
    """The radiance field."""
    hashgrid: HashGridConfig = field(default_factory=HashGridConfig)
    """Settings of the field."""
    render: RenderConfig = field(default_factory=RenderConfig)
    """Settings of the renderer."""
    blur: BlurConfig = field(default_factory=BlurConfig)
    """Settings of the blur model."""
    train: TrainConfig = field(default_factory=TrainConfig)
    """Settings of the training loop."""
