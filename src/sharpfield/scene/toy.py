"""The toy scene: a procedural made scene of unevenly blurred photos (see `scene.made_scene`)."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from jaxtyping import Float

from sharpfield.progress import OnProgress, ignore
from sharpfield.scene.blur_plan import Blur, planned_blurs, sized
from sharpfield.scene.made_scene import Shot, check_setting, make_scene
from sharpfield.scene.scene import Camera
from sharpfield.scene.toy_camera import (
    PathKind,
    Pivot,
    displaced,
    shake_twists,
    toy_camera,
    view_poses,
)
from sharpfield.scene.toy_render import Lens, expose, smear, to_display
from sharpfield.scene.toy_world import World, toy_world

_STATED_WIDTH = 192
"""The photo width, in pixels, for which `ToySettings.shake_pixels` is stated."""
_FOCUS_DEPTHS = (3.0, 7.5)
_GENERATOR = 1
"""Version of the generator; raise it when the same settings come to give other photos."""


@dataclass(frozen=True)
class ToySettings:
    """What the toy scene is made of. Time grows with width x height x views x exposures."""

    width: int = 192
    """Photo width in pixels, at least 32. The finest texture is about 2.5 pixels at 192."""
    height: int = 128
    """Photo height in pixels, at least 32 and at most 3/4 of the width."""
    views: int = 25
    """Number of photos, at least 2."""
    hold: int = 5
    """Every hold-th photo from 0 is held out and exactly sharp; at least 2."""
    exposures: int = 65
    """Poses at which the shutter integral is sampled, at least 33; also the samples per pixel."""
    seed: int = 0
    """Seed of textures, poses and shakes; the furniture stays."""
    sharp_fraction: float = 0.2
    """Share of the training photos, in [0, 1], whose extent stays below 0.7 pixels."""
    shake_pixels: tuple[float, float] = (5.0, 18.0)
    """Range of the largest motion extent within a blurred photo, in pixels of a photo 192 wide.

    (0, 0) keeps the camera still, for photos that only `defocus` blurs.
    """
    rotation_share: float = 0.5
    """Share of the shake, in [0, 1], that is rotation; the rest is translation, with parallax."""
    path: PathKind = "smooth"
    """Shape of the shake: "smooth" (a bent sweep) or "jagged" (a walk with sudden turns)."""
    pivot: Pivot = "border"
    """Where the axis of the shake's rotation pierces the photo, and its blur vanishes: near a
    random place of the "border", or in the "centre", so that blur grows towards the corners."""
    near: bool = False
    """Whether thin things at depths 1.2 to 1.6 stand before the others (2.9 to 8), so that a
    translating camera smears them about five times as far as the wall."""
    defocus: float = 0.0
    """Lens radius in scene units for blurred photos, each focused at random; 0 is a pinhole."""
    exposure: float = 1.0
    """Factor on linear light in every photo and true sharp photo, above 0 and at most 10.

    Values above 1 overexpose. Light is clipped after the shutter integral, as in a sensor: a
    smeared highlight may stay below the clip and does not average as display colours say. 2
    clips some channel in a third of the pixels and every channel in an eighth of them.
    """
    pose_noise: float = 0.0
    """Error of the poses given for blurred photos, in [0, 1]: how many pixels it moves the photo's
    content per pixel of true blur extent, both in the mean over the photo.

    Structure from motion localises smeared features badly and sharp ones well, so sharp and
    held-out photos keep their exact poses. Photos and truth do not depend on it.
    """

    def __post_init__(self) -> None:
        """Raises InputError for a value outside the range that its field states."""
        check = partial(check_setting, "toy", self)
        check("width", self.width >= 32, "give at least 32")
        check("height", 32 <= self.height <= 0.75 * self.width, "give 32 to 3/4 of width")
        check("views", self.views >= 2, "give at least 2")
        check("hold", self.hold >= 2, "give at least 2")
        check("exposures", self.exposures >= 33, "give at least 33")
        check("seed", self.seed >= 0, "give at least 0")
        check("sharp_fraction", 0 <= self.sharp_fraction <= 1, "give 0 to 1")
        check("rotation_share", 0 <= self.rotation_share <= 1, "give 0 to 1")
        check("defocus", 0 <= self.defocus <= 0.2, "give 0 to 0.2")
        check("exposure", 0 < self.exposure <= 10, "give above 0 to 10")
        check("pose_noise", 0 <= self.pose_noise <= 1, "give 0 to 1")
        low, high = self.shake_pixels
        check("shake_pixels", 0 <= low <= high <= 60, "give 0 <= low <= high <= 60")


def make_toy_scene(root: Path, settings: ToySettings, progress: OnProgress = ignore) -> None:
    """Write the toy scene to ``root``, whole or not at all; a folder that holds it is reused.

    Raises InputError as `made_scene.make_scene` does.
    """
    camera = toy_camera(settings.width, settings.height)
    recipe = {"kind": "toy", "generator": _GENERATOR, **asdict(settings)}
    make_scene(root, recipe, settings.hold, camera, lambda: _shoot(settings, progress))


def _shoot(settings: ToySettings, progress: OnProgress) -> list[Shot]:
    generator = np.random.default_rng(settings.seed)
    # Its own generator, so that photos do not depend on the noise of the poses.
    noise = np.random.default_rng([settings.seed, 1])
    world = toy_world(settings.seed, settings.near)
    camera = toy_camera(settings.width, settings.height)
    held_out = [view % settings.hold == 0 for view in range(settings.views)]
    poses = view_poses(held_out, generator)
    pixels_wanted = np.array(settings.shake_pixels) * settings.width / _STATED_WIDTH
    blurs = planned_blurs(held_out, settings.sharp_fraction, pixels_wanted, generator)
    shots = []
    for pose, blur in zip(poses, blurs, strict=True):
        shot = _shot(world, camera, pose, blur, settings, generator)
        pixels = settings.pose_noise * float(shot.extent.mean())
        if blur.strong and pixels > 0:
            shot = replace(shot, given_pose=_misplaced(world, camera, pose, pixels, noise))
        shots.append(shot)
        progress(len(shots), settings.views)
    return shots


def _shot(
    world: World,
    camera: Camera,
    pose: Float[np.ndarray, "3 4"],
    blur: Blur,
    settings: ToySettings,
    generator: np.random.Generator,
) -> Shot:
    lens = Lens()
    twists = np.zeros((settings.exposures, 6))
    if blur.pixels > 0:
        twists = _shake(world, camera, pose, blur.pixels, settings, generator)
    if blur.strong:
        near, far = 1 / np.array(_FOCUS_DEPTHS)
        lens = Lens(settings.defocus, float(1 / generator.uniform(far, near)))
    path = displaced(pose, twists)
    still = np.repeat(pose[None], settings.exposures, axis=0)
    sharp = to_display(settings.exposure * expose(world, camera, still, Lens()))
    photo = sharp
    if blur.pixels > 0 or lens.aperture > 0:
        photo = to_display(settings.exposure * expose(world, camera, path, lens))
    seen = smear(world, camera, pose, path, lens)
    return Shot(photo, sharp, seen.extent, seen.depth, pose, path, given_pose=pose)


def _shake(
    world: World,
    camera: Camera,
    pose: Float[np.ndarray, "3 4"],
    pixels: float,
    settings: ToySettings,
    generator: np.random.Generator,
) -> Float[np.ndarray, "exposures 6"]:
    """A random shake whose motion extent is ``pixels`` where it is largest in the photo."""

    def largest(twists: Float[np.ndarray, "exposures 6"]) -> float:
        path = displaced(pose, twists)
        return float(smear(world, small, pose, path, Lens()).extent.max()) * scale

    scale = max(1, camera.width // 96)
    small = camera.scaled(camera.width // scale, camera.height // scale)
    shake = shake_twists(camera, settings.exposures, settings.path, generator, settings.pivot)
    return sized(*shake, settings.rotation_share, pixels, largest)


def _misplaced(
    world: World,
    camera: Camera,
    pose: Float[np.ndarray, "3 4"],
    pixels: float,
    generator: np.random.Generator,
) -> Float[np.ndarray, "3 4"]:
    """``pose`` with a random error, half turn, half shift, that moves pixels by ``pixels``."""

    def mean(twists: Float[np.ndarray, "1 6"]) -> float:
        both = np.concatenate([pose[None], displaced(pose, twists)])
        return float(smear(world, camera, pose, both, Lens()).extent.mean())

    turn, shift = np.zeros((2, 1, 6))
    turn[:, :3], shift[:, 3:] = generator.normal(size=(2, 3))
    return displaced(pose, sized(turn, shift, 0.5, pixels, mean))[0]
