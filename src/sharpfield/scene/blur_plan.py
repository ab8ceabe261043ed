"""How much each photo of a made scene is blurred, and shakes of just that size."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

_SHARP_PIXELS = (0.1, 0.6)


@dataclass(frozen=True)
class Blur:
    """What blurs one view."""

    pixels: float = 0.0
    """Its largest motion extent."""
    strong: bool = False
    """Whether it is more than the slight motion of a sharp photo."""


def planned_blurs(
    held_out: list[bool],
    sharp_fraction: float,
    shake_pixels: Float[np.ndarray, " 2"],
    generator: np.random.Generator,
) -> list[Blur]:
    """The blur of each view; none for held-out views.

    A share of the others stays sharp, with extents of 0.1 to 0.6 pixels; the rest span the range
    ``shake_pixels``, in pixels of the photo.
    """
    training = generator.permutation(np.flatnonzero(~np.array(held_out)))
    sharp, blurred = np.split(training, [round(sharp_fraction * len(training))])
    blurs = [Blur()] * len(held_out)
    for view, pixels in zip(sharp, generator.uniform(*_SHARP_PIXELS, len(sharp)), strict=True):
        blurs[view] = Blur(float(pixels))
    # One draw from each equal slice of the range: every seed has mild and severe blur.
    low, high = shake_pixels
    places = (np.arange(len(blurred)) + generator.random(len(blurred))) / max(len(blurred), 1)
    for view, pixels in zip(blurred, low + (high - low) * places, strict=True):
        blurs[view] = Blur(float(pixels), strong=True)
    return blurs


def sized(
    rotating: Float[np.ndarray, "exposures 6"],
    translating: Float[np.ndarray, "exposures 6"],
    rotation_share: float,
    pixels: float,
    measure: Callable[[Float[np.ndarray, "exposures 6"]], float],
) -> Float[np.ndarray, "exposures 6"]:
    """Both halves of a motion mixed, so large that ``measure`` finds ``pixels``."""
    rotating, translating = (1e-3 * half / measure(1e-3 * half) for half in (rotating, translating))
    twists = rotation_share * rotating + (1 - rotation_share) * translating
    # Displacements grow almost in proportion to small twists, so a few corrections suffice.
    for _ in range(4):
        twists = twists * (pixels / measure(twists))
    return twists
