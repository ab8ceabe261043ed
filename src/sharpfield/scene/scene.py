"""The scene: photos with their cameras and poses. Knows files' contents, knows no torch device."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float

from sharpfield.geometry.camera import Camera
from sharpfield.scene.photo_tags import NO_TAGS, PhotoTags

__all__ = ["Camera", "Scene", "View"]


@dataclass(frozen=True)
class View:
    """One photo with its camera and pose.

    ``photo`` is float32 in [0, 1], display colours. ``pose`` is camera-to-world, OpenGL axes
    (x right, y up, z back), in scene units. Held-out views never touch training. ``tags`` are for
    pictures that take the place of the photo.
    """

    name: str
    photo: Float[np.ndarray, "height width 3"]
    camera: Camera
    pose: Float[np.ndarray, "3 4"]
    held_out: bool
    tags: PhotoTags = NO_TAGS


@dataclass(frozen=True)
class Scene:
    """Posed photos, their split, and how scene units relate to the units of the input files.

    ``near`` and ``far`` bound the depths seen by all views, in scene units.
    ``from_input`` is the 4x4 similarity that maps positions of the input files to scene units;
    exports apply its inverse. ``poses_digest`` tells apart the files that poses come from. All
    photos of a scene have the same size.
    """

    name: str
    root: Path
    views: tuple[View, ...]
    near: float
    far: float
    from_input: Float[np.ndarray, "4 4"]
    poses_digest: str

    @property
    def train_indices(self) -> tuple[int, ...]:
        return tuple(i for i, view in enumerate(self.views) if not view.held_out)

    @property
    def test_indices(self) -> tuple[int, ...]:
        return tuple(i for i, view in enumerate(self.views) if view.held_out)
