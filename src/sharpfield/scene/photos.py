"""Photos on disk: listing, reading, shrinking, and the cache of shrunken folders."""

from __future__ import annotations

import hashlib
import os
import shutil
import struct
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

import numpy as np
from jaxtyping import Float
from PIL import Image

from sharpfield import files
from sharpfield.errors import InputError

PHOTO_SUFFIXES = (".jpg", ".jpeg", ".png")
SMALLEST_SIDE = 8
"""Photos with a side shorter than this many pixels are refused."""

# What Pillow's decoders raise on damaged bytes, by experience and by its fuzz tests.
_DECODE_ERRORS = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    IndexError,
    TypeError,
    struct.error,
    zlib.error,
    Image.DecompressionBombError,
)


def folder_entries(folder: Path) -> tuple[Path, ...]:
    """What lies in ``folder``, in lexicographic order, without hidden names.

    Raises InputError when the folder does not exist, is a file, or cannot be read.
    """
    try:
        with os.scandir(folder) as entries:
            names = sorted(entry.name for entry in entries if not entry.name.startswith("."))
    except FileNotFoundError:
        raise InputError(f"{folder}: no such folder; check the path") from None
    except NotADirectoryError:
        raise InputError(f"{folder} is a file, not a folder; give the scene's folder") from None
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise InputError(
            f"{folder}: cannot read this folder ({reason}); make it readable and try again"
        ) from None
    return tuple(folder / name for name in names)


def list_photos(folder: Path) -> tuple[Path, ...]:
    """The photos (jpg, jpeg, png in any case) of ``folder`` in lexicographic order of their names.

    Raises InputError for an unreadable folder, for a name that is not UTF-8, and for two
    photos that differ only in suffix, as results are named by the stem. A folder without photos
    gives an empty tuple.
    """
    photos = tuple(p for p in folder_entries(folder) if p.suffix.lower() in PHOTO_SUFFIXES)
    for photo in photos:
        try:
            photo.name.encode()
        except UnicodeEncodeError:
            raise InputError(f"{folder}: the name {photo.name!a} is not UTF-8; rename it") from None
    by_stem: dict[str, Path] = {}
    for photo in photos:
        twin = by_stem.setdefault(photo.stem, photo)
        if twin is not photo:
            raise InputError(
                f"{folder}: {twin.name} and {photo.name} differ only in suffix; rename one of them"
            )
    return photos


def read_photo(path: Path) -> Float[np.ndarray, "height width 3"]:
    """One photo as float32 display colours in [0, 1], as it is stored.

    Its EXIF orientation is left alone: COLMAP leaves it alone as well, and the poses belong to the
    stored pixels. Transparency is dropped, grey is repeated. Raises InputError for a file that is
    missing, unreadable, truncated or no photo at all.
    """
    return np.asarray(_decode(path)).astype(np.float32) / np.float32(255)


def read_photos(
    paths: Sequence[Path], downscale: int = 1
) -> tuple[Float[np.ndarray, "height width 3"], ...]:
    """Photos of one common size, each shrunk by ``downscale`` right after it was read.

    Raises InputError as `read_photo` does, for photos of different sizes, for a ``downscale``
    below 1 and for one that leaves less than `SMALLEST_SIDE` pixels on a side.
    """
    if downscale < 1:
        raise InputError(f"downscale {downscale}: give a whole number of at least 1")
    photos: list[Float[np.ndarray, "height width 3"]] = []
    first = (0, 0)
    for path in paths:
        photo = read_photo(path)
        height, width = photo.shape[:2]
        first = first if photos else (width, height)
        if (width, height) != first:
            raise InputError(
                f"{path.parent}: {paths[0].name} is {first[0]}x{first[1]} but {path.name} is "
                f"{width}x{height}; all photos of a scene need one size"
            )
        size = _shrunken_size(path, width, height, downscale)
        photos.append(resize_photo(photo, *size))
    return tuple(photos)


def resize_photo(
    photo: Float[np.ndarray, "height width 3"], width: int, height: int
) -> Float[np.ndarray, "new_height new_width 3"]:
    """``photo`` shrunk to ``width`` x ``height`` by a box filter over its values, float32.

    The mean over blocks where the sizes divide; otherwise each new pixel is the mean of the old
    pixels whose centres it covers.
    """
    if (photo.shape[1], photo.shape[0]) == (width, height):
        return photo
    channels = np.moveaxis(photo.astype(np.float32), -1, 0)
    return _box_filtered([Image.fromarray(channel) for channel in channels], (width, height))


def cache_folder() -> Path:
    """Where sharpfield may keep files that it can make again.

    ``$SHARPFIELD_CACHE``, else ``$XDG_CACHE_HOME/sharpfield``, else ``~/.cache/sharpfield``.
    """
    if own := os.environ.get("SHARPFIELD_CACHE"):
        return Path(own).expanduser()
    if shared := os.environ.get("XDG_CACHE_HOME"):
        return Path(shared).expanduser() / "sharpfield"
    return Path.home() / ".cache" / "sharpfield"


def shrunken_photos(photos: Sequence[Path], factor: int) -> tuple[Path, ...]:
    """PNG copies of ``photos``, shrunk by ``factor``, from the cache; made first where missing.

    The result has the order of ``photos``. An entry belongs to the photos' absolute paths, sizes
    and modification times and to the factor; it appears under its name only when complete.
    Raises InputError for unreadable photos, a factor that leaves nothing, and a cache that cannot
    be written.
    """
    entry = cache_folder() / "photos" / _cache_key(photos, factor)
    cached = tuple(entry / f"{photo.stem}.png" for photo in photos)
    if not all(os.path.isfile(path) for path in cached):
        with _cache_errors(entry.parent), files.folder_in_the_making(entry) as making:
            _write_shrunken(photos, factor, making)
            _publish(making, entry, cached)
    return cached


def _decode(path: Path) -> Image.Image:
    """The whole photo as stored, in mode RGB; errors as `read_photo`."""
    try:
        with Image.open(path) as stored:
            return _rgb(stored)
    except FileNotFoundError:
        raise InputError(f"{path}: no such photo; check the path") from None
    except PermissionError:
        raise InputError(f"{path}: permission denied; make this photo readable") from None
    except _DECODE_ERRORS as error:
        reason = " ".join(str(error).replace(str(path), "the file").split())
        raise InputError(
            f"{path}: this photo is damaged or unreadable ({reason}); copy it again or remove it"
        ) from None


def _rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):
        # Pillow clips 16-bit grey instead of scaling it.
        grey = np.asarray(image, dtype=np.float64) / 257
        image = Image.fromarray(np.clip(np.rint(grey), 0, 255).astype(np.uint8))
    if image.mode == "P":
        # Straight to RGB, Pillow warns about palettes with transparency.
        image = image.convert("RGBA")
    return image.convert("RGB")


def _box_filtered(channels: Sequence[Image.Image], size: tuple[int, int]) -> np.ndarray:
    """float32 (height, width, channels); in floats, as Pillow rounds bytes after each axis."""
    shrunken = [channel.convert("F").resize(size, Image.Resampling.BOX) for channel in channels]
    return np.stack([np.asarray(channel) for channel in shrunken], axis=-1)


def _shrunken_size(photo: Path, width: int, height: int, factor: int) -> tuple[int, int]:
    new_width, new_height = round(width / factor), round(height / factor)
    if min(new_width, new_height) < SMALLEST_SIDE:
        raise InputError(
            f"{photo}: {width}x{height} shrunk by {factor} leaves {new_width}x{new_height} pixels; "
            f"at least {SMALLEST_SIDE} on a side are needed, choose a smaller downscale or factor"
        )
    return new_width, new_height


def _cache_key(photos: Sequence[Path], factor: int) -> str:
    digest = hashlib.sha256(f"as stored, box {factor}".encode())
    for photo in photos:
        try:
            status = photo.stat()
        except OSError as error:
            raise InputError(
                f"{photo}: cannot read this photo ({error.strerror}); restore or remove it"
            ) from None
        name = os.path.abspath(photo)
        digest.update(f"\0{name}\0{status.st_size}\0{status.st_mtime_ns}".encode())
    return digest.hexdigest()[:32]


@contextmanager
def _cache_errors(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise InputError(
            f"{folder}: cannot write shrunken photos here ({error.strerror or error}); "
            "free space or set SHARPFIELD_CACHE to a writable folder"
        ) from None


def _write_shrunken(photos: Sequence[Path], factor: int, folder: Path) -> None:
    for path in photos:
        photo = _decode(path)
        size = _shrunken_size(path, *photo.size, factor)
        small = np.rint(_box_filtered(photo.split(), size)).astype(np.uint8)
        png = BytesIO()
        Image.fromarray(small).save(png, format="png")
        files.write_bytes(folder / f"{path.stem}.png", png.getvalue())


def _publish(making: Path, entry: Path, cached: Sequence[Path]) -> None:
    try:
        making.rename(entry)
    except OSError:
        # Another process may have made the same entry meanwhile; its copy is as good.
        if all(path.is_file() for path in cached):
            return
        # An entry from which someone removed files is replaced.
        shutil.rmtree(entry)
        making.rename(entry)
