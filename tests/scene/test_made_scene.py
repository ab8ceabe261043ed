from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from sharpfield.errors import InputError
from sharpfield.geometry.poses import llff_to_opengl
from sharpfield.scene.llff import read_llff
from sharpfield.scene.made_scene import Shot, make_scene, read_truth
from sharpfield.scene.scene import Camera

CAMERA = Camera(16, 12, 15.0, 15.0, 8.0, 6.0)
RECIPE = {"kind": "test", "generator": 3, "range": (1.0, 2.0)}


def shoot() -> Sequence[Shot]:
    generator = np.random.default_rng(0)
    shots = []
    for view in range(4):
        pose, given = np.eye(3, 4), np.eye(3, 4)
        pose[0, 3], given[0, 3] = 0.1 * view, 0.1 * view + 0.01
        photo, sharp = generator.integers(0, 256, (2, 12, 16, 3), dtype=np.uint8)
        depth = np.linspace(2 + view, 8 + view, 12 * 16, dtype=np.float32).reshape(12, 16)
        extent = generator.random((12, 16), dtype=np.float32)
        path = pose + 0.001 * np.arange(5)[:, None, None] * np.eye(3, 4, 3)
        shots.append(Shot(photo, sharp, extent, depth, pose, path, given))
    return shots


def never() -> Sequence[Shot]:
    raise AssertionError("made again")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    make_scene(tmp_path / "scene", RECIPE, 3, CAMERA, shoot)
    return tmp_path / "scene"


def test_photos_and_given_poses_are_for_everyone_and_the_truth_stays_apart(root: Path) -> None:
    shots, scene, truth = shoot(), read_llff(root), read_truth(root)
    assert truth is not None
    table = np.load(root / "poses_bounds.npy")
    poses = llff_to_opengl(table[:, :15].reshape(-1, 3, 5)[:, :, :4])
    assert np.allclose(table[:, 15:], [(2 + view, 8 + view) for view in range(4)])
    assert scene.test_indices == (0, 3)
    for index, shot in enumerate(shots):
        assert np.allclose(scene.views[index].photo * 255, shot.photo, atol=1e-4)
        assert np.allclose(poses[index], shot.given_pose)
        assert np.allclose(truth.sharp[f"{index:03d}.png"] * 255, shot.sharp, atol=1e-4)
        assert np.array_equal(truth.extent[f"{index:03d}"], shot.extent)
        assert np.array_equal(truth.paths[index], shot.path)


def test_present_scene_is_reused_and_others_are_kept(root: Path, tmp_path: Path) -> None:
    make_scene(root, RECIPE, 3, CAMERA, never)
    for other in ({**RECIPE, "range": (1.0, 3.0)}, {**RECIPE, "kind": "toy"}):
        with pytest.raises(InputError, match=r"something other.*choose another folder"):
            make_scene(root, other, 3, CAMERA, never)
    for content in ("[1]", "{", "null"):
        folder = tmp_path / "foreign"
        (folder / "truth").mkdir(parents=True, exist_ok=True)
        (folder / "truth" / "settings.json").write_text(content)
        with pytest.raises(InputError, match="something other"):
            make_scene(folder, RECIPE, 3, CAMERA, never)


def test_scene_by_another_version_of_the_generator_is_named(root: Path) -> None:
    with pytest.raises(InputError, match=r"another version \(3\).*\(4\); remove it"):
        make_scene(root, {**RECIPE, "generator": 4}, 3, CAMERA, never)
    settings = root / "truth" / "settings.json"
    settings.write_text(json.dumps({"range": [1.0, 2.0]}))
    with pytest.raises(InputError, match=r"another version \(0\)"):
        make_scene(root, RECIPE, 3, CAMERA, never)


def test_of_two_that_make_a_scene_at_once_one_is_first(tmp_path: Path) -> None:
    def shoot_while_another_does() -> Sequence[Shot]:
        make_scene(tmp_path / "scene", RECIPE, 3, CAMERA, shoot)
        return shoot()

    make_scene(tmp_path / "scene", RECIPE, 3, CAMERA, shoot_while_another_does)
    assert [path.name for path in tmp_path.iterdir()] == ["scene"]
    assert read_llff(tmp_path / "scene").test_indices == (0, 3)


@pytest.mark.parametrize("name", ["extent/001.npy", "paths.npy"])
def test_a_truth_of_another_shape_is_named(root: Path, name: str) -> None:
    np.save(root / "truth" / name, np.zeros(3))
    with pytest.raises(InputError, match=rf"{name}: damaged \(not an array of . dimensions"):
        read_truth(root)


def test_failed_shooting_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(AssertionError):
        make_scene(tmp_path / "deep" / "scene", RECIPE, 3, CAMERA, never)
    assert list((tmp_path / "deep").iterdir()) == []
