"""The files of the classic command line, in their old places under ``<basedir>/<expname>``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8

from sharpfield.classic.options import ClassicOptions
from sharpfield.evaluate.evaluation import Evaluation, evaluate
from sharpfield.evaluate.images import to_8bit, write_image
from sharpfield.export.camera_path import camera_path
from sharpfield.export.video import write_video
from sharpfield.files import replacing
from sharpfield.geometry.camera import Camera
from sharpfield.geometry.rays import camera_directions, rays_from_poses
from sharpfield.progress import OnProgress
from sharpfield.run import Run

Image = UInt8[np.ndarray, "height width 3"]

FRAMES = 120
FPS = 30.0
METRICS_FILE = "test_metrics.txt"


@dataclass(frozen=True)
class _Picture:
    colour: Image
    depth: Float[np.ndarray, "height width"]


def picture_camera(run: Run, options: ClassicOptions) -> Camera:
    """The camera of all pictures: that of the photos, made smaller by ``render_factor``."""
    camera = run.scene.views[0].camera
    if options.render_factor < 2:
        return camera
    width, height = camera.width // options.render_factor, camera.height // options.render_factor
    return camera.scaled(max(1, width), max(1, height))


def write_test_set(run: Run, folder: Path, progress: OnProgress) -> dict[str, Image]:
    """``folder/NNN.png`` of every view, training and held-out; the images by photo name."""
    images = {}
    for number, view in enumerate(run.scene.views):
        images[view.name] = to_8bit(run.render_view(number).colour)
        write_image(folder / f"{number:03d}.png", images[view.name])
        progress(number + 1, len(run.scene.views))
    return images


def score(run: Run, images: Mapping[str, Image]) -> dict[str, Evaluation]:
    """The held-out views under the papers' protocol and under the standard one, by its name."""
    return {name: evaluate(run, name, renders=images) for name in ("paper", "standard")}


def metrics_line(start: str, scores: Mapping[str, Evaluation]) -> str:
    """One line of ``test_metrics.txt``: the papers' numbers where scripts expect them."""
    paper, standard = (_numbers(scores[name]) for name in ("paper", "standard"))
    return f"{start} {paper} [protocol paper; standard: {standard}]"


def _numbers(evaluation: Evaluation) -> str:
    errors = [view.mse for view in evaluation.views]
    values = {
        "MSE": float(np.mean(errors)) if errors else None,
        "PSNR": evaluation.mean["psnr"],
        "SSIM": evaluation.mean["ssim"],
        "LPIPS": evaluation.mean["lpips"],
    }
    return " ".join(
        f"{name}:{'null' if value is None else format(value, '.8f')}"
        for name, value in values.items()
    )


def write_spiral(run: Run, options: ClassicOptions, folder: Path, progress: OnProgress) -> None:
    """``<expname>_spiral_NNNNNN_rgb.mp4`` and ``_disp.mp4``, as during training."""
    stem = f"{options.expname}_spiral_{run.step:06d}"
    pictures = _film(run, options, progress)
    _write_film(folder / f"{stem}_rgb.mp4", [picture.colour for picture in pictures], 8)
    farthest = max(float(picture.depth.max()) for picture in pictures) or 1.0
    grey = [_grey(picture.depth / farthest) for picture in pictures]
    _write_film(folder / f"{stem}_disp.mp4", grey, 8)


def write_path(run: Run, options: ClassicOptions, folder: Path, progress: OnProgress) -> Path:
    """``renderonly_path_NNNNNN/video.mp4`` and ``video_disp.mp4``; ``epi_`` before a slide's."""
    target = folder / f"renderonly_path_{run.step - 1:06d}"
    start = "epi_" if options.render_epi else ""
    pictures = _film(run, options, progress)
    _write_film(target / f"{start}video.mp4", [picture.colour for picture in pictures], 9)
    grey = [_grey(1.0 - picture.depth) for picture in pictures]
    _write_film(target / f"{start}video_disp.mp4", grey, 9)
    return target


def write_views(
    run: Run, options: ClassicOptions, folder: Path, progress: OnProgress
) -> dict[str, Image]:
    """``renderonly_test_NNNNNN/NNN.png`` and ``NNN_disp.png`` of every view."""
    target = folder / f"renderonly_test_{run.step - 1:06d}"
    camera = picture_camera(run, options)
    images = {}
    for number, view in enumerate(run.scene.views):
        picture = _render(run, camera, run.pose(number))
        images[view.name] = picture.colour
        write_image(target / f"{number:03d}.png", picture.colour)
        write_image(target / f"{number:03d}_disp.png", _grey(1.0 - picture.depth))
        progress(number + 1, len(run.scene.views))
    return images


def write_warped(run: Run, options: ClassicOptions, folder: Path, progress: OnProgress) -> Path:
    """``warped_ray_img_*_NNNNNN``: every training view through each of its motions.

    ``VVV_scene_K.png`` and ``VVV_scene_K_disp.png``, K = 0 being the origin, and
    ``rays_warped.npy`` (training views x motions x 3 x 2): origin and direction of the ray
    through the middle of each.
    """
    kind = "test" if options.render_test else "path"
    target = folder / f"warped_ray_img_{kind}_{run.step - 1:06d}"
    camera = picture_camera(run, options)
    indices = run.scene.train_indices
    rays = []
    for done, index in enumerate(indices, start=1):
        poses = run.motion_poses(index)
        for k, pose in enumerate(poses):
            picture = _render(run, camera, pose)
            write_image(target / f"{index:03d}_scene_{k:03d}.png", picture.colour)
            grey = _grey(1.0 - picture.depth)
            write_image(target / f"{index:03d}_scene_{k:03d}_disp.png", grey)
        rays.append(_middle_rays(run.scene.views[index].camera, poses))
        progress(done, len(indices))
    with replacing(target / "rays_warped.npy") as file, file.open("wb") as stream:
        np.save(stream, np.stack(rays))
    return target


def _middle_rays(
    camera: Camera, poses: Float[np.ndarray, "motions 3 4"]
) -> Float[np.ndarray, "motions 3 2"]:
    middle = torch.tensor([[camera.width // 2 + 0.5, camera.height // 2 + 0.5]])
    directions = camera_directions(middle, camera).expand(len(poses), 3)
    rays = rays_from_poses(directions, torch.from_numpy(np.asarray(poses, dtype=np.float32)))
    return torch.stack([rays.origins, rays.directions], dim=-1).numpy()


def _film(run: Run, options: ClassicOptions, progress: OnProgress) -> list[_Picture]:
    kind = "epi" if options.render_epi else "orbit" if options.spherify else "spiral"
    poses = camera_path(
        run.scene,
        kind,
        FRAMES,
        focus_scale=options.render_focuspoint_scale,
        radius_scale=options.render_radius_scale,
    )
    camera = picture_camera(run, options)
    pictures = []
    for number, pose in enumerate(poses):
        pictures.append(_render(run, camera, pose))
        progress(number + 1, len(poses))
    return pictures


def _write_film(path: Path, frames: list[Image], quality: float) -> None:
    height, width = frames[0].shape[:2]
    write_video(path, frames, (width, height), FPS, quality)


def _render(run: Run, camera: Camera, pose: Float[np.ndarray, "3 4"]) -> _Picture:
    rendered = run.render(camera, pose)
    return _Picture(to_8bit(rendered.colour), rendered.depth)


def _grey(values: Float[np.ndarray, "height width"]) -> Image:
    return np.repeat(to_8bit(values)[..., None], 3, axis=-1)
