from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from PIL import ExifTags, Image
from tests.fake_run import RunMaker

from sharpfield.evaluate.images import image_file_name, to_8bit
from sharpfield.export.restored import restore
from sharpfield.scene.photo_tags import PhotoTags


@pytest.mark.parametrize("suffix", [".png", ".JPG"])
def test_each_training_photo_returns_sharp_under_its_name(make_run: RunMaker, suffix: str) -> None:
    run = make_run(suffix=suffix)
    paths = restore(run)
    assert [path.name for path in paths] == [f"photo{i}{suffix}" for i in range(3)]
    assert all(path.parent == run.folder / "restored" for path in paths)
    for path in paths:
        image = np.asarray(Image.open(path), dtype=np.float64)
        truth = to_8bit(run.truth.sharp[path.name]).astype(np.float64)
        assert image.shape == truth.shape
        assert np.abs(image - truth).mean() < (0.1 if suffix == ".png" else 4)


@pytest.mark.parametrize("suffix", [".png", ".JPG"])
def test_photos_keep_their_exif_and_colour_profile(make_run: RunMaker, suffix: str) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    run = make_run(suffix=suffix)
    first, *others = run.scene.views
    tagged = replace(first, tags=PhotoTags(exif.tobytes(), b"a profile"))
    run.scene = replace(run.scene, views=(tagged, *others))
    with_tags, *without = (Image.open(path) for path in restore(run))
    assert dict(with_tags.getexif()) == {ExifTags.Base.Orientation: 6}
    assert with_tags.info["icc_profile"] == b"a profile"
    for image in without:
        assert not image.getexif() and "icc_profile" not in image.info


def test_the_rendering_alone(make_run: RunMaker) -> None:
    run = make_run()
    type(run).restore_view = lambda self, view, rendered: 1.0 - rendered
    alone = [np.asarray(Image.open(path)) for path in restore(run, rendered=True)]
    negatives = [np.asarray(Image.open(path)) for path in restore(run)]
    for image, negative, name in zip(alone, negatives, run.truth.sharp, strict=False):
        np.testing.assert_array_equal(image, to_8bit(run.truth.sharp[name]))
        assert (np.abs(255 - image.astype(int) - negative) <= 1).all()


def test_a_photo_is_made_once(make_run: RunMaker) -> None:
    run = make_run()
    mark = np.full((31, 40, 3), 9, dtype=np.uint8)
    known = {"photo1.png": mark}
    calls: list[tuple[int, int]] = []
    paths = restore(run, known, lambda done, total: calls.append((done, total)))
    assert calls == [(1, 3), (2, 3), (3, 3)]
    for path in paths:
        np.testing.assert_array_equal(np.asarray(Image.open(path)), known[path.name])
    assert known["photo1.png"] is mark
    assert (known["photo0.png"] != 9).any()


@pytest.mark.parametrize(
    ("photo", "expected"),
    [
        ("a.jpeg", "a.jpeg"),
        ("../images/b.png", "b.png"),
        ("c", "c.png"),
        ("d.heic", "d.heic.png"),
    ],
)
def test_names_stay_inside_the_folder_and_writable(photo: str, expected: str) -> None:
    assert image_file_name(photo) == expected
