"""Scenes that are read in no time, in folders as LLFF writes them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from jaxtyping import Float
from scipy.ndimage import gaussian_filter

from sharpfield.geometry.camera import Camera
from sharpfield.scene.llff import write_llff

CAMERA = Camera(24, 16, 26.0, 26.0, 12.0, 8.0)
VIEWS = 8


def write_forward_scene(root: Path) -> Path:
    """Cameras side by side."""
    poses = np.tile(np.eye(4)[:3], (VIEWS, 1, 1))
    poses[:, :, 3] = np.random.default_rng(5).uniform(-0.2, 0.2, (VIEWS, 3))
    return _write(root, poses, near=1.5, far=6.0)


def write_inward_scene(root: Path) -> Path:
    """Cameras on a ring, looking a little down at what is in its middle."""
    poses = []
    for angle in np.linspace(0, 2 * np.pi, VIEWS, endpoint=False):
        place = np.array([2 * np.cos(angle), 2 * np.sin(angle), 1.0])
        back = place / np.linalg.norm(place)
        right = np.array([-np.sin(angle), np.cos(angle), 0.0])
        poses.append(np.stack([right, np.cross(back, right), back, place], axis=1))
    return _write(root, np.stack(poses), near=1.0, far=4.0)


def _write(root: Path, poses: Float[np.ndarray, "views 3 4"], near: float, far: float) -> Path:
    random = np.random.default_rng(7)
    shape = (CAMERA.height, CAMERA.width, 3)
    noise = [gaussian_filter(random.uniform(0, 255, shape), (1.5, 1.5, 0)) for _ in range(VIEWS)]
    write_llff(
        root,
        [photo.astype(np.uint8) for photo in noise],
        [f"{number:03d}.png" for number in range(VIEWS)],
        poses,
        CAMERA,
        near=np.full(VIEWS, near),
        far=np.full(VIEWS, far),
        hold=7,
        folder="images_4",
    )
    return root
