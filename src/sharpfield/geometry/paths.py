"""Camera paths for videos: LLFF's spiral and slide, and a smooth path through given poses."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from scipy.interpolate import CubicSpline
from scipy.spatial.transform import Rotation, RotationSpline

from sharpfield.geometry.poses import average_pose, look_along, recentre

# The classic LLFF choices: the focus lies between the bounds, nearer in disparity to the far one.
_CLOSE_FRACTION = 0.9
_FAR_MULTIPLE = 5.0
_FOCUS_BLEND = 0.75
_DEPTH_RATE = 0.5
_RADIUS_PERCENTILE = 90


def spiral(
    poses: Float[np.ndarray, "views 3 4"],
    near: float,
    far: float,
    count: int = 120,
    rotations: int = 2,
    focus_scale: float = 1.0,
    radius_scale: float = 1.0,
) -> Float[np.ndarray, "count 3 4"]:
    """The LLFF spiral around the average pose, looking at one focus point.

    ``near`` and ``far`` are depths in the units of the poses. The radius along each axis of the
    average camera is the 90th percentile of the views' offsets from it, times ``radius_scale`` for
    x and y. The focus lies at ``1 / (0.25 / (0.9 near) + 0.75 / (5 far))``, times ``focus_scale``.
    Source: Mildenhall et al., Local Light Field Fusion (2019), released code.
    """
    average = average_pose(poses)
    up = poses[:, :, 1].mean(axis=0)
    if np.linalg.norm(np.cross(up, average[:, 2])) < 1e-6:
        up = average[:, 1]
    focus = focus_scale / (
        (1 - _FOCUS_BLEND) / (_CLOSE_FRACTION * near) + _FOCUS_BLEND / (_FAR_MULTIPLE * far)
    )
    radii = _radii(poses, radius_scale)
    angle = np.linspace(0, 2 * np.pi * rotations, count, endpoint=False)
    turn = np.stack([np.cos(angle), -np.sin(angle), -np.sin(_DEPTH_RATE * angle)], axis=-1)
    centres = average[:, 3] + (radii * turn) @ average[:, :3].T
    target = average[:, 3] - focus * average[:, 2]
    return np.stack([look_along(centre - target, up, centre) for centre in centres])


def epi(
    poses: Float[np.ndarray, "views 3 4"], count: int = 120, radius_scale: float = 1.0
) -> Float[np.ndarray, "count 3 4"]:
    """The average camera, sliding from left to right along its x axis without turning.

    Places are spread evenly over [-1, 1) times half of the spiral's radius in x, so that rows of
    the frames stack up to an epipolar image.
    Source: Mildenhall et al., Local Light Field Fusion (2019), released code.
    """
    average = average_pose(poses)
    reach = _radii(poses, radius_scale)[0] / 2
    places = np.linspace(-reach, reach, count, endpoint=False)
    path = np.repeat(average[None], count, axis=0)
    path[:, :, 3] += places[:, None] * average[:, 0]
    return path


def interpolate(
    poses: Float[np.ndarray, "views 3 4"], count: int
) -> Float[np.ndarray, "count 3 4"]:
    """``count`` poses on a smooth path from the first to the last pose, through all in order.

    Every leg between neighbours takes the same time, so ``count = legs * k + 1`` hits each given
    pose. Centres follow a cubic spline, orientations a rotation spline with continuous angular
    acceleration. A single pose is repeated.
    """
    if len(poses) == 1:
        return np.repeat(poses, count, axis=0)
    knots = np.arange(len(poses), dtype=np.float64)
    times = np.linspace(0, knots[-1], count)
    rotations = RotationSpline(knots, Rotation.from_matrix(poses[:, :, :3]))(times)
    centres = CubicSpline(knots, poses[:, :, 3])(times)
    return np.concatenate([rotations.as_matrix(), centres[:, :, None]], axis=-1)


def _radii(poses: Float[np.ndarray, "views 3 4"], radius_scale: float) -> Float[np.ndarray, " 3"]:
    """How far the views lie from the average camera, along each of its axes."""
    offsets = np.abs(recentre(poses).poses[:, :, 3])
    radii: np.ndarray = np.percentile(offsets, _RADIUS_PERCENTILE, axis=0)
    return radii * [radius_scale, radius_scale, 1.0]
