"""Scenes in LLFF folders: ``images/``, ``images_<factor>/``, ``poses_bounds.npy``, ``hold=<n>``.

A row of ``poses_bounds.npy`` is a 3x5 matrix (camera-to-world with columns down, right, back, t;
then height, width, focal length of the full-size photo in pixels) and the near and far depth of
one photo. Rows follow the lexicographic order of the photos. Source: Mildenhall et al., Local
Light Field Fusion (2019); the marker file is Deblur-NeRF's (Ma et al., 2022).
"""

from __future__ import annotations

import hashlib
import re
import tokenize
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

from sharpfield import files
from sharpfield.errors import InputError
from sharpfield.geometry.poses import MovedPoses, llff_to_opengl, opengl_to_llff, recentre
from sharpfield.geometry.spherical import spherify as to_unit_sphere
from sharpfield.scene.photo_tags import read_tags
from sharpfield.scene.photos import folder_entries, list_photos, read_photos, shrunken_photos
from sharpfield.scene.scene import Camera, Scene, View

POSES_FILE = "poses_bounds.npy"
_WRITER = "LLFF's imgs2poses.py (github.com/Fyusion/LLFF), which calls COLMAP"
_NEAREST_DEPTH = 0.75
"""The scene is scaled so that this fraction of the nearest bound has depth 1."""
_COLUMNS = 17
_SAME_CAMERA = 1e-3
"""Sizes and focal lengths may differ by this share."""

LOAD_ERRORS = (
    ValueError,
    EOFError,
    SyntaxError,
    TypeError,
    OverflowError,
    MemoryError,
    tokenize.TokenError,
)
"""What NumPy raises on a damaged header or on one that claims more data than there is."""


@dataclass(frozen=True)
class _Rows:
    """The checked content of ``poses_bounds.npy``, OpenGL poses, units of the file; its digest."""

    poses: Float[np.ndarray, "views 3 4"]
    cameras: tuple[Camera, ...]
    bounds: Float[np.ndarray, "views 2"]
    digest: str


@dataclass(frozen=True)
class _Photos:
    """The files that give the views their names, and what they must still be shrunk by."""

    paths: tuple[Path, ...]
    shrink: int


def read_llff(
    root: Path,
    factor: int | None = None,
    downscale: int = 1,
    hold: int | None = None,
    spherify: bool = False,
) -> Scene:
    """Read an LLFF folder: recentred, scaled so that the nearest bound lies at depth 4/3.

    ``factor`` picks ``images_<factor>``; where that folder is missing it is made from ``images``
    in the cache. None picks the existing folder of the largest factor, else ``images``.
    ``downscale`` shrinks the photos further, in memory. Every ``hold``-th view from 0 is held out;
    None takes the ``hold=<n>`` marker file, and without one holds out none. Views are named by the
    photo files, those of ``images`` where the photos come from the cache. ``spherify`` is for
    cameras that look inwards: it brings them to the unit sphere instead (see
    `geometry.spherical.spherify`).
    Raises InputError for anything in the folder that cannot be used.
    """
    root = Path(root)
    for option, value in (("factor", factor), ("hold", hold)):
        if value is not None and value < 1:
            raise InputError(f"{option} {value}: give a whole number of at least 1")
    entries = folder_entries(root)
    source = _find_photos(root, entries, factor)
    rows = _read_rows(root / POSES_FILE, source.paths)
    held_out = _held_out(root, entries, hold, len(source.paths))
    placed = _place(rows, root, spherify)
    if source.shrink > 1:
        photos = read_photos(shrunken_photos(source.paths, source.shrink), downscale)
    else:
        photos = read_photos(source.paths, downscale)

    views = tuple(
        View(
            name=path.name,
            photo=photo,
            camera=_camera_of(photo, camera, path, root / POSES_FILE),
            pose=pose.astype(np.float32),
            held_out=held,
            tags=read_tags(path),
        )
        for path, photo, camera, pose, held in zip(
            source.paths, photos, rows.cameras, placed.poses, held_out, strict=True
        )
    )
    return Scene(
        name=root.resolve().name,
        root=root,
        views=views,
        near=float(rows.bounds.min() * placed.scale),
        far=float(rows.bounds.max() * placed.scale),
        from_input=placed.transform,
        poses_digest=rows.digest,
    )


def write_llff(
    root: Path,
    photos: Sequence[UInt8[np.ndarray, "height width 3"]],
    names: Sequence[str],
    poses: Float[np.ndarray, "views 3 4"],
    camera: Camera,
    near: Float[np.ndarray, " views"],
    far: Float[np.ndarray, " views"],
    hold: int,
    folder: str = "images_1",
) -> None:
    """Write a scene that `read_llff` reads back, up to the similarity ``Scene.from_input``.

    ``names`` are file names ending in ``.png``, in lexicographic order; ``poses`` are OpenGL
    camera-to-world; ``camera`` is that of the photos as given; ``near`` and ``far`` are depths per
    view in the units of the poses.
    The poses file is written last: an interrupted writer leaves no scene that reads as whole.
    Raises ValueError for what the format cannot hold, InputError where ``root`` holds other
    photos or another hold marker already, or cannot be written.
    """
    _check_writable(photos, names, camera)
    photo_folder = root / folder
    if foreign := _foreign(root, photo_folder, names, hold):
        raise InputError(f"{foreign[0]} belongs to another scene; choose an empty folder")
    (root / POSES_FILE).unlink(missing_ok=True)
    for name, photo in zip(names, photos, strict=True):
        png = BytesIO()
        Image.fromarray(photo).save(png, format="png")
        files.write_bytes(photo_folder / name, png.getvalue())
    files.write_bytes(root / f"hold={hold}", b"")
    intrinsics = np.array([camera.height, camera.width, camera.focal_x], dtype=np.float64)
    column = np.broadcast_to(intrinsics[:, None], (len(poses), 3, 1))
    matrices = np.concatenate([opengl_to_llff(poses), column], axis=-1).reshape(len(poses), 15)
    table = BytesIO()
    np.save(table, np.concatenate([matrices, near[:, None], far[:, None]], axis=-1))
    files.write_bytes(root / POSES_FILE, table.getvalue())


def _find_photos(root: Path, entries: tuple[Path, ...], factor: int | None) -> _Photos:
    """The photos to use. Raises InputError where there are none, or no poses beside them."""
    shrunken = {
        int(match[1]): path
        for path in entries
        if (match := re.fullmatch(r"images_([1-9]\d*)", path.name)) and path.is_dir()
    }
    full = root / "images"
    has_full = full in entries and full.is_dir()
    if factor is None and shrunken:
        factor = max(shrunken)
    if factor in shrunken:
        folder, shrink = shrunken[factor], 1
    elif has_full:
        folder, shrink = full, factor or 1
    elif shrunken:
        available = ", ".join(path.name for _, path in sorted(shrunken.items()))
        raise InputError(
            f"{root}: no images_{factor} and no images to make it from; "
            f"choose the factor of an existing folder ({available})"
        )
    else:
        folder, shrink = root, 1
    photos = list_photos(folder)
    if not photos:
        raise InputError(
            f"{folder}: no photos (jpg, jpeg, png) here; put photos there or choose another folder"
        )
    if root / POSES_FILE not in entries:
        parent = root.absolute().parent
        if (parent / POSES_FILE).is_file():
            raise InputError(f"{root}: only the photos of a scene; give its folder, {parent}")
        raise InputError(
            f"{root}: photos without camera poses (no {POSES_FILE}); make them with {_WRITER}"
        )
    if folder == root:
        raise InputError(f"{root}: photos beside {POSES_FILE}; move them into {full}")
    return _Photos(photos, shrink)


def _read_rows(path: Path, photos: tuple[Path, ...]) -> _Rows:
    """The rows for ``photos``. Raises InputError for anything but one sane row per photo."""
    table = _load_table(path)
    if table.ndim != 2 or table.shape[1] != _COLUMNS:
        raise InputError(
            f"{path}: shape {table.shape} where (photos, {_COLUMNS}) is needed; make it again "
            f"with {_WRITER}"
        )
    if len(table) != len(photos):
        raise InputError(
            f"{path}: {len(table)} rows but {len(photos)} photos in {photos[0].parent}; "
            "remove exactly the photos that COLMAP did not place (others would shift the poses of "
            "those after them), or make the poses again"
        )
    matrices = table[:, :15].reshape(-1, 3, 5)
    for index, (photo, row, matrix) in enumerate(zip(photos, table, matrices, strict=True)):
        if defect := _defect(row, matrix):
            raise InputError(
                f"{path}: row {index} (photo {photo.name}) has {defect}; make the poses again or "
                "remove this row and its photo"
            )
    hwf = matrices[:, :, 4]
    if (other := np.abs(hwf / hwf[0] - 1.0).max(1) > _SAME_CAMERA).any():
        index = int(other.argmax())
        (height, width, focal), own = hwf[0], hwf[index]
        raise InputError(
            f"{path}: photo {photos[index].name} has a camera of {own[1]:g}x{own[0]:g}, focal "
            f"length {own[2]:g}, the first one {width:g}x{height:g} and {focal:g}; all photos need "
            "one size and one zoom, make the poses with a single camera"
        )
    cameras = tuple(
        Camera(round(width), round(height), focal, focal, round(width) / 2, round(height) / 2)
        for height, width, focal in matrices[:, :, 4].tolist()
    )
    digest = hashlib.sha256(table.tobytes()).hexdigest()[:16]
    return _Rows(llff_to_opengl(matrices[:, :, :4]), cameras, table[:, 15:], digest)


def _place(rows: _Rows, root: Path, inwards: bool) -> MovedPoses:
    """The poses in scene units. Raises InputError for ``inwards`` where cameras do not do that."""
    scale = 1 / float(rows.bounds.min() * _NEAREST_DEPTH)
    scaled = rows.poses.copy()
    scaled[:, :, 3] *= scale
    placed = recentre(scaled)
    transform = placed.transform @ np.diag([scale, scale, scale, 1.0])
    if inwards:
        try:
            placed = to_unit_sphere(placed.poses)
        except ValueError as error:
            raise InputError(
                f"{root / POSES_FILE}: spherify needs cameras that look at one point, but {error}; "
                "turn spherify off"
            ) from None
        transform = placed.transform @ transform
    return MovedPoses(placed.poses, transform, scale * placed.scale)


def _load_table(path: Path) -> np.ndarray:
    """The float64 array of an ``.npy`` file; nothing in the file is ever executed."""
    again = f"make it again with {_WRITER}"
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(
            f"{path}: cannot read this file ({error.strerror}); make it readable"
        ) from None
    if not content.startswith(b"\x93NUMPY"):
        raise InputError(f"{path}: not a NumPy .npy file (first bytes {content[:6]!r}); {again}")
    try:
        table = np.load(BytesIO(content), allow_pickle=False)
    except LOAD_ERRORS as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"{path}: damaged or pickled ({reason}); {again}") from None
    if table.dtype.kind not in "fiu":
        raise InputError(f"{path}: holds {table.dtype} where real numbers are needed; {again}")
    numbers: np.ndarray = table.astype(np.float64)
    return numbers


def _defect(row: Float[np.ndarray, " 17"], matrix: Float[np.ndarray, "3 5"]) -> str | None:
    """What is wrong with one row, in words; None for a sane row."""
    if not np.isfinite(row).all():
        return f"the value {row[~np.isfinite(row)][0]} in column {np.argmin(np.isfinite(row))}"
    height, width, focal = matrix[:, 4]
    near, far = row[15:]
    rotation = matrix[:, :3]
    if min(height, width) < 1 or focal <= 0:
        return f"height {height:g}, width {width:g}, focal length {focal:g}, not all positive"
    if near <= 0:
        return f"near bound {near:g}, which must be above 0"
    if near >= far:
        return f"near bound {near:g} not below far bound {far:g}"
    if np.abs(rotation.T @ rotation - np.eye(3)).max() > 0.01 or np.linalg.det(rotation) < 0:
        return "a pose whose first three columns are no rotation"
    return None


def _camera_of(
    photo: Float[np.ndarray, "height width 3"], full: Camera, path: Path, poses: Path
) -> Camera:
    """The camera of ``photo``. Raises InputError where its shape does not fit the poses file."""
    height, width = photo.shape[:2]
    if abs(full.height * width / full.width - height) > max(1.5, 0.02 * height):
        raise InputError(
            f"{poses}: made for {full.width}x{full.height} photos, but {path} has the "
            f"proportions {width}x{height}; rotate or crop the photos as they were for the poses"
        )
    return full.scaled(width, height)


def _hold_markers(entries: tuple[Path, ...]) -> list[Path]:
    return [path for path in entries if path.name.startswith("hold=")]


def _held_out(root: Path, entries: tuple[Path, ...], hold: int | None, count: int) -> list[bool]:
    """Which views are held out; none where nothing says so.

    Raises InputError for a bad marker and for no view to train on.
    """
    origin = f"hold {hold}"
    markers = _hold_markers(entries)
    if hold is None and len(markers) > 1:
        raise InputError(
            f"{root}: two markers, {markers[0].name} and {markers[1].name}; remove one of them"
        )
    if hold is None and markers:
        origin = str(markers[0])
        value = markers[0].name.removeprefix("hold=")
        hold = int(value) if re.fullmatch(r"\d+", value, flags=re.ASCII) else 0
        if hold < 1:
            raise InputError(f"{origin}: rename it to hold=<n> with a whole number n of at least 1")
    elif hold is None:
        return [False] * count
    held_out = [index % hold == 0 for index in range(count)]
    if all(held_out):
        raise InputError(
            f"{origin}: holds out all {count} photos and leaves none to train on; "
            "add photos or hold out fewer"
        )
    return held_out


def _foreign(root: Path, photo_folder: Path, names: Sequence[str], hold: int) -> list[Path]:
    """What lies in ``root`` that would mislead a reader of the scene about to be written."""
    entries = folder_entries(root) if root.exists() else ()
    found = [path for path in _hold_markers(entries) if path.name != f"hold={hold}"]
    found += [p for p in entries if p.name.startswith("images") and p != photo_folder]
    if photo_folder in entries:
        found += [path for path in list_photos(photo_folder) if path.name not in names]
    return found


def _check_writable(
    photos: Sequence[UInt8[np.ndarray, "height width 3"]], names: Sequence[str], camera: Camera
) -> None:
    """Raises ValueError for a scene that the LLFF format cannot hold."""
    if any(photo.shape[:2] != (camera.height, camera.width) for photo in photos):
        raise ValueError("every photo must have the camera's size")
    if not all(name.endswith(".png") for name in names) or list(names) != sorted(set(names)):
        raise ValueError(
            "names must end in .png, be unique and in lexicographic order, as rows are"
        )
    centre = (camera.width / 2, camera.height / 2)
    if camera.focal_x != camera.focal_y or (camera.centre_x, camera.centre_y) != centre:
        raise ValueError("LLFF holds square pixels and a central principal point only")
