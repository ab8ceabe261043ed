"""Images as 8-bit arrays and as files in the photo's own format."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

from sharpfield.files import write_bytes
from sharpfield.scene.photo_tags import NO_TAGS, PhotoTags

_SAVE_OPTIONS: dict[str, dict[str, int]] = {
    "JPEG": {"quality": 95, "subsampling": 0},
    "WEBP": {"quality": 95},
}


def to_8bit(colour: Float[np.ndarray, "*shape"]) -> UInt8[np.ndarray, "*shape"]:
    """Display colours or grey in [0, 1], clipped, rounded to 8 bits; NaN becomes black."""
    return np.round(np.clip(np.nan_to_num(colour, nan=0.0), 0.0, 1.0) * 255.0).astype(np.uint8)


def from_8bit(image: UInt8[np.ndarray, "height width 3"]) -> Float[np.ndarray, "height width 3"]:
    """The display colours in [0, 1], float32, that an 8-bit image stands for."""
    return image.astype(np.float32) / np.float32(255.0)


def encode_image(
    image: UInt8[np.ndarray, "*shape"], suffix: str, tags: PhotoTags = NO_TAGS
) -> bytes:
    """An 8-bit grey or RGB image as the content of a file that ends with ``suffix``."""
    kind = Image.registered_extensions()[suffix.lower()]
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, format=kind, **_SAVE_OPTIONS.get(kind, {}), **vars(tags))
    return buffer.getvalue()


def write_image(path: Path, image: UInt8[np.ndarray, "*shape"], tags: PhotoTags = NO_TAGS) -> None:
    """Write an 8-bit grey or RGB image to ``path``, atomically; the suffix chooses the format.

    Raises ``InputError`` when the disk is full or the folder cannot be written.
    """
    write_bytes(path, encode_image(image, path.suffix, tags))


def image_file_name(photo_name: str) -> str:
    """The file name for an image that takes the place of a photo.

    The photo's own name, without folders; ``.png`` is appended when Pillow cannot write its format.
    """
    name = Path(photo_name).name
    suffix = Path(name).suffix.lower()
    extensions = Image.registered_extensions()
    return name if extensions.get(suffix) in Image.SAVE else f"{name}.png"
