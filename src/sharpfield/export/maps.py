"""Scalar maps as colours, with a legend that tells the values."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, UInt8
from matplotlib import colormaps
from PIL import Image, ImageDraw, ImageFont

from sharpfield.evaluate.images import to_8bit

KERNEL_COLOURS = "viridis"
DEPTH_COLOURS = "turbo"
ERROR_COLOURS = "magma"

_LUMINANCE = np.array([0.2126, 0.7152, 0.0722], dtype=np.float32)
_OVERLAY_STRENGTH = 0.6
_TICKS = 5


def colourise(
    values: Float[np.ndarray, "height width"], low: float, high: float, colours: str
) -> UInt8[np.ndarray, "height width 3"]:
    """``values`` through a matplotlib colour map that spans [low, high]; NaN counts as low."""
    span = max(high - low, 1e-12)
    unit = np.clip(np.nan_to_num((values - low) / span, nan=0.0), 0.0, 1.0)
    return to_8bit(colormaps[colours](unit)[..., :3].astype(np.float32))


def overlay(
    map_image: UInt8[np.ndarray, "height width 3"], photo: Float[np.ndarray, "height width 3"]
) -> UInt8[np.ndarray, "height width 3"]:
    """A coloured map laid over the grey photo of the same size (display colours in [0, 1])."""
    grey = (photo @ _LUMINANCE)[..., None]
    colour = map_image.astype(np.float32) / 255.0
    return to_8bit(_OVERLAY_STRENGTH * colour + (1 - _OVERLAY_STRENGTH) * grey)


def with_legend(
    image: UInt8[np.ndarray, "height width 3"], low: float, high: float, colours: str, label: str
) -> UInt8[np.ndarray, "taller width 3"]:
    """The image with a bar below it that shows the colour map, values at ticks, and ``label``."""
    width = image.shape[1]
    text = max(9, min(18, width // 32))
    margin, bar = text, text
    canvas = Image.new("RGB", (width, bar + 4 * text), "white")
    strip = np.linspace(low, high, max(width - 2 * margin, 2), dtype=np.float32)[None]
    strip_image = Image.fromarray(colourise(np.repeat(strip, bar, axis=0), low, high, colours))
    canvas.paste(strip_image, (margin, text // 2))
    draw = ImageDraw.Draw(canvas)
    font = ImageFont.load_default(text)
    for tick in np.linspace(0.0, 1.0, _TICKS):
        position = (margin + tick * (width - 2 * margin), text // 2 + bar + 2)
        draw.text(position, f"{low + tick * (high - low):.3g}", "black", font, anchor="ma")
    draw.text((width / 2, 2 * text + bar), label, "black", font, anchor="ma")
    return np.concatenate([image, np.asarray(canvas)], axis=0)
