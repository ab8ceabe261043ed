from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sharpfield.errors import InputError
from sharpfield.scene.llff import read_llff
from sharpfield.scene.made_scene import read_truth
from sharpfield.scene.photoreal import (
    PHOTOREAL,
    PhotorealSettings,
    Studio,
    extents,
    make_photoreal_scene,
)
from sharpfield.scene.photoreal_world import BALL_CENTRE, BALL_RADIUS
from sharpfield.scene.toy_camera import displaced, toy_camera, view_poses
from sharpfield.scene.toy_render import to_display

SMALL = PhotorealSettings(width=48, height=32, views=4, hold=4, samples=1, sharp_fraction=0.34)
CAMERA = toy_camera(48, 32)
POSES = view_poses([False] * 6, np.random.default_rng(2))


@pytest.fixture(scope="module")
def studio() -> Studio:
    pytest.importorskip("mitsuba", reason="the photoreal scene needs mitsuba")
    return Studio(CAMERA)


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("mitsuba", reason="the photoreal scene needs mitsuba")
    root = tmp_path_factory.mktemp("photoreal") / "scene"
    make_photoreal_scene(root, SMALL)
    return root


def test_written_as_an_ordinary_llff_folder_with_truth(scene: Path) -> None:
    read, truth = read_llff(scene), read_truth(scene)
    assert truth is not None
    assert [view.held_out for view in read.views] == [True, False, False, False]
    assert (read.views[0].camera.width, read.views[0].camera.height) == (48, 32)
    assert truth.paths.shape == (4, 33, 3, 4)
    # The scene is as deep as the toy scene: 2.3 to 8, up to the turns of the cameras.
    scale = np.cbrt(np.linalg.det(read.from_input[:3, :3]))
    assert 2.0 < read.near / scale < 2.8 and 7.5 < read.far / scale < 9.0


def test_some_photos_are_sharp_and_the_others_are_smeared_as_far_as_asked(scene: Path) -> None:
    truth = read_truth(scene)
    assert truth is not None
    largest = np.array([extent.max() for extent in truth.extent.values()])
    assert largest[0] == 0
    first = np.asarray(Image.open(scene / "images" / "000.png")) / np.float32(255)
    assert np.array_equal(first, truth.sharp["000.png"])
    low, high = np.array(SMALL.shake_pixels) * 48 / 144
    training = np.sort(largest[1:])
    assert 0 < training[0] < 0.7
    assert training[1] > 0.9 * low and training[2] < 1.1 * high


def test_same_seed_same_bytes(scene: Path, tmp_path: Path) -> None:
    reports: list[tuple[int, int]] = []
    make_photoreal_scene(
        tmp_path / "again", SMALL, lambda done, views: reports.append((done, views))
    )
    assert reports == [(1, 4), (2, 4), (3, 4), (4, 4)]
    files = [path.relative_to(scene) for path in scene.rglob("*") if path.is_file()]
    assert len(files) == 4 * 3 + 4
    for name in files:
        assert (tmp_path / "again" / name).read_bytes() == (scene / name).read_bytes()


def test_an_exposure_without_shake_is_the_sharp_photo_up_to_noise(studio: Studio) -> None:
    still = np.repeat(POSES[:1], 33, axis=0)
    photo = to_display(studio.expose(still, 2, np.random.default_rng(0))).astype(float)
    sharp = to_display(studio.expose(POSES[:1], 66, np.random.default_rng(1))).astype(float)
    noise = np.sqrt(np.mean((photo - sharp) ** 2))
    shifted = np.sqrt(np.mean((photo - np.roll(sharp, 1, axis=1)) ** 2))
    assert noise < 0.5 * shifted
    assert abs(np.mean(photo - sharp)) < 1


def test_photos_are_rendered_from_where_the_true_points_are_seen(studio: Studio) -> None:
    for pose in POSES[:3]:
        seen = studio.see(pose)
        traced = np.linalg.norm(seen.points - pose[:, 3], axis=-1)
        error = studio.distances(pose, 64) / traced - 1
        assert np.median(np.abs(error)) < 0.002
        # The table in front: half a pixel of shift would show as an error of one sign.
        assert abs(np.median(error[-6:])) < 0.002
        assert np.allclose(-((seen.points - pose[:, 3]) @ pose[:, 2]), seen.depth)


def test_ball_is_seen_where_its_centre_projects_to(studio: Studio) -> None:
    for pose in POSES:
        points = studio.see(pose).points
        distance = np.linalg.norm(points - BALL_CENTRE, axis=-1)
        rows, columns = np.nonzero(np.abs(distance - BALL_RADIUS) < 1e-3)
        local = (BALL_CENTRE - pose[:, 3]) @ pose[:, :3]
        x = CAMERA.centre_x + CAMERA.focal_x * local[0] / -local[2]
        y = CAMERA.centre_y - CAMERA.focal_y * local[1] / -local[2]
        assert len(rows) > 30
        assert abs(np.mean(columns + 0.5) - x) < 0.5 and abs(np.mean(rows + 0.5) - y) < 0.5


def test_photos_are_upright_and_not_mirrored(studio: Studio) -> None:
    photo = studio.expose(np.eye(3, 4)[None], 16, np.random.default_rng(0))
    red, green, blue = np.moveaxis(photo, -1, 0)
    bush = (green > 1.5 * red) & (green > 1.5 * blue)
    assert bush.sum() > 20
    rows, columns = np.nonzero(bush)
    assert columns.min() > 24 and rows.mean() < 20


def test_extent_of_a_sideways_move_is_focal_length_over_depth(studio: Studio) -> None:
    seen = studio.see(POSES[1], step=3)
    moves = np.zeros((5, 6))
    moves[:, 3] = (0.0, 0.03, -0.02, 0.01, 0.0)
    smeared = extents(seen.points, CAMERA, displaced(POSES[1], moves))
    assert np.allclose(smeared, CAMERA.focal_x * 0.05 / seen.depth, atol=1e-6)


def test_without_mitsuba_a_present_scene_is_reused_and_a_new_one_refused(
    scene: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "mitsuba", None)
    make_photoreal_scene(scene, SMALL)
    with pytest.raises(InputError, match="another folder"):
        make_photoreal_scene(scene, replace(SMALL, seed=1))


def test_missing_mitsuba_is_one_line_and_nothing_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "mitsuba", None)
    with pytest.raises(InputError, match=r"pip install 'sharpfield\[photoreal\]'") as caught:
        make_photoreal_scene(tmp_path / "scene", PHOTOREAL)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("field", "value"),
    [("width", 31), ("height", 120), ("exposures", 32), ("samples", 0), ("shake_pixels", (5, 4))],
)
def test_settings_out_of_range_are_named(field: str, value: Any) -> None:
    with pytest.raises(InputError, match=f"photoreal scene: {field} .* is out of range"):
        replace(PHOTOREAL, **{field: value})
