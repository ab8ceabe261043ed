"""Sizes that the photos and their cameras decide: settings that are 0 until these are known."""

from __future__ import annotations

import math
from dataclasses import replace

from sharpfield.config import Config, HashGridConfig, RenderConfig

CELLS_PER_PIXEL = 1.3
"""Of the finest level, across: enough to resolve the photo's pixels."""


def sized_for(config: Config, width: int, across: float) -> Config:
    """The configuration with sizes that are 0 replaced by their own.

    For photos of ``width`` pixels, and a field that is as wide as ``across`` photos.
    """
    return replace(
        config,
        hashgrid=_sized_grid(config.hashgrid, width * across),
        render=_sized_render(config.render, width),
    )


def _sized_grid(config: HashGridConfig, pixels: float) -> HashGridConfig:
    """A table level has half as many rows as the finest level has cells in a layer."""
    finest = config.finest or round(CELLS_PER_PIXEL * pixels)
    wanted = math.ceil(math.log2(finest**2 / 2))
    return replace(
        config, finest=finest, log2_entries=config.log2_entries or _within(17, wanted, 20)
    )


def _sized_render(config: RenderConfig, width: int) -> RenderConfig:
    """Steps along a ray as the preset wants them; with all presets a cell for each pixel across.

    A ray that passes a surface closely takes coarser cells of the occupancy grid for opaque, and
    ends before what it shows. The longer a training, the more finer ones are worth.
    """
    return replace(
        config,
        steps=config.steps or _within(48, round(config.steps_per_pixel * width), 128),
        grid=config.grid or _within(128, width, 256),
    )


def _within(least: int, wanted: int, most: int) -> int:
    return min(max(wanted, least), most)
