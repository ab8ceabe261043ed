"""Where the toy scene is photographed from, and how the camera shakes while it is."""

from __future__ import annotations

from typing import Literal

import numpy as np
from jaxtyping import Float
from scipy.spatial.transform import Rotation

from sharpfield.scene.scene import Camera

WINDOW = (0.6, 0.4)
"""Width and height of the window, in scene units, in which all cameras stand."""
_AIM = np.array([0.0, -0.15, -5.5])

PathKind = Literal["smooth", "jagged"]
Pivot = Literal["border", "centre"]


def toy_camera(width: int, height: int) -> Camera:
    """A camera with a horizontal field of view of 56 degrees."""
    focal = 0.94 * width
    return Camera(width, height, focal, focal, width / 2, height / 2)


def view_poses(
    held_out: list[bool], generator: np.random.Generator
) -> Float[np.ndarray, "views 3 4"]:
    """Camera-to-world poses spread evenly over `WINDOW`, all aiming at the middle of the scene.

    Held-out views keep to the inner 70 % of the window, so that they test interpolation.
    """
    spots = np.empty((len(held_out), 2))
    for group, share in ((False, 1.0), (True, 0.7)):
        members = [i for i, held in enumerate(held_out) if held == group]
        spots[members] = (_even_points(len(members), 2, generator.random(2)) - 0.5) * share
    centres = np.concatenate(
        [spots * WINDOW, generator.uniform(-0.05, 0.05, (len(held_out), 1))], axis=1
    )
    aims = _AIM + generator.normal(0, 0.06, centres.shape)
    rolls = generator.normal(0, np.radians(0.8), len(held_out))
    return np.stack([_look_at(*view) for view in zip(centres, aims, rolls, strict=True)])


def shake_twists(
    camera: Camera,
    exposures: int,
    kind: PathKind,
    generator: np.random.Generator,
    pivot: Pivot = "border",
) -> tuple[Float[np.ndarray, "exposures 6"], Float[np.ndarray, "exposures 6"]]:
    """A random camera shake as twists (rotation, translation) in camera axes, of arbitrary size.

    Returns its rotating and its translating half; each has mean zero over the exposure. The
    rotation's axis pierces the photo at ``pivot``, where its blur vanishes: near a random place
    of the border, so that blur grows towards the other side, or exactly in the centre, so that
    it grows with the distance from there.
    """
    curve = _smooth_curve if kind == "smooth" else _jagged_curve
    angle = generator.uniform(0, 2 * np.pi)
    pivot_x, pivot_y = camera.centre_x, camera.centre_y
    if pivot == "border":
        pivot_x += 0.5 * camera.width * np.cos(angle)
        pivot_y += 0.5 * camera.height * np.sin(angle)
    axis = np.array(
        [
            (pivot_x - camera.centre_x) / camera.focal_x,
            -(pivot_y - camera.centre_y) / camera.focal_y,
            -1.0,
        ]
    )
    rotating, translating = np.zeros((2, exposures, 6))
    rotating[:, :3] = curve(exposures, 1, generator) * axis / np.linalg.norm(axis)
    if pivot == "border":
        # A little yaw and pitch, so that the pivot itself is not perfectly still.
        rotating[:, :2] += 0.05 * curve(exposures, 2, generator)
    translating[:, 3:] = curve(exposures, 3, generator) * (1.0, 0.8, 0.4)
    return rotating, translating


def displaced(
    pose: Float[np.ndarray, "3 4"], twists: Float[np.ndarray, "exposures 6"]
) -> Float[np.ndarray, "exposures 3 4"]:
    """``pose`` moved by each twist in its own camera axes: pose @ exp(twist).

    The exponential of SE(3) as in Lynch and Park, Modern Robotics (2017), equation 3.88.
    """
    turns = twists[:, :3]
    angle = np.linalg.norm(turns, axis=1)[:, None, None] + 1e-12
    cross = np.cross(turns[:, None, :], np.eye(3)).swapaxes(1, 2)
    bend = (1 - np.cos(angle)) / angle**2 * cross
    curl = (angle - np.sin(angle)) / angle**3 * (cross @ cross)
    steps = (np.eye(3) + bend + curl) @ twists[:, 3:, None]
    rotations = Rotation.from_rotvec(turns).as_matrix()
    return pose[:, :3] @ np.concatenate([rotations, steps], axis=2) + pose * (0, 0, 0, 1)


def sample_offsets(exposures: int) -> Float[np.ndarray, "exposures 4"]:
    """Where in the pixel and on the lens each exposure samples: (x, y, lens x, lens y).

    Pixel offsets are in [-0.5, 0.5] pixels, lens offsets in the unit disk; both average to zero,
    so that a photo is centred on its pose.
    """
    points = _even_points(exposures, 4, np.full(4, 0.5))
    radius, angle = np.sqrt(points[:, 2]), 2 * np.pi * points[:, 3]
    lens = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)
    offsets = np.concatenate([points[:, :2] - 0.5, lens], axis=1)
    return offsets - offsets.mean(axis=0)


def _even_points(
    count: int, dimensions: int, start: Float[np.ndarray, " dimensions"]
) -> Float[np.ndarray, "count dimensions"]:
    """Low-discrepancy points in the unit cube: the R sequence (Roberts 2018, golden ratios)."""
    ratio = 2.0
    for _ in range(50):
        ratio = (1.0 + ratio) ** (1.0 / (dimensions + 1))
    steps = ratio ** -np.arange(1, dimensions + 1)
    return (start + np.arange(1, count + 1)[:, None] * steps) % 1.0


def _look_at(
    centre: Float[np.ndarray, " 3"], aim: Float[np.ndarray, " 3"], roll: float
) -> Float[np.ndarray, "3 4"]:
    back = (centre - aim) / np.linalg.norm(centre - aim)
    right = np.cross([np.sin(roll), np.cos(roll), 0.0], back)
    right /= np.linalg.norm(right)
    return np.stack([right, np.cross(back, right), back, centre], axis=1)


def _smooth_curve(
    exposures: int, dimensions: int, generator: np.random.Generator
) -> Float[np.ndarray, "exposures dimensions"]:
    """A random polynomial of degree 4 in Legendre form: a sweep, bent and uneven in speed."""
    time = np.linspace(-1, 1, exposures)
    sizes = np.array([0.0, 1.0, 0.6, 0.35, 0.2])[:, None]
    values = np.polynomial.legendre.legval(time, sizes * generator.normal(size=(5, dimensions)))
    curve = np.atleast_2d(values).T
    return curve - curve.mean(axis=0)


def _jagged_curve(
    exposures: int, dimensions: int, generator: np.random.Generator
) -> Float[np.ndarray, "exposures dimensions"]:
    """A random walk with sudden turns: straight legs between 8 knots at uneven times."""
    knots = np.sort(np.concatenate([[0.0, 1.0], generator.random(6)]))
    places = np.cumsum(generator.normal(size=(8, dimensions)), axis=0)
    time = np.linspace(0, 1, exposures)
    curve = np.stack([np.interp(time, knots, column) for column in places.T], axis=1)
    return curve - curve.mean(axis=0)
