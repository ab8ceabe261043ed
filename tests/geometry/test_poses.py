from __future__ import annotations

import numpy as np
from scipy.spatial.transform import Rotation

from sharpfield.geometry.poses import (
    average_pose,
    llff_to_opengl,
    look_along,
    opengl_to_llff,
    recentre,
)


def random_poses(count: int = 9, tilt: float = 0.3) -> np.ndarray:
    random = np.random.default_rng(5)
    rotations = Rotation.from_rotvec(random.normal(0, tilt, (count, 3))).as_matrix()
    return np.concatenate([rotations, random.normal(2, 1, (count, 3, 1))], axis=-1)


def square(poses: np.ndarray) -> np.ndarray:
    bottom = np.broadcast_to([0.0, 0.0, 0.0, 1.0], (len(poses), 1, 4))
    return np.concatenate([poses, bottom], axis=1)


def test_llff_columns_are_down_right_back() -> None:
    llff = np.array([[0.0, 1.0, 0.0, 7.0], [-1.0, 0.0, 0.0, 8.0], [0.0, 0.0, 1.0, 9.0]])
    expected = np.concatenate([np.eye(3), [[7.0], [8.0], [9.0]]], axis=-1)
    np.testing.assert_array_equal(llff_to_opengl(llff), expected)


def test_conventions_invert_each_other_and_keep_handedness() -> None:
    poses = random_poses()
    llff = opengl_to_llff(poses)
    np.testing.assert_array_equal(llff_to_opengl(llff), poses)
    np.testing.assert_allclose(np.linalg.det(llff[:, :, :3]), 1)


def test_look_along_is_a_rotation_with_the_given_back() -> None:
    pose = look_along(np.array([0.0, 3.0, 4.0]), np.array([0.1, 1.0, 0.0]), np.arange(3.0))
    np.testing.assert_allclose(pose[:, :3].T @ pose[:, :3], np.eye(3), atol=1e-12)
    np.testing.assert_allclose(np.linalg.det(pose[:, :3]), 1)
    np.testing.assert_allclose(pose[:, 2], [0, 0.6, 0.8])
    np.testing.assert_array_equal(pose[:, 3], [0, 1, 2])


def test_average_of_equal_poses_is_that_pose() -> None:
    pose = random_poses(1)
    np.testing.assert_allclose(average_pose(np.repeat(pose, 4, axis=0)), pose[0], atol=1e-12)


def test_recentring_makes_the_average_the_identity() -> None:
    poses = random_poses()
    result = recentre(poses)
    np.testing.assert_allclose(average_pose(result.poses), np.eye(3, 4), atol=1e-12)
    np.testing.assert_allclose(square(result.poses), result.transform @ square(poses), atol=1e-12)


def test_recentring_forgets_the_world_frame() -> None:
    poses = random_poses()
    world = square(random_poses(1, tilt=2.0))[0]
    moved = (world @ square(poses))[:, :3]
    np.testing.assert_allclose(recentre(moved).poses, recentre(poses).poses, atol=1e-12)


def test_full_ring_of_cameras_takes_the_first_axes() -> None:
    angles = np.arange(8)[:, None] * np.pi / 4
    ring = Rotation.from_euler("y", angles).as_matrix()
    poses = np.concatenate([ring, 3 * ring[:, :, 2:]], axis=-1)
    average = average_pose(poses)
    np.testing.assert_allclose(average[:, :3], poses[0, :, :3], atol=1e-12)
    np.testing.assert_allclose(average[:, 3], 0, atol=1e-12)
