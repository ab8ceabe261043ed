"""The pinhole camera."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Camera:
    """A pinhole camera; every length in pixels, pixel centres at +0.5."""

    width: int
    height: int
    focal_x: float
    focal_y: float
    centre_x: float
    centre_y: float

    def scaled(self, width: int, height: int) -> Camera:
        """The same camera for a photo resized to ``width`` x ``height``."""
        sx, sy = width / self.width, height / self.height
        return Camera(
            width,
            height,
            self.focal_x * sx,
            self.focal_y * sy,
            self.centre_x * sx,
            self.centre_y * sy,
        )
