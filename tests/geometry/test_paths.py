from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from sharpfield.geometry.paths import epi, interpolate, spiral
from sharpfield.geometry.poses import recentre

NEAR, FAR = 4 / 3, 6.0


def forward_facing(count: int = 12) -> np.ndarray:
    random = np.random.default_rng(2)
    rotations = Rotation.from_rotvec(random.normal(0, 0.1, (count, 3))).as_matrix()
    centres = random.normal(0, [0.5, 0.3, 0.1], (count, 3))
    return recentre(np.concatenate([rotations, centres[:, :, None]], axis=-1)).poses


def assert_rotations(poses: np.ndarray) -> None:
    rotations = poses[:, :, :3]
    gram = np.swapaxes(rotations, 1, 2) @ rotations
    np.testing.assert_allclose(gram, np.broadcast_to(np.eye(3), gram.shape), atol=1e-9)
    np.testing.assert_allclose(np.linalg.det(rotations), 1)


def test_spiral_centres_follow_the_published_formula() -> None:
    poses = forward_facing()
    path = spiral(poses, NEAR, FAR, radius_scale=0.7)
    radii = np.percentile(np.abs(poses[:, :, 3]), 90, axis=0)
    angle = 2 * np.pi * 2 * np.arange(120) / 120
    expected = np.stack(
        [
            0.7 * radii[0] * np.cos(angle),
            -0.7 * radii[1] * np.sin(angle),
            -radii[2] * np.sin(0.5 * angle),
        ],
        axis=-1,
    )
    assert path.shape == (120, 3, 4)
    np.testing.assert_allclose(path[:, :, 3], expected, atol=1e-9)
    assert_rotations(path)


@pytest.mark.parametrize("focus_scale", [1.0, 0.25])
def test_spiral_looks_at_the_focus(focus_scale: float) -> None:
    path = spiral(forward_facing(), NEAR, FAR, count=30, focus_scale=focus_scale)
    focus = focus_scale / (0.25 / (0.9 * NEAR) + 0.75 / (5 * FAR))
    towards = np.array([0, 0, -focus]) - path[:, :, 3]
    towards /= np.linalg.norm(towards, axis=-1, keepdims=True)
    np.testing.assert_allclose(-path[:, :, 2], towards, atol=1e-9)


@pytest.mark.parametrize(
    "path", [lambda poses: spiral(poses, NEAR, FAR, count=16), lambda poses: epi(poses, 16)]
)
def test_named_paths_move_with_the_world(path: Callable[[np.ndarray], np.ndarray]) -> None:
    poses = forward_facing()
    turn = Rotation.from_rotvec([0.4, -1.0, 2.0]).as_matrix()
    moved = turn @ poses
    moved[:, :, 3] += [3.0, -2.0, 5.0]
    expected = turn @ path(poses)
    expected[:, :, 3] += [3.0, -2.0, 5.0]
    np.testing.assert_allclose(path(moved), expected, atol=1e-9)


def test_epi_slides_along_x_and_keeps_the_average_view() -> None:
    poses = forward_facing()
    path = epi(poses, 120, radius_scale=0.7)
    radius = 0.7 * np.percentile(np.abs(poses[:, 0, 3]), 90)
    assert path.shape == (120, 3, 4)
    expected = np.zeros((120, 3))
    expected[:, 0] = radius / 2 * (-1 + 2 * np.arange(120) / 120)
    np.testing.assert_allclose(path[:, :, 3], expected, atol=1e-9)
    np.testing.assert_allclose(path[:, :, :3], np.broadcast_to(np.eye(3), (120, 3, 3)), atol=1e-9)


def test_interpolation_passes_through_every_pose() -> None:
    poses = forward_facing(6)
    path = interpolate(poses, 5 * 10 + 1)
    np.testing.assert_allclose(path[::10], poses, atol=1e-9)
    assert_rotations(path)


def test_interpolation_has_no_jumps() -> None:
    poses = forward_facing(6)
    path = interpolate(poses, 1001)
    acceleration = np.abs(np.diff(path, n=2, axis=0)).max() * 200**2
    legs = np.abs(np.diff(poses, axis=0)).max()
    assert acceleration < 20 * legs


@pytest.mark.parametrize("count", [1, 7])
def test_one_pose_stays(count: int) -> None:
    poses = forward_facing(3)[:1]
    np.testing.assert_array_equal(interpolate(poses, count), np.repeat(poses, count, axis=0))


def test_repeated_poses_stay_finite() -> None:
    poses = np.repeat(forward_facing(3), 2, axis=0)
    path = interpolate(poses, 51)
    assert np.isfinite(path).all()
    np.testing.assert_allclose(path[::10], poses, atol=1e-9)
