from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.spatial.transform import Rotation

from sharpfield.geometry.poses import look_along
from sharpfield.geometry.spherical import orbit, spherify

TARGET = np.array([3.0, -1.0, 2.0])
POLE = np.array([0.2, 0.9, 0.3]) / np.linalg.norm([0.2, 0.9, 0.3])


def around(elevation: float = 0.6, count: int = 15, noise: float = 0.2) -> np.ndarray:
    """Cameras all around `TARGET` that look at it, upright with respect to `POLE`."""
    random = np.random.default_rng(7)
    ahead = np.cross(POLE, [1.0, 0.0, 0.0])
    ahead /= np.linalg.norm(ahead)
    angles = 2 * np.pi * np.arange(count) / count + random.uniform(-noise, noise, count)
    heights = elevation + random.uniform(-noise, noise, count)
    distances = random.uniform(2.0, 2.0 + 5 * noise, count)
    level = np.cos(angles)[:, None] * ahead + np.sin(angles)[:, None] * np.cross(POLE, ahead)
    offsets = np.cos(heights)[:, None] * level + np.sin(heights)[:, None] * POLE
    offsets *= distances[:, None]
    return np.stack([look_along(offset, POLE, TARGET + offset) for offset in offsets])


def shaken(poses: np.ndarray) -> np.ndarray:
    random = np.random.default_rng(8)
    turns = Rotation.from_rotvec(random.normal(0, 0.1, (len(poses), 3))).as_matrix()
    return np.concatenate([turns @ poses[:, :, :3], poses[:, :, 3:]], axis=-1)


def distances_to_axes(poses: np.ndarray, point: np.ndarray) -> np.ndarray:
    offsets = point - poses[:, :, 3]
    return np.linalg.norm(np.cross(offsets, poses[:, :, 2]), axis=-1)


def moved(poses: np.ndarray, scale: float) -> np.ndarray:
    turn = Rotation.from_rotvec([0.4, -1.0, 2.0]).as_matrix()
    poses = turn @ poses
    poses[:, :, 3] = scale * poses[:, :, 3] + [3.0, -2.0, 5.0]
    return poses


def assert_rotations(poses: np.ndarray) -> None:
    rotations = poses[:, :, :3]
    gram = np.swapaxes(rotations, 1, 2) @ rotations
    np.testing.assert_allclose(gram, np.broadcast_to(np.eye(3), gram.shape), atol=1e-9)
    np.testing.assert_allclose(np.linalg.det(rotations), 1)


def test_axes_that_meet_pass_through_the_origin() -> None:
    result = spherify(around())
    np.testing.assert_allclose(distances_to_axes(result.poses, np.zeros(3)), 0, atol=1e-12)
    np.testing.assert_allclose(result.transform @ [*TARGET, 1.0], [0.0, 0.0, 0.0, 1.0], atol=1e-12)
    ahead = -result.poses[:, :, 2]
    assert ((ahead * -result.poses[:, :, 3]).sum(axis=-1) > 0).all()


def test_axes_that_miss_each_other_are_nearest_to_the_origin() -> None:
    poses = shaken(around())
    best = minimize(lambda point: (distances_to_axes(poses, point) ** 2).sum(), TARGET, tol=1e-12).x
    assert np.linalg.norm(best - TARGET) > 0.01
    mapped = spherify(poses).transform @ [*best, 1.0]
    np.testing.assert_allclose(mapped[:3], 0, atol=1e-5)


def test_root_mean_square_distance_is_one_and_the_mean_lies_on_z() -> None:
    positions = spherify(shaken(around())).poses[:, :, 3]
    assert (positions**2).sum(axis=-1).mean() == pytest.approx(1.0)
    np.testing.assert_allclose(positions.mean(axis=0)[:2], 0, atol=1e-12)
    assert positions.mean(axis=0)[2] > 0.1


def test_transform_is_the_similarity_that_moved_the_poses() -> None:
    poses = shaken(around())
    result = spherify(poses)
    linear = result.transform[:3, :3]
    np.testing.assert_allclose(linear.T @ linear, result.scale**2 * np.eye(3), atol=1e-12)
    assert np.linalg.det(linear) > 0
    np.testing.assert_array_equal(result.transform[3], [0, 0, 0, 1])
    mapped = poses[:, :, 3] @ linear.T + result.transform[:3, 3]
    np.testing.assert_allclose(mapped, result.poses[:, :, 3], atol=1e-12)
    axes = linear / result.scale @ poses[:, :, :3]
    np.testing.assert_allclose(axes, result.poses[:, :, :3], atol=1e-12)
    assert_rotations(result.poses)


def test_x_is_the_published_choice() -> None:
    assert spherify(around()).transform[0, :3] @ [0.1, 0.2, 0.3] == pytest.approx(0.0)


def test_units_of_the_input_do_not_matter() -> None:
    poses = shaken(around())
    larger = poses.copy()
    larger[:, :, 3] *= 1e3
    np.testing.assert_allclose(spherify(larger).poses, spherify(poses).poses, atol=1e-9)


def test_a_level_ring_takes_up_from_its_cameras() -> None:
    result = spherify(around(elevation=0.0, noise=0.02))
    assert result.transform[2, :3] / result.scale @ POLE > 0.999


def test_orbit_is_a_level_circle_around_what_the_cameras_see() -> None:
    poses = shaken(around())
    count = 24
    path = orbit(spherify(poses).poses, count)
    positions = path[:, :, 3]
    assert path.shape == (count, 3, 4)
    assert_rotations(path)
    height = spherify(poses).poses[:, 2, 3].mean()
    np.testing.assert_allclose(positions[:, 2], height)
    np.testing.assert_allclose(np.linalg.norm(positions, axis=-1), 1)
    np.testing.assert_allclose(path[:, :, 2], positions, atol=1e-12)
    np.testing.assert_allclose(path[:, 2, 0], 0, atol=1e-12)
    assert (path[:, 2, 1] > 0).all()
    steps = np.linalg.norm(np.roll(positions, -1, axis=0) - positions, axis=-1)
    np.testing.assert_allclose(steps, 2 * np.sqrt(1 - height**2) * np.sin(np.pi / count))
    turning = np.cross(positions, np.roll(positions, -1, axis=0))[:, 2]
    assert (turning > 0).all()


def test_orbit_moves_with_the_world() -> None:
    poses = shaken(around())
    expected = moved(orbit(poses, 16), 0.3)
    np.testing.assert_allclose(orbit(moved(poses, 0.3), 16), expected, atol=1e-9)


@pytest.mark.parametrize("build", [spherify, orbit])
def test_cameras_without_a_common_point_are_refused(build: object) -> None:
    assert callable(build)
    parallel = np.repeat(np.eye(3, 4)[None], 5, axis=0)
    parallel[:, :2, 3] = np.random.default_rng(0).normal(size=(5, 2))
    with pytest.raises(ValueError, match="parallel"):
        build(parallel)
    panorama = around()
    panorama[:, :, 3] = TARGET
    with pytest.raises(ValueError, match="one place"):
        build(panorama)
