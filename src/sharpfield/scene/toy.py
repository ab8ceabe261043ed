"""The toy scene: a procedural LLFF folder of unevenly blurred photos, with ground truth.

Besides the ordinary LLFF files the folder holds ``truth/``: ``sharp/<name>.png`` (every view's
sharp photo), ``extent/<name>.npy`` (float32 height x width, true blur extent in pixels),
``paths.npy`` (views x exposures x 3 x 4, the camera-to-world poses during each exposure) and
``settings.json``.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

from sharpfield import files
from sharpfield.errors import InputError
from sharpfield.scene.llff import write_llff
from sharpfield.scene.photos import read_photos, resize_photo
from sharpfield.scene.scene import Camera
from sharpfield.scene.toy_camera import (
    PathKind,
    displaced,
    shake_twists,
    toy_camera,
    view_poses,
)
from sharpfield.scene.toy_render import Lens, Smear, expose, smear, to_display
from sharpfield.scene.toy_world import World, toy_world

_STATED_WIDTH = 192
"""The photo width, in pixels, for which `ToySettings.shake_pixels` is stated."""
_SHARP_PIXELS = (0.1, 0.6)
_FOCUS_DEPTHS = (3.0, 7.5)
_SETTINGS = Path("truth", "settings.json")


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
    """Range of the largest motion extent within a blurred photo, in pixels of a photo 192 wide."""
    rotation_share: float = 0.5
    """Share of the shake, in [0, 1], that is rotation; the rest is translation, with parallax."""
    path: PathKind = "smooth"
    """Shape of the shake: "smooth" (a bent sweep) or "jagged" (a walk with sudden turns)."""
    defocus: float = 0.0
    """Lens radius in scene units for blurred photos, each focused at random; 0 is a pinhole."""

    def __post_init__(self) -> None:
        """Raises InputError for a value outside the range that its field states."""
        _check(self, "width", self.width >= 32, "give at least 32")
        _check(self, "height", 32 <= self.height <= 0.75 * self.width, "give 32 to 3/4 of width")
        _check(self, "views", self.views >= 2, "give at least 2")
        _check(self, "hold", self.hold >= 2, "give at least 2")
        _check(self, "exposures", self.exposures >= 33, "give at least 33")
        _check(self, "seed", self.seed >= 0, "give at least 0")
        _check(self, "sharp_fraction", 0 <= self.sharp_fraction <= 1, "give 0 to 1")
        _check(self, "rotation_share", 0 <= self.rotation_share <= 1, "give 0 to 1")
        _check(self, "defocus", 0 <= self.defocus <= 0.2, "give 0 to 0.2")
        low, high = self.shake_pixels
        _check(self, "shake_pixels", 0 < low <= high <= 60, "give 0 < low <= high <= 60")


@dataclass(frozen=True)
class Truth:
    """Ground truth of a toy scene."""

    sharp: Mapping[str, Float[np.ndarray, "height width 3"]]
    """Sharp photos at the given poses by photo name, display colours in [0, 1]."""
    extent: Mapping[str, Float[np.ndarray, "height width"]]
    """By the photo's stem, true blur extent in pixels: the length of each pixel's smear."""
    paths: Float[np.ndarray, "views exposures 3 4"]
    """Camera-to-world poses during each exposure, in the units of the LLFF files."""


@dataclass(frozen=True)
class _Shot:
    """One finished view."""

    photo: UInt8[np.ndarray, "height width 3"]
    sharp: UInt8[np.ndarray, "height width 3"]
    smear: Smear
    pose: Float[np.ndarray, "3 4"]
    path: Float[np.ndarray, "exposures 3 4"]


def make_toy_scene(root: Path, settings: ToySettings) -> None:
    """Write the toy scene to ``root``, whole or not at all; a folder that holds it is reused.

    Raises InputError where ``root`` holds anything else, and where it cannot be written.
    """
    root = root.resolve()
    wanted = files.to_json(asdict(settings))
    if _present_settings(root) == wanted:
        return
    if root.exists() and (not root.is_dir() or any(root.iterdir())):
        raise InputError(
            f"{root}: holds something other than this toy scene; remove it or choose another folder"
        )
    with files.explaining(root):
        root.parent.mkdir(parents=True, exist_ok=True)
        making = Path(tempfile.mkdtemp(prefix=f".{root.name}-", dir=root.parent))
        try:
            making.chmod(0o755)
            _write(making, settings, _shoot(settings))
            files.write_json(making / _SETTINGS, wanted)
            making.replace(root)
        finally:
            shutil.rmtree(making, ignore_errors=True)


def read_truth(root: Path, downscale: int = 1) -> Truth | None:
    """The ground truth in a toy scene's folder, or None for a folder without any.

    ``downscale`` averages photos and extents over blocks as the scene readers do; extents are
    then in pixels of the smaller photos. Raises InputError for damaged files.
    """
    truth = root / _SETTINGS.parent
    if not (root / _SETTINGS).is_file():
        return None
    paths = sorted((truth / "sharp").glob("*.png"))
    photos = read_photos(paths, downscale)
    extent = {}
    for path, photo in zip(paths, photos, strict=True):
        full = np.repeat(_load(truth / "extent" / f"{path.stem}.npy")[..., None], 3, axis=-1)
        small = resize_photo(full, photo.shape[1], photo.shape[0])[..., 0]
        extent[path.stem] = small / np.float32(downscale)
    sharp = dict(zip([path.name for path in paths], photos, strict=True))
    return Truth(sharp, extent, _load(truth / "paths.npy"))


def _check(settings: ToySettings, name: str, valid: bool, advice: str) -> None:
    if not valid:
        raise InputError(f"toy scene: {name} {getattr(settings, name)} is out of range; {advice}")


def _present_settings(root: Path) -> object:
    try:
        return json.loads((root / _SETTINGS).read_text("utf-8"))
    except (OSError, ValueError):
        return None


def _load(path: Path) -> np.ndarray:
    try:
        array: np.ndarray = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        reason = " ".join(str(error).split())
        raise InputError(
            f"{path}: damaged ({reason}); remove the toy scene and make it again"
        ) from None
    return array


def _shoot(settings: ToySettings) -> list[_Shot]:
    generator = np.random.default_rng(settings.seed)
    world = toy_world(settings.seed)
    camera = toy_camera(settings.width, settings.height)
    held_out = [view % settings.hold == 0 for view in range(settings.views)]
    poses = view_poses(held_out, generator)
    shots = []
    for pose, pixels in zip(poses, _extents(settings, held_out, generator), strict=True):
        lens = Lens()
        twists = np.zeros((settings.exposures, 6))
        if pixels > 0:
            twists = _shake(world, camera, pose, pixels, settings, generator)
        if pixels > _SHARP_PIXELS[1]:
            near, far = 1 / np.array(_FOCUS_DEPTHS)
            lens = Lens(settings.defocus, float(1 / generator.uniform(far, near)))
        path = displaced(pose, twists)
        still = np.repeat(pose[None], settings.exposures, axis=0)
        sharp = to_display(expose(world, camera, still, Lens()))
        photo = to_display(expose(world, camera, path, lens)) if pixels > 0 else sharp
        shots.append(_Shot(photo, sharp, smear(world, camera, pose, path, lens), pose, path))
    return shots


def _extents(
    settings: ToySettings, held_out: list[bool], generator: np.random.Generator
) -> Float[np.ndarray, " views"]:
    """The largest motion extent of each view in pixels; 0 for held-out views."""
    training = generator.permutation(np.flatnonzero(~np.array(held_out)))
    sharp, blurred = np.split(training, [round(settings.sharp_fraction * len(training))])
    extents = np.zeros(settings.views)
    extents[sharp] = generator.uniform(*_SHARP_PIXELS, len(sharp))
    # One draw from each equal slice of the range: every seed has mild and severe blur.
    low, high = np.array(settings.shake_pixels) * settings.width / _STATED_WIDTH
    places = (np.arange(len(blurred)) + generator.random(len(blurred))) / max(len(blurred), 1)
    extents[blurred] = low + (high - low) * places
    return extents


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
    shake = shake_twists(camera, settings.exposures, settings.path, generator)
    # Extents grow almost in proportion to small twists, so a few corrections suffice.
    rotating, translating = (1e-3 * half / largest(1e-3 * half) for half in shake)
    share = settings.rotation_share
    twists = share * rotating + (1 - share) * translating
    for _ in range(4):
        twists = twists * (pixels / largest(twists))
    return twists


def _write(root: Path, settings: ToySettings, shots: list[_Shot]) -> None:
    names = [f"{view:03d}.png" for view in range(settings.views)]
    poses = np.stack([shot.pose for shot in shots])
    write_llff(
        root,
        [shot.photo for shot in shots],
        names,
        poses,
        toy_camera(settings.width, settings.height),
        np.array([shot.smear.depth.min() for shot in shots], float),
        np.array([shot.smear.depth.max() for shot in shots], float),
        settings.hold,
        folder="images",
    )
    for name, shot in zip(names, shots, strict=True):
        png = BytesIO()
        Image.fromarray(shot.sharp).save(png, format="png")
        files.write_bytes(root / "truth" / "sharp" / name, png.getvalue())
        extent = (root / "truth" / "extent" / name).with_suffix(".npy")
        files.write_bytes(extent, _npy(shot.smear.extent))
    files.write_bytes(root / "truth" / "paths.npy", _npy(np.stack([s.path for s in shots])))


def _npy(array: np.ndarray) -> bytes:
    data = BytesIO()
    np.save(data, array)
    return data.getvalue()
