"""Made scenes: LLFF folders of generated photos, with ground truth.

Besides the ordinary LLFF files such a folder holds ``truth/``: ``sharp/<name>.png`` (every view's
sharp photo), ``extent/<name>.npy`` (float32 height x width, true blur extent in pixels),
``paths.npy`` (views x exposures x 3 x 4, the camera-to-world poses during each exposure) and
``settings.json``, which says how the scene was made and tells one scene from another.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

from sharpfield import files
from sharpfield.errors import InputError
from sharpfield.scene.llff import LOAD_ERRORS, write_llff
from sharpfield.scene.photos import read_photos, resize_photo
from sharpfield.scene.scene import Camera

_SETTINGS = Path("truth", "settings.json")


@dataclass(frozen=True)
class Shot:
    """One finished view of a made scene. Poses are camera-to-world, OpenGL axes."""

    photo: UInt8[np.ndarray, "height width 3"]
    """What the camera recorded, display colours."""
    sharp: UInt8[np.ndarray, "height width 3"]
    """What it would have recorded at ``pose`` without any blur."""
    extent: Float[np.ndarray, "height width"]
    """True blur extent in pixels, float32: the length of each pixel's smear."""
    depth: Float[np.ndarray, "height width"]
    """Along the optical axis at ``pose``, float32, in the units of the poses."""
    pose: Float[np.ndarray, "3 4"]
    """The true pose."""
    path: Float[np.ndarray, "exposures 3 4"]
    """The true poses during the exposure; as many in every shot of a scene."""
    given_pose: Float[np.ndarray, "3 4"]
    """What the LLFF files state: ``pose``, or ``pose`` with an error."""


@dataclass(frozen=True)
class Truth:
    """Ground truth of a made scene."""

    sharp: Mapping[str, Float[np.ndarray, "height width 3"]]
    """Sharp photos at the true poses by photo name, display colours in [0, 1]."""
    extent: Mapping[str, Float[np.ndarray, "height width"]]
    """By the photo's stem, true blur extent in pixels: the length of each pixel's smear."""
    paths: Float[np.ndarray, "views exposures 3 4"]
    """True camera-to-world poses during each exposure, in the units of the LLFF files."""


def check_setting(kind: str, settings: object, name: str, valid: bool, advice: str) -> None:
    """Raises InputError that names the setting ``name``, its value and ``advice``, unless valid."""
    if not valid:
        value = getattr(settings, name)
        raise InputError(f"{kind} scene: {name} {value} is out of range; {advice}")


def make_scene(
    root: Path,
    settings: Mapping[str, object],
    hold: int,
    camera: Camera,
    shoot: Callable[[], Sequence[Shot]],
) -> None:
    """Write the shots to ``root``, whole or not at all; a folder that holds the scene is reused.

    ``settings`` is everything that decides how the scene looks, as JSON. It must hold "kind",
    the generator's name, and "generator", its version: a number to raise whenever the same
    settings come to give other photos. ``shoot`` is only called where the scene is not there yet.
    Every ``hold``-th view from 0 is held out.
    Raises InputError where ``root`` holds anything else, also where it holds a scene by another
    version of the generator, and where it cannot be written.
    """
    root = root.resolve()
    kind, version = settings["kind"], settings["generator"]
    wanted = files.to_json(settings)
    present = _present_settings(root)
    if present == wanted:
        return
    if present.get("kind", kind) == kind and present.get("generator", version) != version:
        raise InputError(
            f"{root}: made by another version ({present['generator']}) of the {kind} scene's "
            f"generator than this one ({version}); remove it or choose another folder"
        )
    if root.exists() and (not root.is_dir() or any(root.iterdir())):
        raise InputError(
            f"{root}: holds something other than this {kind} scene; "
            "remove it or choose another folder"
        )
    with files.explaining(root), files.folder_in_the_making(root) as making:
        _write(making, hold, camera, shoot())
        files.write_json(making / _SETTINGS, wanted)
        _publish(making, root, wanted)


def _publish(making: Path, root: Path, wanted: files.JSON) -> None:
    try:
        making.replace(root)
    except OSError:
        if _present_settings(root) != wanted:  # else another process was first
            raise


def read_truth(root: Path, size: tuple[int, int] | None = None) -> Truth | None:
    """The ground truth in a made scene's folder, or None for a folder without any.

    Photos and extents are shrunk to ``size``, width and height, as the scene readers do; extents
    are then in pixels of the smaller photos. Raises InputError for damaged files.
    """
    truth = root / _SETTINGS.parent
    if not (root / _SETTINGS).is_file():
        return None
    paths = sorted((truth / "sharp").glob("*.png"))
    sharp, extent = {}, {}
    for path, photo in zip(paths, read_photos(paths), strict=True):
        width, height = size or (photo.shape[1], photo.shape[0])
        sharp[path.name] = resize_photo(photo, width, height)
        full = np.repeat(_load(truth / "extent" / f"{path.stem}.npy", 2)[..., None], 3, axis=-1)
        shrunk = np.float32(photo.shape[1] / width)
        extent[path.stem] = resize_photo(full, width, height)[..., 0] / shrunk
    return Truth(sharp, extent, _load(truth / "paths.npy", 4))


def _present_settings(root: Path) -> dict[str, object]:
    try:
        present = json.loads((root / _SETTINGS).read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    if not isinstance(present, dict):
        return {}
    # Scenes of before versions were counted.
    return {"generator": 0, **present}


def _load(path: Path, dimensions: int) -> np.ndarray:
    try:
        array = np.load(path, allow_pickle=False)
        if not isinstance(array, np.ndarray) or array.ndim != dimensions:
            raise ValueError(f"not an array of {dimensions} dimensions")
    except (OSError, *LOAD_ERRORS) as error:
        reason = " ".join(str(error).split())
        raise InputError(
            f"{path}: damaged ({reason}); remove the whole scene and make it again"
        ) from None
    return array


def _write(root: Path, hold: int, camera: Camera, shots: Sequence[Shot]) -> None:
    names = [f"{view:03d}.png" for view in range(len(shots))]
    write_llff(
        root,
        [shot.photo for shot in shots],
        names,
        np.stack([shot.given_pose for shot in shots]),
        camera,
        np.array([shot.depth.min() for shot in shots], float),
        np.array([shot.depth.max() for shot in shots], float),
        hold,
        folder="images",
    )
    for name, shot in zip(names, shots, strict=True):
        png = BytesIO()
        Image.fromarray(shot.sharp).save(png, format="png")
        files.write_bytes(root / "truth" / "sharp" / name, png.getvalue())
        extent = (root / "truth" / "extent" / name).with_suffix(".npy")
        files.write_bytes(extent, _npy(shot.extent))
    files.write_bytes(root / "truth" / "paths.npy", _npy(np.stack([s.path for s in shots])))


def _npy(array: np.ndarray) -> bytes:
    data = BytesIO()
    np.save(data, array)
    return data.getvalue()
