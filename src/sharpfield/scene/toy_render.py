"""Exposing photos of the toy world, and measuring how far their pixels are truly smeared."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, UInt8

from sharpfield.scene.scene import Camera
from sharpfield.scene.toy_camera import sample_offsets
from sharpfield.scene.toy_trace_cpu import expose_rows, smear_rows
from sharpfield.scene.toy_world import World


@dataclass(frozen=True)
class Lens:
    """A thin lens. ``aperture`` is its radius, ``focus`` the depth that is sharp (scene units)."""

    aperture: float = 0.0
    focus: float = 5.0


@dataclass(frozen=True)
class Smear:
    """What the pixels of one photo see, and how far it moves over the photo while it is exposed."""

    extent: Float[np.ndarray, "height width"]
    """Pixels."""
    depth: Float[np.ndarray, "height width"]
    """Scene units along the optical axis, at the given pose."""


def expose(
    world: World,
    camera: Camera,
    poses: Float[np.ndarray, "exposures 3 4"],
    lens: Lens,
    offsets: Float[np.ndarray, "exposures 4"] | None = None,
) -> Float[np.ndarray, "height width 3"]:
    """The photo in linear light: the mean over ``poses``, at equal times, of what each sees.

    Each pose takes one sample per pixel, at its own place in the pixel and on the lens
    (``offsets``, by default `sample_offsets`), so that the poses together also antialias.
    """
    if offsets is None:
        offsets = sample_offsets(len(poses))
    photo = np.empty((camera.height, camera.width, 3))
    expose_rows(
        world,
        np.ascontiguousarray(poses, float),
        offsets,
        _intrinsics(camera),
        lens.aperture,
        lens.focus,
        photo,
    )
    return photo


def smear(
    world: World,
    camera: Camera,
    pose: Float[np.ndarray, "3 4"],
    poses: Float[np.ndarray, "exposures 3 4"],
    lens: Lens,
) -> Smear:
    """True blur extent of the surface point that each pixel centre sees from ``pose``.

    The extent of the motion is the largest distance between any two places at which ``poses``
    project the point. The diameter of the circle of confusion, 2 aperture focal
    |1/depth - 1/focus|, is added in quadrature.
    """
    extent = np.empty((camera.height, camera.width))
    depth = np.empty_like(extent)
    smear_rows(
        world,
        np.ascontiguousarray(pose[None], float),
        np.ascontiguousarray(poses, float),
        _intrinsics(camera),
        extent,
        depth,
    )
    confusion = 2 * lens.aperture * camera.focal_x * np.abs(1 / depth - 1 / lens.focus)
    return Smear(np.hypot(extent, confusion).astype(np.float32), depth.astype(np.float32))


def to_display(linear: Float[np.ndarray, "height width 3"]) -> UInt8[np.ndarray, "height width 3"]:
    """Linear light to an 8-bit photo with gamma 2.2, rounded to nearest."""
    return np.rint(255.0 * np.clip(linear, 0.0, 1.0) ** (1 / 2.2)).astype(np.uint8)


def _intrinsics(camera: Camera) -> Float[np.ndarray, " 4"]:
    return np.array([camera.focal_x, camera.focal_y, camera.centre_x, camera.centre_y])
