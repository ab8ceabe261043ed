from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest
from tests.fake_run import RunMaker, sharp_photo

from sharpfield.errors import InputError
from sharpfield.export.camera_path import camera_path, read_path
from sharpfield.export.video import render_path, write_video
from sharpfield.geometry.paths import epi, spiral
from sharpfield.geometry.poses import look_along


def frames(path: Path) -> list[np.ndarray]:
    reader = imageio_ffmpeg.read_frames(str(path))
    width, height = next(reader)["size"]
    return [np.frombuffer(frame, np.uint8).reshape(height, width, 3) for frame in reader]


@pytest.mark.parametrize("size", [(40, 32), (41, 31)])
def test_a_video_of_any_size_shows_every_pose(make_run: RunMaker, size: tuple[int, int]) -> None:
    run = make_run(size=size)
    poses = camera_path(run.scene, "views")
    calls: list[tuple[int, int]] = []
    target = run.folder / "renders" / "views.mp4"
    written = render_path(run, poses, target, 5.0, lambda *progress: calls.append(progress))
    assert written == [target, target.with_name("views_depth.mp4")]
    assert sorted(path.name for path in target.parent.iterdir()) == ["views.mp4", "views_depth.mp4"]
    assert calls == [(i, 4) for i in range(1, 5)]
    width, height = size
    for path in written:
        shown = frames(path)
        assert len(shown) == 4
        assert shown[0].shape == (height + height % 2, width + width % 2, 3)
    truth = sharp_photo(3, width, height).mean(axis=(0, 2))
    seen = frames(target)[3][:height, :width].mean(axis=(0, 2)) / 255
    assert np.abs(seen - truth).mean() < 0.05
    depth = frames(written[1])[0].astype(float)
    assert depth[:, 2, 0].mean() > depth[:, 2, 2].mean()
    assert depth[:, width - 3, 2].mean() > depth[:, width - 3, 0].mean()


def test_a_failed_video_leaves_nothing(make_run: RunMaker) -> None:
    run = make_run()
    poses = camera_path(run.scene, "views")

    def stop(done: int, total: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        render_path(run, poses, run.folder / "renders" / "v.mp4", progress=stop)
    assert list((run.folder / "renders").iterdir()) == []


def test_a_pose_that_looks_back_is_refused(make_run: RunMaker) -> None:
    """Its rays would show, upside down, what lies before the cameras."""
    run = make_run()
    poses = camera_path(run.scene, "views").copy()
    poses[2, :, :3] = np.diag([-1.0, 1.0, -1.0])
    with pytest.raises(InputError, match=r"^v\.mp4: pose 2 looks aside or back"):
        render_path(run, poses, run.folder / "renders" / "v.mp4")
    assert not (run.folder / "renders").exists()


def ramps(count: int, width: int, height: int) -> Iterator[np.ndarray]:
    """Grey ramps that get brighter from frame to frame."""
    for number in range(count):
        grey = np.linspace(0, 40 * (number + 1), width, dtype=np.uint8)
        yield np.repeat(np.tile(grey, (height, 1))[..., None], 3, axis=-1)


@pytest.mark.parametrize("size", [(40, 32), (41, 31)])
def test_a_written_video_shows_its_frames_in_order(tmp_path: Path, size: tuple[int, int]) -> None:
    width, height = size
    target = tmp_path / "new" / "video.mp4"
    write_video(target, ramps(5, width, height), size, fps=10.0, quality=9)
    shown = frames(target)
    assert len(shown) == 5
    assert shown[0].shape == (height + height % 2, width + width % 2, 3)
    for seen, given in zip(shown, ramps(5, width, height), strict=True):
        assert np.abs(seen[:height, :width].astype(float) - given).mean() < 4
    assert imageio_ffmpeg.count_frames_and_secs(str(target))[1] == pytest.approx(0.5)


@pytest.mark.parametrize("script", ["exit 1", "cat > /dev/null; exit 1"])
def test_an_encoder_that_fails_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str
) -> None:
    """At once, or at the end, as where the disk is full."""
    encoder = tmp_path / "ffmpeg"
    encoder.write_text(f"#!/bin/sh\n{script}\n")
    encoder.chmod(0o755)
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", str(encoder))
    target = tmp_path / "videos" / "video.mp4"
    with pytest.raises(InputError, match=r"videos: ffmpeg could not write a video; free"):
        write_video(target, ramps(5, 40, 32), (40, 32))
    assert list(target.parent.iterdir()) == []


def test_no_encoder_and_no_number_of_frames_are_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for fps in (math.inf, math.nan, 0.0):
        with pytest.raises(InputError, match="frames per second: give a number"):
            write_video(tmp_path / "video.mp4", ramps(5, 40, 32), (40, 32), fps=fps)
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", str(tmp_path / "nowhere"))
    with pytest.raises(InputError, match="ffmpeg cannot be started; pip install"):
        write_video(tmp_path / "video.mp4", ramps(5, 40, 32), (40, 32))
    assert list(tmp_path.iterdir()) == []


def test_quality_costs_bytes(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (3, 32, 40, 3), dtype=np.uint8)
    for quality in (2, 9):
        write_video(tmp_path / f"{quality}.mp4", noise, (40, 32), quality=quality)
    assert (tmp_path / "2.mp4").stat().st_size < (tmp_path / "9.mp4").stat().st_size / 2


def test_a_failed_write_keeps_the_old_video(tmp_path: Path) -> None:
    target = tmp_path / "video.mp4"
    target.write_bytes(b"old")

    def stop() -> Iterator[np.ndarray]:
        yield from ramps(2, 40, 32)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_video(target, stop(), (40, 32))
    with pytest.raises(ValueError, match="at least one frame"):
        write_video(target, [], (40, 32))
    with pytest.raises(ValueError, match="40x32 video"):
        write_video(target, ramps(1, 32, 40), (40, 32))
    assert list(tmp_path.iterdir()) == [target] and target.read_bytes() == b"old"


@pytest.mark.parametrize("kind", ["spiral", "interpolate", "epi"])
def test_named_paths_have_the_asked_length(make_run: RunMaker, kind: str) -> None:
    assert camera_path(make_run().scene, kind, 17).shape == (17, 3, 4)


def test_scales_reach_the_paths(make_run: RunMaker) -> None:
    scene = make_run().scene
    poses = np.stack([view.pose for view in scene.views]).astype(np.float64)
    np.testing.assert_array_equal(
        camera_path(scene, "spiral", 8, focus_scale=3.0, radius_scale=0.5),
        spiral(poses, scene.near, scene.far, 8, focus_scale=3.0, radius_scale=0.5),
    )
    np.testing.assert_array_equal(
        camera_path(scene, "epi", 8, radius_scale=0.5), epi(poses, 8, radius_scale=0.5)
    )


def test_orbit_goes_around_what_the_views_see(make_run: RunMaker) -> None:
    scene = make_run().scene
    with pytest.raises(InputError, match=r"--path orbit: .*parallel; use spiral"):
        camera_path(scene, "orbit")
    spots = [np.array([1.0, 0.3 * i, 0.5 * (-1) ** i]) for i in range(4)]
    up = np.array([0.0, 0.0, 1.0])
    views = tuple(
        replace(view, pose=look_along(spot, up, spot + 5).astype(np.float32))
        for view, spot in zip(scene.views, spots, strict=True)
    )
    path = camera_path(replace(scene, views=views), "orbit", 9)
    assert path.shape == (9, 3, 4)
    radius = np.linalg.norm(path[:, :, 3] - 5, axis=-1)
    np.testing.assert_allclose(radius, np.sqrt(np.mean(np.square(spots).sum(axis=1))), rtol=1e-5)
    np.testing.assert_allclose(path[:, :, 3] - radius[:, None] * path[:, :, 2], 5, atol=1e-5)


def test_a_path_file_is_in_input_coordinates(make_run: RunMaker, tmp_path: Path) -> None:
    matrix = np.diag([2.0, 2, 2, 1])
    matrix[:3, 3] = [1, 0, 0]
    scene = make_run(from_input=matrix).scene
    pose = np.eye(4)
    pose[:3, 3] = [0, 3, 0]
    file = tmp_path / "path.json"
    file.write_text(json.dumps({"poses": [pose.tolist(), pose[:3].tolist()]}))
    poses = camera_path(scene, str(file))
    np.testing.assert_allclose(poses[0], [[1, 0, 0, 1], [0, 1, 0, 6], [0, 0, 1, 0]])
    np.testing.assert_array_equal(poses[0], poses[1])
    file.write_text(json.dumps([pose.tolist()]))
    assert read_path(file).shape == (1, 3, 4)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "not JSON"),
        ("[]", "holds no poses"),
        ('{"frames": []}', "holds no poses"),
        ("3", "holds no poses"),
        ("[[[1, 2], [3, 4]]]", "shape"),
        ("[[[1, 2], [3]]]", "not a matrix"),
        ('["pose"]', "not a matrix"),
        (f"[[[1{400 * '0'}]]]", "not a matrix"),
        (100_000 * "[", "not JSON"),
        ("[[[NaN, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0]]]", "not finite"),
        ("[[[2, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0]]]", "not a rotation"),
        ("[[[-1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0]]]", "not a rotation"),
        ("\udcff", "not JSON"),
    ],
)
def test_a_bad_path_file_gets_one_line(tmp_path: Path, content: str, message: str) -> None:
    file = tmp_path / "path.json"
    file.write_bytes(content.encode(errors="surrogateescape"))
    with pytest.raises(InputError, match=message) as error:
        read_path(file)
    assert str(file) in str(error.value) and "\n" not in str(error.value)


def test_unknown_paths_and_missing_files_are_named(make_run: RunMaker, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no such file"):
        read_path(tmp_path / "absent.json")
    with pytest.raises(InputError, match="spiral, interpolate"):
        camera_path(make_run().scene, "circle")
