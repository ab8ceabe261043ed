"""What a photo file says beside its pixels: which way is up, when it was taken, whose colours."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from PIL import ExifTags, Image

_SIZE_TAGS = (
    ExifTags.Base.ImageWidth,
    ExifTags.Base.ImageLength,
    ExifTags.Base.ExifImageWidth,
    ExifTags.Base.ExifImageHeight,
)


MOST_EXIF = 65533
"""Bytes of EXIF that a JPEG can hold in one piece, as Pillow writes it."""


@dataclass(frozen=True)
class PhotoTags:
    """EXIF and ICC profile as Pillow saves them; empty where the photo has none.

    Of the EXIF, the preview picture and the numbers of pixels are left out: they belong to the
    blurry photo. The profile is that of RGB pixels.
    """

    exif: bytes = b""
    icc_profile: bytes = b""


NO_TAGS = PhotoTags()


def read_tags(path: Path) -> PhotoTags:
    """The tags of a photo. Those of no use, or not to be read or written, count as none."""
    try:
        with Image.open(path) as photo:
            profile = photo.info.get("icc_profile") if photo.mode in ("RGB", "RGBA") else None
            return PhotoTags(_exif(photo), profile or b"")
    except Exception:  # Pillow raises whatever its parsers meet
        return NO_TAGS


def _exif(photo: Image.Image) -> bytes:
    exif = photo.getexif()
    for tags in (exif, exif.get_ifd(ExifTags.IFD.Exif)):
        for tag in _SIZE_TAGS:
            tags.pop(tag, None)
    content = exif.tobytes() if exif else b""
    return content if len(content) <= MOST_EXIF else b""
