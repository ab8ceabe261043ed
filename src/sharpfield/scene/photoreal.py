"""The photoreal scene: a path-traced made scene of unevenly shaken photos (see `made_scene`)."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from functools import partial
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from sharpfield.progress import OnProgress, ignore
from sharpfield.scene.blur_plan import planned_blurs, sized
from sharpfield.scene.made_scene import Shot, check_setting, make_scene
from sharpfield.scene.photoreal_world import load_mitsuba, photoreal_world
from sharpfield.scene.scene import Camera
from sharpfield.scene.toy_camera import displaced, shake_twists, toy_camera, view_poses
from sharpfield.scene.toy_render import to_display

_STATED_WIDTH = 144
"""The photo width, in pixels, for which `PhotorealSettings.shake_pixels` is stated."""
_ROTATION_SHARE = 0.5
_BOUNCES = 5
"""Segments of the longest light path; longer ones would add 0.2 % of the light."""
_GENERATOR = 1
"""Version of the generator; raise it when the same settings come to give other photos."""


@dataclass(frozen=True)
class PhotorealSettings:
    """How the photoreal scene is photographed.

    Time grows with width x height x views x exposures x samples: about 3 minutes as given, on two
    cores.
    """

    width: int = 144
    """Photo width in pixels, at least 32."""
    height: int = 96
    """Photo height in pixels, at least 32 and at most 3/4 of the width."""
    views: int = 20
    """Number of photos, at least 2."""
    hold: int = 5
    """Every hold-th photo from 0 is held out and exactly sharp; at least 2."""
    exposures: int = 33
    """Poses at which the shutter integral is sampled, at least 33."""
    samples: int = 6
    """Light paths per pixel and exposure, at least 1. Sharp photos take exposures x samples."""
    seed: int = 0
    """Seed of poses, shakes and light paths; the world stays."""
    sharp_fraction: float = 0.2
    """Share of the training photos, in [0, 1], whose extent stays below 0.7 pixels."""
    shake_pixels: tuple[float, float] = (4.0, 16.0)
    """Range of the largest extent within a blurred photo, in pixels of a photo 144 wide."""

    def __post_init__(self) -> None:
        """Raises InputError for a value outside the range that its field states."""
        check = partial(check_setting, "photoreal", self)
        check("width", self.width >= 32, "give at least 32")
        check(
            "height",
            32 <= self.height <= 0.75 * self.width,
            "give 32 to 3/4 of width",
        )
        check("views", self.views >= 2, "give at least 2")
        check("hold", self.hold >= 2, "give at least 2")
        check("exposures", self.exposures >= 33, "give at least 33")
        check("samples", self.samples >= 1, "give at least 1")
        check("seed", self.seed >= 0, "give at least 0")
        check("sharp_fraction", 0 <= self.sharp_fraction <= 1, "give 0 to 1")
        low, high = self.shake_pixels
        check("shake_pixels", 0 < low <= high <= 60, "give 0 < low <= high <= 60")


PHOTOREAL = PhotorealSettings()


def make_photoreal_scene(
    root: Path, settings: PhotorealSettings, progress: OnProgress = ignore
) -> None:
    """Write the photoreal scene to ``root``, whole or not at all; one that is there is reused.

    Needs mitsuba where the scene is not there yet.
    Raises InputError as `made_scene.make_scene` does, and where mitsuba is missing.
    """
    camera = toy_camera(settings.width, settings.height)
    recipe = {"kind": "photoreal", "generator": _GENERATOR, **asdict(settings)}
    make_scene(root, recipe, settings.hold, camera, lambda: _shoot(settings, camera, progress))


@dataclass(frozen=True)
class Sight:
    """What the pixel centres of one photo see."""

    points: Float[np.ndarray, "height width 3"]
    """World positions of the first surface, also where that is shiny."""
    depth: Float[np.ndarray, "height width"]
    """Scene units along the optical axis."""


class Studio:
    """The photoreal world and a camera to photograph it with."""

    def __init__(self, camera: Camera) -> None:
        """Raises InputError where mitsuba is missing."""
        self.camera = camera
        self._mitsuba = load_mitsuba()
        self._world = photoreal_world(self._mitsuba)
        self._paths = self._mitsuba.load_dict({"type": "path", "max_depth": _BOUNCES})

    def expose(
        self,
        poses: Float[np.ndarray, "exposures 3 4"],
        samples: int,
        generator: np.random.Generator,
    ) -> Float[np.ndarray, "height width 3"]:
        """The photo in linear light: the mean over ``poses``, at equal times, of what each sees.

        Each pose takes ``samples`` light paths per pixel, spread over the pixel's square.
        """
        photo = np.zeros((self.camera.height, self.camera.width, 3))
        for pose in poses:
            photo += self.render(pose, samples, int(generator.integers(2**31)), self._paths)
        return photo / len(poses)

    def distances(
        self, pose: Float[np.ndarray, "3 4"], samples: int
    ) -> Float[np.ndarray, "height width"]:
        """Distances from the camera, rendered the way of photos: means over the pixels' squares."""
        return self.render(pose, samples, 0, self._mitsuba.load_dict({"type": "depth"}))[..., 0]

    def render(
        self, pose: Float[np.ndarray, "3 4"], samples: int, seed: int, integrator: Any
    ) -> Float[np.ndarray, "height width 3"]:
        """What Mitsuba's ``integrator`` gives for each pixel; the same on any number of threads."""
        image = self._mitsuba.render(
            self._world,
            sensor=self._mitsuba.load_dict(self._sensor(pose, samples)),
            integrator=integrator,
            seed=seed,
        )
        return np.array(image, np.float64)

    def see(self, pose: Float[np.ndarray, "3 4"], step: int = 1) -> Sight:
        """What every ``step``-th pixel sees, across and down."""
        camera = self.camera
        x = (np.arange(camera.width)[::step] + 0.5 - camera.centre_x) / camera.focal_x
        y = (np.arange(camera.height)[::step] + 0.5 - camera.centre_y) / camera.focal_y
        ahead = np.stack(np.broadcast_arrays(x, -y[:, None], -1.0), axis=-1)
        directions = ahead @ pose[:, :3].T
        centre = pose[:, 3].tolist()
        depth = np.empty(directions.shape[:2])
        for pixel, direction in zip(
            np.ndindex(depth.shape), directions.reshape(-1, 3), strict=True
        ):
            ray = self._mitsuba.Ray3f(centre, direction.tolist())
            # Directions reach one unit along the optical axis, so the ray's parameter is depth.
            depth[pixel] = self._world.ray_intersect_preliminary(ray, coherent=True).t
        return Sight(pose[:, 3] + depth[..., None] * directions, depth)

    def _sensor(self, pose: Float[np.ndarray, "3 4"], samples: int) -> dict[str, Any]:
        """A pinhole at ``pose``. Mitsuba's own camera axes are x left, y up, z ahead."""
        camera = self.camera
        to_world = np.eye(4)
        to_world[:3] = pose * (-1.0, 1.0, -1.0, 1.0)
        return {
            "type": "perspective",
            "fov_axis": "x",
            "fov": float(np.degrees(2 * np.arctan(camera.width / 2 / camera.focal_x))),
            "near_clip": 0.001,
            "far_clip": 100.0,
            "to_world": self._mitsuba.ScalarTransform4f(to_world),
            "film": {
                "type": "hdrfilm",
                "width": camera.width,
                "height": camera.height,
                "pixel_format": "rgb",
                "component_format": "float32",
                # No pixel gets light from beside it, so threads never add to the same one.
                "rfilter": {"type": "box"},
            },
            "sampler": {"type": "multijitter", "sample_count": samples},
        }


def extents(
    points: Float[np.ndarray, "height width 3"],
    camera: Camera,
    poses: Float[np.ndarray, "exposures 3 4"],
) -> Float[np.ndarray, "height width"]:
    """How far each point is smeared in the photo, in pixels.

    That is the largest distance between any two places at which ``poses`` project the point, as
    in the toy scene.
    """
    places = np.empty((len(poses), *points.shape[:2], 2))
    for place, pose in zip(places, poses, strict=True):
        local = (points - pose[:, 3]) @ pose[:, :3]
        place[:] = local[..., :2] / -local[..., 2:] * (camera.focal_x, camera.focal_y)
    furthest = np.zeros(points.shape[:2])
    for one, other in combinations(places, 2):
        np.maximum(furthest, ((one - other) ** 2).sum(axis=-1), out=furthest)
    return np.sqrt(furthest)


def _shoot(settings: PhotorealSettings, camera: Camera, progress: OnProgress) -> list[Shot]:
    studio = Studio(camera)
    generator = np.random.default_rng(settings.seed)
    held_out = [view % settings.hold == 0 for view in range(settings.views)]
    poses = view_poses(held_out, generator)
    pixels_wanted = np.array(settings.shake_pixels) * settings.width / _STATED_WIDTH
    blurs = planned_blurs(held_out, settings.sharp_fraction, pixels_wanted, generator)
    shots = []
    for pose, blur in zip(poses, blurs, strict=True):
        shots.append(_shot(studio, pose, blur.pixels, settings, generator))
        progress(len(shots), settings.views)
    return shots


def _shot(
    studio: Studio,
    pose: Float[np.ndarray, "3 4"],
    pixels: float,
    settings: PhotorealSettings,
    generator: np.random.Generator,
) -> Shot:
    path = np.repeat(pose[None], settings.exposures, axis=0)
    seen = studio.see(pose)
    photo = sharp = to_display(
        studio.expose(pose[None], settings.exposures * settings.samples, generator)
    )
    if pixels > 0:
        path = _shaken(studio, pose, pixels, settings, generator)
        photo = to_display(studio.expose(path, settings.samples, generator))
    extent = extents(seen.points, studio.camera, path).astype(np.float32)
    return Shot(photo, sharp, extent, seen.depth.astype(np.float32), pose, path, given_pose=pose)


def _shaken(
    studio: Studio,
    pose: Float[np.ndarray, "3 4"],
    pixels: float,
    settings: PhotorealSettings,
    generator: np.random.Generator,
) -> Float[np.ndarray, "exposures 3 4"]:
    """A random path about ``pose`` whose extent is ``pixels`` where it is largest in the photo."""
    points = studio.see(pose, step=max(1, studio.camera.width // 48)).points

    def largest(twists: Float[np.ndarray, "exposures 6"]) -> float:
        return float(extents(points, studio.camera, displaced(pose, twists)).max())

    shake = shake_twists(studio.camera, settings.exposures, "smooth", generator)
    return displaced(pose, sized(*shake, _ROTATION_SHARE, pixels, largest))
