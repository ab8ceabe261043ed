"""A scene that trains in a second, and a configuration in which no setting is left to chance."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from scipy.ndimage import gaussian_filter

from sharpfield.config import (
    BlurConfig,
    BlurName,
    Config,
    HashGridConfig,
    RenderConfig,
    SceneConfig,
    TrainConfig,
)
from sharpfield.geometry.camera import Camera
from sharpfield.scene.scene import Scene, View

CAMERA = Camera(24, 16, 26.0, 26.0, 12.0, 8.0)
VIEWS = 6
STEPS = 12


def small_scene(root: Path) -> Scene:
    """Smooth random photos from forward-facing poses near the origin; the first is held out."""
    random = np.random.default_rng(31)
    views = []
    for index in range(VIEWS):
        noise = random.uniform(0, 1, (CAMERA.height, CAMERA.width, 3))
        photo = gaussian_filter(noise, (1.5, 1.5, 0))
        photo = ((photo - photo.min()) / np.ptp(photo)).astype(np.float32)
        pose = np.eye(4)[:3]
        pose[:, 3] = random.uniform(-0.15, 0.15, 3)
        views.append(View(f"{index}.png", photo, CAMERA, pose.astype(np.float32), index == 0))
    return Scene("small", root, tuple(views), 1.33, 4.0, np.eye(4), "")


def small_config(
    model: BlurName,
    steps: int = STEPS,
    samples: int = 2048,
    motions: int = 4,
    seed: int = 0,
    log_every: int = 3,
    checkpoint_every: float = 3600.0,
) -> Config:
    """Twelve steps cross all phases: warm-up, first size, soft, hard, with and without learning."""
    return Config(
        scene=SceneConfig(factor=0, downscale=1, hold=0, tone="gamma"),
        field_name="hashgrid",
        hashgrid=HashGridConfig(
            levels=3, log2_entries=9, coarsest=4, finest=24, depth_ratio=0.5, hidden=8
        ),
        render=RenderConfig(steps=16, grid=16),
        blur=BlurConfig(
            model=model,
            motions=motions,
            embedding=8,
            path_points=4,
            freedom=0.3,
            start_pixels=1.0,
            motions_every=2,
            mask_tolerance=0.03,
            mask_channels=6,
            mask_every=2,
            mask_views=3,
            mask_exploration=0.25,
        ),
        train=TrainConfig(
            samples=samples,
            textured=0.4,
            time_budget=0.0,
            steps=steps,
            warmup=0.1,
            settle=0.4,
            harden=0.7,
            table_rate=1e-2,
            head_rate=3e-3,
            blur_rate=2e-3,
            mask_rate=2e-3,
            final_rate=0.1,
            average=0.6,
            seed=seed,
            log_every=log_every,
            checkpoint_every=checkpoint_every,
        ),
    )
