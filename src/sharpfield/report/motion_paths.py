"""Motions of a view as displacements in its image."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from sharpfield.geometry.camera import Camera


def centre_displacements(
    camera: Camera, motion_poses: Float[np.ndarray, "motions 3 4"], depth: float
) -> Float[np.ndarray, "motions 2"]:
    """Where each motion sees the point at the image centre, relative to motion 0.

    The point lies at ``depth`` (scene units) on the axis of motion 0. In pixels, x to the right,
    y down: the trail that the point leaves in the blurry photo.
    """
    origin = motion_poses[0].astype(np.float64)
    point = origin[:, 3] - depth * origin[:, 2]
    # Kernels of points in the image, and of lenses, shear: the transpose is no inverse.
    away = point - motion_poses[..., 3]
    local = np.linalg.solve(motion_poses[..., :3].astype(np.float64), away[..., None])[..., 0]
    focal = np.array([camera.focal_x, -camera.focal_y])
    return focal * local[:, :2] / -local[:, 2:]
