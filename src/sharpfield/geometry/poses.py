"""Pose conventions: LLFF and OpenGL axes, the average pose, recentring.

A pose is camera-to-world, ``[x | y | z | t]`` by columns. OpenGL axes are x right, y up, z back;
LLFF files store ``[down | right | back | t]``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

# Below this length (of a mean of unit vectors) directions have cancelled and mean nothing.
_CANCELLED = 1e-6


@dataclass(frozen=True)
class MovedPoses:
    """Poses in a new world.

    ``poses`` are the moved camera-to-world poses; ``transform`` is the 4x4 similarity that moved
    their positions (new world from old world); ``scale`` is how many new units an old one is.
    """

    poses: Float[np.ndarray, "views 3 4"]
    transform: Float[np.ndarray, "4 4"]
    scale: float = 1.0


def llff_to_opengl(poses: Float[np.ndarray, "*views 3 4"]) -> Float[np.ndarray, "*views 3 4"]:
    """Poses with LLFF columns (down, right, back, t) as OpenGL columns (right, up, back, t)."""
    down, right, back, centre = np.moveaxis(poses, -1, 0)
    return np.stack([right, -down, back, centre], axis=-1)


def opengl_to_llff(poses: Float[np.ndarray, "*views 3 4"]) -> Float[np.ndarray, "*views 3 4"]:
    """Inverse of `llff_to_opengl`."""
    right, up, back, centre = np.moveaxis(poses, -1, 0)
    return np.stack([-up, right, back, centre], axis=-1)


def look_along(
    back: Float[np.ndarray, " 3"], up: Float[np.ndarray, " 3"], centre: Float[np.ndarray, " 3"]
) -> Float[np.ndarray, "3 4"]:
    """The OpenGL pose at ``centre`` whose z axis is ``back`` and whose y axis is nearest ``up``.

    ``back`` and ``up`` need no unit length, but must not be parallel.
    """
    z = _unit(back)
    x = _unit(np.cross(up, z))
    return np.stack([x, np.cross(z, x), z, centre], axis=1)


def average_pose(poses: Float[np.ndarray, "views 3 4"]) -> Float[np.ndarray, "3 4"]:
    """Mean centre, summed z axes as back, summed y axes as up (the LLFF rule).

    Where the summed axes cancel (a full ring of cameras) no average direction exists, and the
    first pose's axes are taken.
    """
    centre = poses[:, :, 3].mean(axis=0)
    back, up = poses[:, :, 2].mean(axis=0), poses[:, :, 1].mean(axis=0)
    if np.linalg.norm(np.cross(up, back)) < _CANCELLED:
        back, up = poses[0, :, 2], poses[0, :, 1]
    return look_along(back, up, centre)


def recentre(poses: Float[np.ndarray, "views 3 4"]) -> MovedPoses:
    """Move the world so that the average pose becomes the identity."""
    return move_to_identity(poses, average_pose(poses))


def move_to_identity(
    poses: Float[np.ndarray, "views 3 4"], frame: Float[np.ndarray, "3 4"], scale: float = 1.0
) -> MovedPoses:
    """Move the world so that the pose ``frame`` becomes the identity, and scale it then."""
    rotation = frame[:, :3].T
    transform = np.eye(4)
    transform[:3, :3] = scale * rotation
    transform[:3, 3] = -scale * rotation @ frame[:, 3]
    moved = rotation @ poses
    moved[:, :, 3] = scale * moved[:, :, 3] + transform[:3, 3]
    return MovedPoses(moved, transform, scale)


def _unit(vector: np.ndarray) -> np.ndarray:
    unit: np.ndarray = vector / np.linalg.norm(vector)
    return unit
