"""Poses between scene units and the coordinates of the user's input files."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float


def transform_poses(
    poses: Float[np.ndarray, "*batch 3 4"], similarity: Float[np.ndarray, "4 4"]
) -> Float[np.ndarray, "*batch 3 4"]:
    """Camera-to-world poses after a similarity (rotation, one scale, translation) of the world.

    Positions are mapped by the whole similarity, camera axes only turned.
    ``scene.from_input`` takes input coordinates to scene units, its inverse takes them back.
    """
    linear = similarity[:3, :3]
    scale = np.cbrt(np.linalg.det(linear))
    axes = (linear / scale) @ poses[..., :3]
    positions = linear @ poses[..., 3:] + similarity[:3, 3:]
    return np.concatenate([axes, positions], axis=-1)
