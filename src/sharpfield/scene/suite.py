"""The suite: synthetic scenes with ground truth, each hard for blur models in a way of its own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from sharpfield.scene.toy import ToySettings


@dataclass(frozen=True)
class SuiteScene:
    """One kind of scene."""

    settings: ToySettings
    description: str
    """What is hard about it, in one line for the tables."""


# Small, so that a whole table of blur models trains on two cores: 16 training photos and 4 held
# out. Exactly rotating or translating shakes are rare in a hand, but they isolate one difficulty.
_SIZE = ToySettings(width=144, height=96, views=20, hold=5, exposures=65)

SUITE: Mapping[str, SuiteScene] = MappingProxyType(
    {
        "even": SuiteScene(
            replace(_SIZE, seed=11, sharp_fraction=0.0, shake_pixels=(9.0, 11.0)),
            "every photo shaken about alike, none sharp",
        ),
        "uneven": SuiteScene(
            replace(_SIZE, seed=12, sharp_fraction=0.25, shake_pixels=(4.0, 20.0)),
            "sharp photos among mildly and badly smeared ones",
        ),
        "jagged": SuiteScene(
            replace(_SIZE, seed=13, path="jagged", shake_pixels=(16.0, 34.0)),
            "strong shake along paths with sudden turns",
        ),
        "rotation": SuiteScene(
            replace(_SIZE, seed=14, rotation_share=1.0, pivot="centre", shake_pixels=(9.0, 24.0)),
            "rotation about the optical axis: blur grows to the corners",
        ),
        "parallax": SuiteScene(
            replace(_SIZE, seed=15, rotation_share=0.0, near=True, shake_pixels=(14.0, 32.0)),
            "translation past near things: blur falls with depth",
        ),
        "defocus": SuiteScene(
            replace(_SIZE, seed=16, sharp_fraction=0.0, shake_pixels=(0.0, 0.0), defocus=0.16),
            "a still camera with shallow focus at random depths",
        ),
        "mixed": SuiteScene(
            replace(_SIZE, seed=17, shake_pixels=(4.0, 14.0), defocus=0.1),
            "shake and shallow focus together",
        ),
        "overexposed": SuiteScene(
            replace(_SIZE, seed=18, exposure=2.0),
            "highlights clipped by the sensor",
        ),
        "noisy-poses": SuiteScene(
            replace(_SIZE, seed=19, pose_noise=0.15),
            "poses of blurred photos as wrong as structure from motion leaves them",
        ),
    }
)
"""The scenes by name, in the order of the tables."""
