"""A run whose every answer is known, in place of a trained one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.ndimage import gaussian_filter

from sharpfield.config import BlurConfig, BlurName, Config
from sharpfield.geometry.camera import Camera
from sharpfield.model import RenderedView
from sharpfield.run import Run
from sharpfield.scene.scene import Scene, View


@dataclass(frozen=True)
class FakeTruth:
    sharp: dict[str, np.ndarray]
    extent: dict[str, np.ndarray]


RunMaker = Callable[..., Any]


@pytest.fixture
def make_run(tmp_path: Path) -> RunMaker:
    """Make a run: views are real PNG files, renders come from ``render`` or are the sharp photos.

    Four motions step to the right by 0.01 scene units each. Photo i is blurred by i pixels, and
    the kernel size is 1 + blur on the left half, 1 on the right.
    """

    def make(
        motions: int = 4,
        train: int = 3,
        test: int = 1,
        truth: bool = True,
        size: tuple[int, int] = (40, 31),
        from_input: np.ndarray | None = None,
        suffix: str = ".png",
        model: BlurName = "dynamic",
    ) -> Any:
        width, height = size
        camera = Camera(width, height, 30.0, 30.0, width / 2, height / 2)
        views, sharp, extent = [], {}, {}
        for index in range(train + test):
            name = f"photo{index}{suffix}"
            pose = np.eye(4)[:3]
            pose[0, 3] = 0.1 * index
            true = sharp_photo(index, width, height)
            blur = min(index, train)
            held_out = index >= train
            photo = true if held_out else gaussian_filter(true, (0, blur, 0))
            path = tmp_path / "scene" / "images" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.round(photo * 255).astype(np.uint8)).save(path)
            photo = np.asarray(Image.open(path), dtype=np.float32) / np.float32(255)
            views.append(View(name, photo, camera, pose.astype(np.float32), held_out))
            sharp[name] = true
            extent[Path(name).stem] = left_half(width, height) * np.float32(blur)
        transform = np.eye(4) if from_input is None else from_input
        scene = Scene("toy", tmp_path / "scene", tuple(views), 1.0, 10.0, transform, "")
        by_centre = {round(float(view.pose[0, 3]), 6): sharp[view.name] for view in views}

        def render(self: Any, camera: Camera, pose: np.ndarray) -> RenderedView:
            nearest = min(by_centre, key=lambda centre: abs(centre - float(pose[0, 3])))
            shift = round((float(pose[0, 3]) - nearest) * 100)
            colour = np.roll(by_centre[nearest], -shift, axis=1)
            depth = np.tile(np.linspace(0.2, 0.8, camera.width, dtype=np.float32), (height, 1))
            return RenderedView(colour, depth)

        def restore_view(self: Any, view: int, rendered: np.ndarray) -> np.ndarray:
            return rendered

        def view_pose(self: Any, view: int) -> np.ndarray:
            return views[view].pose

        def kernel_size(self: Any, view: int) -> np.ndarray:
            blur = min(view, motions - 1)
            return np.float32(1) + left_half(width, height) * np.float32(blur)

        def kernel_extent(self: Any, view: int) -> np.ndarray:
            return left_half(width, height) * np.float32(1.5 * min(view, train))

        def masks(self: Any, view: int) -> np.ndarray:
            steps = np.arange(motions, dtype=np.float32)[:, None, None]
            return (self.kernel_size(view)[None] > steps).astype(np.float32)

        def motion_poses(self: Any, view: int) -> np.ndarray:
            poses = np.repeat(views[view].pose[None], motions, axis=0)
            poses[:, 0, 3] += 0.01 * np.arange(motions, dtype=np.float32)
            return poses

        def weights(self: Any, view: int) -> np.ndarray:
            return np.full(motions, 1 / motions, dtype=np.float32)

        folder = tmp_path / "run"
        folder.mkdir(exist_ok=True)
        attributes: dict[str, Any] = {
            "folder": folder,
            "scene": scene,
            "truth": FakeTruth(sharp, extent) if truth else None,
            "config": Config(blur=BlurConfig(model=model, motions=motions - 1)),
            "device": torch.device("cpu"),
            "step": 100,
            "training_seconds": 12.5,
            "seed": 7,
            "rays_per_pixel": 1.75,
            "peak_memory_bytes": 2**28,
            "motions": motions,
            "render": render,
            "restore_view": restore_view,
            "pose": view_pose,
            "kernel_size": kernel_size,
            "kernel_extent": kernel_extent,
            "masks": masks,
            "motion_poses": motion_poses,
            "weights": weights,
        }
        fake = type("FakeRun", (Run,), attributes)
        return object.__new__(fake)

    return make


def sharp_photo(seed: int, width: int, height: int) -> np.ndarray:
    """Fine texture over a slope, float32 in [0, 1]."""
    noise = np.random.default_rng(seed).uniform(0, 0.5, (height, width, 3))
    slope = np.linspace(0, 0.5, width)[None, :, None]
    return (noise + slope).astype(np.float32)


def left_half(width: int, height: int) -> np.ndarray:
    half = np.zeros((height, width), dtype=np.float32)
    half[:, : width // 2] = 1.0
    return half
