"""What the blur model found: kernel sizes, masks, motions and the views that they see."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float

from sharpfield.errors import InputError
from sharpfield.evaluate.images import to_8bit, write_image
from sharpfield.export.coordinates import transform_poses
from sharpfield.export.maps import KERNEL_COLOURS, colourise, overlay, with_legend
from sharpfield.files import replacing, write_json
from sharpfield.progress import OnProgress, ignore
from sharpfield.run import Run
from sharpfield.scene.scene import View


@dataclass(frozen=True)
class _Map:
    """Values over a photo, the range that the colours span, and the unit."""

    values: Float[np.ndarray, "height width"]
    low: float
    high: float
    unit: str


def export_kernels(run: Run, progress: OnProgress = ignore) -> Path:
    """Write RUN/kernels for every training view and return that folder.

    ``size/<stem>.npy`` (float32, height x width, rays per pixel), ``size/<stem>.png`` (the same
    with a legend; the colours span 1 to all motions in every photo), ``size/<stem>_overlay.png``
    (over the grey photo), ``extent/<stem>`` with the same endings (how far the kernel spreads: the
    length in pixels of the smear; the colours span 0 to the widest of all photos),
    ``masks/<stem>_<k>.png`` (gate of motion k, white = open; in a small kernel, motions of its own
    stand for those that are open), ``warped/<stem>_<k>.png`` (the sharp view at motion k),
    ``poses.npy`` (training views x motions x 3 x 4, float64) and ``poses.json`` (the same with
    names and weights). Poses are camera-to-world with OpenGL axes, positions in the
    coordinates of the scene's input files, axes sheared where a motion is no rigid one (lens,
    sparse); motion 0 is the pose of the sharp photo, or close to it.
    ``progress`` gets (done, total) views.

    Raises ``InputError`` for a run without a blur model, or when a file cannot be written.
    """
    if run.motions == 1:
        raise InputError(
            f"{run.folder}: trained with the blur model none, which has no kernels; "
            "train with --blur dynamic or --blur rigid"
        )
    folder = run.folder / "kernels"
    indices = run.scene.train_indices
    extents = {}
    for done, index in enumerate(indices, start=1):
        _write_view(run, index, folder)
        extents[index] = run.kernel_extent(index)
        progress(done, len(indices))
    widest = max(float(extent.max()) for extent in extents.values())
    for index, extent in extents.items():
        _write_map(_Map(extent, 0.0, widest, "pixels"), run.scene.views[index], folder / "extent")
    _write_poses(run, folder)
    return folder


def _write_view(run: Run, index: int, folder: Path) -> None:
    view = run.scene.views[index]
    stem = Path(view.name).stem
    size = _Map(run.kernel_size(index), 1.0, float(run.motions), "rays per pixel")
    _write_map(size, view, folder / "size")
    for k, gate in enumerate(run.masks(index)):
        write_image(folder / "masks" / f"{stem}_{k}.png", to_8bit(gate))
    for k, pose in enumerate(run.motion_poses(index)):
        warped = run.render(view.camera, pose).colour
        write_image(folder / "warped" / f"{stem}_{k}.png", to_8bit(warped))


def _write_map(shown: _Map, view: View, folder: Path) -> None:
    target = folder / Path(view.name).stem
    with replacing(target.with_name(f"{target.name}.npy")) as temporary:
        np.save(temporary, shown.values.astype(np.float32))
    coloured = colourise(shown.values, shown.low, shown.high, KERNEL_COLOURS)
    images = {"": coloured, "_overlay": overlay(coloured, view.photo)}
    for ending, image in images.items():
        legend = with_legend(image, shown.low, shown.high, KERNEL_COLOURS, shown.unit)
        write_image(target.with_name(f"{target.name}{ending}.png"), legend)


def _write_poses(run: Run, folder: Path) -> None:
    indices = run.scene.train_indices
    to_input = np.linalg.inv(run.scene.from_input.astype(np.float64))
    motion_poses = np.stack([run.motion_poses(index) for index in indices]).astype(np.float64)
    poses = transform_poses(motion_poses, to_input)
    with replacing(folder / "poses.npy") as temporary:
        np.save(temporary, poses)
    views = [
        {
            "name": run.scene.views[index].name,
            "weights": run.weights(index),
            "poses": view_poses,
        }
        for index, view_poses in zip(indices, poses, strict=True)
    ]
    description = {
        "views_are": "the training views, in the order of poses.npy",
        "convention": "camera-to-world, OpenGL axes (x right, y up, z back); a motion through a "
        "point of the aperture, or of the blur model sparse, shears them as well, so that its "
        "inverse is not its transpose",
        "coordinates": "those of the scene's input files",
        "motion_0": "the pose of the view's sharp photo; with the blur model sparse, close to it",
        "weights_are": "share of each motion in a pixel whose mask is fully open; they sum to 1",
        "views": views,
    }
    write_json(folder / "poses.json", description)
