from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image

from sharpfield.scene.photo_tags import NO_TAGS, read_tags

TAKEN = "2026:11:30 10:00:00"


def exif() -> Image.Exif:
    """What a camera writes: which way is up, when, where, how many pixels."""
    tags = Image.Exif()
    tags[ExifTags.Base.Orientation] = 6
    tags[ExifTags.Base.ImageWidth] = 40
    tags.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.DateTimeOriginal] = TAKEN
    tags.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.ExifImageWidth] = 40
    tags.get_ifd(ExifTags.IFD.GPSInfo)[ExifTags.GPS.GPSLatitudeRef] = "N"
    return tags


def image(mode: str = "RGB") -> Image.Image:
    return Image.fromarray(np.zeros((30, 40, 3), dtype=np.uint8)).convert(mode)


@pytest.mark.parametrize("suffix", [".png", ".jpeg"])
def test_all_is_kept_but_the_numbers_of_pixels(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"photo{suffix}"
    image().save(path, exif=exif(), icc_profile=b"a profile")
    tags = read_tags(path)
    assert tags.icc_profile == b"a profile"
    kept = Image.Exif()
    kept.load(tags.exif)
    assert kept.get_ifd(ExifTags.IFD.Exif) == {ExifTags.Base.DateTimeOriginal: TAKEN}
    assert kept.get_ifd(ExifTags.IFD.GPSInfo) == {ExifTags.GPS.GPSLatitudeRef: "N"}
    assert set(kept) == {ExifTags.Base.Orientation, ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo}
    assert kept[ExifTags.Base.Orientation] == 6


def test_what_cannot_be_read_counts_as_none(tmp_path: Path) -> None:
    plain, damaged = tmp_path / "plain.png", tmp_path / "damaged.jpg"
    image().save(plain)
    image().save(damaged, exif=b"Exif\0\0nonsense")
    assert read_tags(plain) == read_tags(damaged) == read_tags(tmp_path / "missing") == NO_TAGS


def test_more_exif_than_a_jpeg_can_hold_counts_as_none(tmp_path: Path) -> None:
    tags = exif()
    tags[ExifTags.Base.ImageDescription] = "long " * 20_000
    image().save(tmp_path / "photo.png", exif=tags)
    assert read_tags(tmp_path / "photo.png") == NO_TAGS


@pytest.mark.parametrize("mode", ["L", "CMYK"])
def test_a_profile_of_other_colours_than_rgb_is_dropped(tmp_path: Path, mode: str) -> None:
    image(mode).save(tmp_path / "photo.jpg", icc_profile=b"a profile")
    assert read_tags(tmp_path / "photo.jpg") == NO_TAGS
