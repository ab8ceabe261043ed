"""A run, opened for reading: the model, trained so far, beside its scene."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float

from sharpfield.config import Config
from sharpfield.errors import InputError
from sharpfield.geometry.camera import Camera
from sharpfield.geometry.ndc import faces_forward
from sharpfield.model import Model, ReblurredView, RenderedView
from sharpfield.scene.llff import read_llff
from sharpfield.scene.made_scene import Truth, read_truth
from sharpfield.scene.scene import Scene
from sharpfield.settings import from_dict
from sharpfield.train.checkpoints import load_checkpoint
from sharpfield.train.run_folder import CONFIG_FILE, check_content, content_of, read_run
from sharpfield.train.trainer import Progress, read_progress


class Run:
    """What evaluation, exports and the report know of a run.

    Views are given by their index in ``scene.views``; motions exist for training views only.
    """

    def __init__(
        self, folder: Path, scene: Scene, config: Config, model: Model, progress: Progress
    ) -> None:
        self.folder, self.scene, self.config, self.model = folder, scene, config, model
        self.device = next(model.parameters()).device
        self.step = progress.step
        self.seed = config.train.seed
        self.training_seconds = progress.seconds
        self.rays_per_pixel = progress.rays_per_pixel
        self.peak_memory_bytes = progress.peak_memory_bytes
        self._place = {view: i for i, view in enumerate(scene.train_indices)}
        self._extents: dict[int, Float[np.ndarray, "height width"]] = {}

    @cached_property
    def truth(self) -> Truth | None:
        """Ground truth of a synthetic scene, None for real photos."""
        camera = self.model.camera
        return read_truth(self.scene.root, (camera.width, camera.height))

    @cached_property
    def motions(self) -> int:
        """Motions of a view, the unmoved one included, whether or not it is part of the kernel."""
        return self._base_weights.shape[1]

    def render(self, camera: Camera, pose: Float[np.ndarray, "3 4"]) -> RenderedView:
        """The sharp picture of a camera at a camera-to-world pose in scene units."""
        return self.model.render(camera, pose)

    def render_view(self, view: int) -> RenderedView:
        """A view's photo as it would be without blur."""
        return self.render(self.scene.views[view].camera, self.pose(view))

    def restore_view(
        self, view: int, rendered: Float[np.ndarray, "height width 3"]
    ) -> Float[np.ndarray, "height width 3"]:
        """A training view's photo, sharp: display colours in [0, 1].

        That is ``rendered``, its sharp rendering, plus what the photo has beyond its rendering
        with blur (a step of Van Cittert's deconvolution, 1931), as far as a pixel's light is its
        own: a photo, or part of one, that was sharp stays as it is, detail and noise and all.
        """
        blurred = self._reblurred(view)
        detail = blurred.own[..., None] * (self.scene.views[view].photo - blurred.colour)
        return np.clip(rendered + detail, 0.0, 1.0)

    def pose(self, view: int) -> Float[np.ndarray, "3 4"]:
        """Where a view's sharp photo is seen from: the given pose, in training maybe corrected."""
        if view not in self._place:
            return self.scene.views[view].pose
        return self._centres[self._place[view]]

    def masks(self, view: int) -> Float[np.ndarray, "motions height width"]:
        """Gates of a training view per motion and pixel, in [0, 1]."""
        return self.model.blur.masks(self._place[view]).cpu().numpy()

    def kernel_size(self, view: int) -> Float[np.ndarray, "height width"]:
        """Rays per pixel that the mask keeps in a training view."""
        return self.masks(view).sum(0)

    def kernel_extent(self, view: int) -> Float[np.ndarray, "height width"]:
        """How far the kernel of each pixel of a training view spreads (`ReblurredView.extent`)."""
        if view not in self._extents:
            self._reblurred(view)
        return self._extents[view]

    def _reblurred(self, view: int) -> ReblurredView:
        blurred = self.model.reblur(self._place[view])
        self._extents[view] = blurred.extent
        return blurred

    def motion_poses(self, view: int) -> Float[np.ndarray, "motions 3 4"]:
        """Camera-to-world poses of a training view's motions; the first is `pose`.

        With the blur model sparse, those at the photo's centre, and the first is only near it.
        """
        return self._motion_poses[self._place[view]]

    def weights(self, view: int) -> Float[np.ndarray, " motions"]:
        """Kernel weights of a training view with all gates open."""
        return self._base_weights[self._place[view]]

    @cached_property
    def _centres(self) -> Float[np.ndarray, "views 3 4"]:
        with torch.no_grad():
            return self.model.blur.centres().cpu().numpy()

    @cached_property
    def _motion_poses(self) -> Float[np.ndarray, "views motions 3 4"]:
        with torch.no_grad():
            return self.model.blur.motion_poses().cpu().numpy()

    @cached_property
    def _base_weights(self) -> Float[np.ndarray, "views motions"]:
        with torch.no_grad():
            return self.model.blur.base_weights().cpu().numpy()


def read_scene(root: Path, config: Config) -> Scene:
    """The scene of a folder as ``config.scene`` says.

    Raises ``InputError`` where it cannot be read so, or has views that NDC do not show.
    """
    options = config.scene
    scene = read_llff(
        root, options.factor or None, options.downscale, options.hold or None, options.spherify
    )
    if options.ndc:
        _check_forward(scene)
    return scene


def _check_forward(scene: Scene) -> None:
    """Raises ``InputError`` where a camera does not face forward, as NDC need it."""
    for view in scene.views:
        if not faces_forward(view.pose, view.camera):
            raise InputError(
                f"{scene.root}: photo {view.name} looks aside or back, but normalised device "
                "coordinates need cameras that face forward; use --field mlp --set "
                "scene.ndc=false, and where they look inwards from all around --set "
                "scene.spherify=true"
            )


def open_run(folder: Path, device: torch.device, warn: list[str] | None = None) -> Run:
    """Open a trained run.

    Raises ``InputError`` when ``folder`` is no run, has no checkpoint yet, or its scene is gone or
    no longer the same.
    Warnings (a damaged checkpoint that was skipped) are appended to ``warn``.
    """
    record = read_run(folder)
    try:
        config = from_dict(Config, record.config)
    except InputError as error:
        raise InputError(
            f"{folder / CONFIG_FILE} (written by sharpfield {record.version}): {error}; "
            "it is of another version or was edited, train anew with another --output"
        ) from None
    if not record.scene.exists():
        raise InputError(
            f"{folder}: its scene {record.scene} is gone; put it back, or set 'scene' in "
            f"{folder / CONFIG_FILE} to where it is now"
        )
    scene = read_scene(record.scene, config)
    check_content(folder, record, content_of(scene))
    model = Model(scene, config)
    checkpoint = load_checkpoint(folder, model.checkpoint_shapes())
    if checkpoint is None:
        raise InputError(f"{folder}: no checkpoint yet; run 'sharpfield train' on it first")
    if checkpoint.warning and warn is not None:
        warn.append(checkpoint.warning)
    model.load_checkpoint(checkpoint.tensors)
    return Run(folder, scene, config, model.to(device), read_progress(checkpoint.state))
