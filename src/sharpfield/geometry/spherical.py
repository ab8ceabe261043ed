"""Captures that look inwards from all around: their unit sphere, and a circle on it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from sharpfield.geometry.poses import MovedPoses, look_along, move_to_identity

# NeRF's choice: the new x axis is at right angles to this direction of the old world.
_REFERENCE = np.array([0.1, 0.2, 0.3])
# Mean squared sine, about, between optical axes and their mean below which they are parallel.
_PARALLEL = 1e-6
# A mean offset shorter than this share of the radius is noise of a ring at the centre's height.
_LEVEL_RING = 0.1
_CANCELLED = 1e-6


@dataclass(frozen=True)
class _Sphere:
    """Where inward-facing cameras stand: root mean square distance ``radius`` from ``centre``."""

    centre: Float[np.ndarray, " 3"]
    up: Float[np.ndarray, " 3"]
    radius: float


def spherify(poses: Float[np.ndarray, "views 3 4"]) -> MovedPoses:
    """Move the world so that inward-facing cameras stand around the origin, about 1 away.

    The origin is the point nearest to all optical axes (least squares), z points to the mean of
    the cameras, and their root mean square distance is 1. Where the cameras surround the origin so
    evenly that their mean says nothing, z is the mean of their y axes.
    Source: Mildenhall et al., NeRF (2020), released code (``spherify_poses``), which leaves that
    last case to chance. Raises ValueError where the optical axes have no such point.
    """
    sphere = _sphere_of(poses)
    frame = look_along(sphere.up, _REFERENCE, sphere.centre)
    return move_to_identity(poses, frame, 1 / sphere.radius)


def orbit(
    poses: Float[np.ndarray, "views 3 4"], count: int = 120
) -> Float[np.ndarray, "count 3 4"]:
    """A full circle around what inward-facing ``poses`` look at, at their mean height.

    The circle lies on the sphere that `spherify` brings to radius 1, which need not have been
    done; it starts at the side of the view furthest from its axis. Raises ValueError as
    `spherify` does. Source: Mildenhall et al., NeRF (2020), released code.
    """
    sphere = _sphere_of(poses)
    offsets = poses[:, :, 3] - sphere.centre
    heights = offsets @ sphere.up
    height = heights.mean()
    across = offsets - heights[:, None] * sphere.up
    distances = np.linalg.norm(across, axis=-1)
    ahead = across[np.argmax(distances)] / distances.max()
    angle = np.linspace(0, 2 * np.pi, count, endpoint=False)[:, None]
    circle = np.cos(angle) * ahead + np.sin(angle) * np.cross(sphere.up, ahead)
    stops = np.sqrt(sphere.radius**2 - height**2) * circle + height * sphere.up
    return np.stack([look_along(stop, sphere.up, sphere.centre + stop) for stop in stops])


def _sphere_of(poses: Float[np.ndarray, "views 3 4"]) -> _Sphere:
    positions = poses[:, :, 3]
    centre = _nearest_point(positions, poses[:, :, 2])
    offsets = positions - centre
    radius = float(np.sqrt((offsets**2).sum(axis=-1).mean()))
    if radius <= 1e-9 * np.abs(positions).max():
        raise ValueError("all cameras stand in one place")
    up = offsets.mean(axis=0)
    if np.linalg.norm(up) < _LEVEL_RING * radius:
        up = poses[:, :, 1].mean(axis=0)
    if np.linalg.norm(up) < _CANCELLED:
        up = poses[0, :, 1]
    return _Sphere(centre, up / np.linalg.norm(up), radius)


def _nearest_point(
    positions: Float[np.ndarray, "lines 3"], directions: Float[np.ndarray, "lines 3"]
) -> Float[np.ndarray, " 3"]:
    """The point of the least sum of squared distances from lines; directions of unit length."""
    across = np.eye(3) - directions[:, :, None] * directions[:, None, :]
    mean = across.mean(axis=0)
    if np.linalg.eigvalsh(mean)[0] < _PARALLEL:
        raise ValueError("the optical axes of the cameras are parallel")
    point: np.ndarray = np.linalg.solve(mean, (across @ positions[:, :, None]).mean(axis=0)[:, 0])
    return point
