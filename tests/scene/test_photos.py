from __future__ import annotations

import os
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sharpfield import files
from sharpfield.errors import InputError
from sharpfield.scene.photos import (
    cache_folder,
    list_photos,
    read_photo,
    read_photos,
    resize_photo,
    shrunken_photos,
)


def noise(height: int = 24, width: int = 32, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def save(path: Path, pixels: np.ndarray) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return path


def fail(call: object, *arguments: object) -> str:
    with pytest.raises(InputError) as caught:
        call(*arguments)  # type: ignore[operator]
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "cache"
    monkeypatch.setenv("SHARPFIELD_CACHE", str(folder))
    return folder


def test_lists_photos_of_every_suffix_in_name_order(tmp_path: Path) -> None:
    names = ["09.JPG", "10.jpg", "a.jpeg", "b.JPEG", "c.png", "d.PNG"]
    for name in [*reversed(names), "notes.txt", "._c.png", ".hidden.jpg"]:
        (tmp_path / name).touch()
    assert [photo.name for photo in list_photos(tmp_path)] == names


def test_photos_that_differ_only_in_suffix_are_refused(tmp_path: Path) -> None:
    for name in ("a.jpg", "a.png"):
        (tmp_path / name).touch()
    message = fail(list_photos, tmp_path)
    assert "a.jpg" in message and "a.png" in message


def test_a_name_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    (tmp_path / os.fsdecode(b"caf\xe9.png")).touch()
    message = fail(list_photos, tmp_path)
    assert "rename it" in message
    message.encode()


def test_missing_folder_and_file_instead_of_folder(tmp_path: Path) -> None:
    assert "no such folder" in fail(list_photos, tmp_path / "nothing")
    assert "not a folder" in fail(list_photos, save(tmp_path / "a.png", noise()))


def test_unreadable_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(folder: object) -> None:
        raise PermissionError(13, "Permission denied", str(folder))

    monkeypatch.setattr(os, "scandir", refuse)
    message = fail(list_photos, tmp_path)
    assert str(tmp_path) in message and "Permission denied" in message


def test_png_is_read_exactly(tmp_path: Path) -> None:
    pixels = noise()
    photo = read_photo(save(tmp_path / "a.png", pixels))
    assert photo.dtype == np.float32
    np.testing.assert_array_equal(photo, pixels.astype(np.float32) / np.float32(255))


def test_alpha_is_dropped_grey_is_repeated_16_bits_are_scaled(tmp_path: Path) -> None:
    pixels = noise()
    alpha = np.concatenate([pixels, np.zeros_like(pixels[..., :1])], axis=-1)
    np.testing.assert_array_equal(
        read_photo(save(tmp_path / "alpha.png", alpha)), pixels.astype(np.float32) / 255
    )
    grey = np.repeat(pixels[..., :1], 3, axis=-1).astype(np.float32) / 255
    np.testing.assert_array_equal(read_photo(save(tmp_path / "grey.png", pixels[..., 0])), grey)
    deep = pixels[..., 0].astype(np.uint16) * 257
    np.testing.assert_array_equal(read_photo(save(tmp_path / "deep.png", deep)), grey)


@pytest.mark.parametrize("orientation", [3, 6])
def test_photos_are_read_as_stored_because_colmap_does(tmp_path: Path, orientation: int) -> None:
    pixels = noise()
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(pixels).save(tmp_path / "a.png", exif=exif)
    np.testing.assert_array_equal(
        read_photo(tmp_path / "a.png"), pixels.astype(np.float32) / np.float32(255)
    )


@pytest.mark.parametrize("suffix", ["jpg", "png"])
@pytest.mark.parametrize("kept", [0.0, 0.02, 0.6])
def test_damaged_photo_is_named(tmp_path: Path, suffix: str, kept: float) -> None:
    path = save(tmp_path / f"a.{suffix}", noise(200, 300))
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * kept)])
    message = fail(read_photo, path)
    assert message.startswith(f"{path}: this photo is damaged") and "copy it again" in message


def test_text_with_a_photo_suffix_and_missing_photo(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_text("hello")
    assert "damaged" in fail(read_photo, tmp_path / "a.png")
    assert "no such photo" in fail(read_photo, tmp_path / "b.png")


def test_flipped_byte_in_png_is_found(tmp_path: Path) -> None:
    path = save(tmp_path / "a.png", noise())
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(bytes(content))
    assert str(path) in fail(read_photo, path)


def test_different_sizes_name_both_photos(tmp_path: Path) -> None:
    paths = [save(tmp_path / "a.png", noise(24, 32)), save(tmp_path / "b.png", noise(32, 24))]
    message = fail(read_photos, paths)
    assert all(part in message for part in ("a.png", "32x24", "b.png", "24x32"))


def test_downscale_is_the_block_mean(tmp_path: Path) -> None:
    pixels = noise()
    (photo,) = read_photos([save(tmp_path / "a.png", pixels)], downscale=2)
    expected = pixels.reshape(12, 2, 16, 2, 3).mean(axis=(1, 3)) / 255
    assert photo.dtype == np.float32
    np.testing.assert_allclose(photo, expected, atol=1e-6)


def test_uneven_sizes_keep_a_constant_and_the_centre() -> None:
    flat = np.full((25, 37, 3), 0.3, dtype=np.float32)
    np.testing.assert_allclose(resize_photo(flat, 9, 6), 0.3, atol=1e-6)
    ramp = np.broadcast_to(np.linspace(0, 1, 37, dtype=np.float32)[None, :, None], (25, 37, 3))
    assert abs(resize_photo(ramp, 9, 6).mean() - 0.5) < 1e-3


@pytest.mark.parametrize("downscale", [4, 1000])
def test_downscale_that_leaves_nothing(tmp_path: Path, downscale: int) -> None:
    message = fail(read_photos, [save(tmp_path / "a.png", noise())], downscale)
    assert f"by {downscale}" in message and "32x24" in message


@pytest.mark.parametrize("downscale", [0, -2])
def test_downscale_below_one(tmp_path: Path, downscale: int) -> None:
    message = fail(read_photos, [save(tmp_path / "a.png", noise())], downscale)
    assert f"downscale {downscale}" in message


def test_cache_folder_follows_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/someone")
    monkeypatch.setenv("XDG_CACHE_HOME", "/xdg")
    monkeypatch.setenv("SHARPFIELD_CACHE", "/own")
    assert cache_folder() == Path("/own")
    monkeypatch.delenv("SHARPFIELD_CACHE")
    assert cache_folder() == Path("/xdg/sharpfield")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder() == Path("/home/someone/.cache/sharpfield")


def test_shrunken_photos_keep_order_and_values(tmp_path: Path, cache: Path) -> None:
    # Among PNG names "a.k" would come before "a"; the order must be that of the originals.
    save(tmp_path / "in" / "a.jpg", noise(64, 48, 0))
    save(tmp_path / "in" / "a.k.jpg", noise(64, 48, 1))
    originals = list_photos(tmp_path / "in")
    small = shrunken_photos(originals, 4)
    assert [path.name for path in small] == ["a.png", "a.k.png"]
    assert all(cache in path.parents for path in small)
    for path, original in zip(small, originals, strict=True):
        expected = read_photo(original).reshape(16, 4, 12, 4, 3).mean(axis=(1, 3))
        np.testing.assert_allclose(read_photo(path), expected, atol=0.51 / 255)


def test_cache_is_reused_until_a_photo_or_the_factor_changes(tmp_path: Path, cache: Path) -> None:
    original = save(tmp_path / "in" / "a.png", noise(64, 48))
    (first,) = shrunken_photos([original], 4)
    made = first.stat().st_mtime_ns
    assert shrunken_photos([original], 4) == (first,)
    assert first.stat().st_mtime_ns == made
    assert shrunken_photos([original], 2) != (first,)
    os.utime(original, ns=(1, 1))
    assert shrunken_photos([original], 4) != (first,)


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, MemoryError])
def test_interrupted_run_leaves_no_entry(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, interruption: type
) -> None:
    originals = [save(tmp_path / "in" / f"{i}.png", noise(64, 48, i)) for i in range(3)]
    real = files.write_bytes
    written = []

    def interrupted(path: Path, data: bytes) -> None:
        written.append(path)
        if len(written) == 2:
            raise interruption
        real(path, data)

    monkeypatch.setattr(files, "write_bytes", interrupted)
    with pytest.raises(interruption):
        shrunken_photos(originals, 4)
    assert list((cache / "photos").iterdir()) == []
    assert all(path.is_file() for path in shrunken_photos(originals, 4))


def test_killed_run_and_plundered_entry_are_not_trusted(tmp_path: Path, cache: Path) -> None:
    originals = [save(tmp_path / "in" / f"{i}.png", noise(64, 48, i)) for i in range(3)]
    small = shrunken_photos(originals, 4)
    (small[0].parent.parent / ".making-killed").mkdir()
    small[1].unlink()
    again = shrunken_photos(originals, 4)
    assert again == small and all(path.is_file() for path in again)


def test_damaged_original_leaves_no_entry(tmp_path: Path, cache: Path) -> None:
    good = save(tmp_path / "in" / "a.png", noise(64, 48))
    bad = tmp_path / "in" / "b.png"
    bad.write_bytes(good.read_bytes()[:500])
    assert str(bad) in fail(shrunken_photos, [good, bad], 4)
    assert list((cache / "photos").iterdir()) == []


def test_unwritable_cache_says_how_to_move_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = save(tmp_path / "in" / "a.png", noise(64, 48))
    (tmp_path / "taken").write_text("a file, not a folder")
    monkeypatch.setenv("SHARPFIELD_CACHE", str(tmp_path / "taken"))
    assert "set SHARPFIELD_CACHE" in fail(shrunken_photos, [original], 4)


def test_grey_jpeg_is_read(tmp_path: Path) -> None:
    content = BytesIO()
    Image.fromarray(np.full((16, 16), 128, np.uint8)).save(content, format="jpeg")
    (tmp_path / "a.jpg").write_bytes(content.getvalue())
    np.testing.assert_allclose(read_photo(tmp_path / "a.jpg"), 128 / 255, atol=1e-6)
