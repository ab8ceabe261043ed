from __future__ import annotations

import json
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import pytest
from tests.fake_run import RunMaker, sharp_photo

from sharpfield.errors import InputError
from sharpfield.export.camera_path import camera_path, read_path
from sharpfield.export.video import render_path


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


@pytest.mark.parametrize("kind", ["spiral", "interpolate"])
def test_named_paths_have_the_asked_length(make_run: RunMaker, kind: str) -> None:
    assert camera_path(make_run().scene, kind, 17).shape == (17, 3, 4)


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
