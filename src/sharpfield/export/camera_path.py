"""Which poses a video goes through: a named path, or one that the user wrote down."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from jaxtyping import Float

from sharpfield.errors import InputError
from sharpfield.export.coordinates import transform_poses
from sharpfield.geometry.paths import epi, interpolate, spiral
from sharpfield.geometry.spherical import orbit
from sharpfield.scene.scene import Scene

_ORTHONORMAL_TOLERANCE = 1e-3


def camera_path(
    scene: Scene,
    kind: str,
    count: int = 120,
    *,
    focus_scale: float = 1.0,
    radius_scale: float = 1.0,
) -> Float[np.ndarray, "frames 3 4"]:
    """The poses of a video in scene units: a named path, or a JSON file.

    ``spiral``, ``interpolate``, ``epi`` (a slide to the right) and ``orbit`` (around what the
    cameras look at) give ``count`` poses, ``views`` the pose of every view in order, a file its
    own poses (see ``read_path``). ``focus_scale`` moves the point that the spiral looks at,
    ``radius_scale`` widens spiral and slide. Raises ``InputError`` for anything else, and for an
    orbit where the cameras look at no common point.
    """
    poses = np.stack([view.pose for view in scene.views]).astype(np.float64)
    if kind == "spiral":
        return spiral(
            poses,
            scene.near,
            scene.far,
            count,
            focus_scale=focus_scale,
            radius_scale=radius_scale,
        )
    if kind == "epi":
        return epi(poses, count, radius_scale)
    if kind == "orbit":
        try:
            return orbit(poses, count)
        except ValueError as error:
            raise InputError(
                f"--path orbit: needs cameras that look at one point, but {error}; use spiral"
            ) from None
    if kind == "interpolate":
        return interpolate(poses, count)
    if kind == "views":
        return poses
    if kind.endswith(".json"):
        return transform_poses(read_path(Path(kind)), scene.from_input.astype(np.float64))
    raise InputError(
        f"--path {kind}: no such path; use spiral, interpolate, views, epi, orbit or a .json file"
    )


def read_path(path: Path) -> Float[np.ndarray, "frames 3 4"]:
    """Camera-to-world poses from a JSON file, in the coordinates of the scene's input files.

    The file holds a list of 3x4 or 4x4 matrices, or ``{"poses": [...]}``; OpenGL axes (x right,
    y up, z back). Raises ``InputError`` when it is missing, is no such JSON, or a matrix has the
    wrong shape, a value that is not finite, or axes that are not orthonormal.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"--path {path}: no such file; name an existing JSON file") from None
    except OSError as error:
        raise InputError(f"--path {path}: cannot be read ({error.strerror})") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: is not JSON ({error}); correct the file") from error
    matrices = content.get("poses") if isinstance(content, dict) else content
    if not isinstance(matrices, list) or not matrices:
        raise InputError(f'{path}: holds no poses; give a list of matrices or {{"poses": [...]}}')
    return np.stack([_pose(path, number, matrix) for number, matrix in enumerate(matrices)])


def _pose(path: Path, number: int, matrix: object) -> Float[np.ndarray, "3 4"]:
    where = f"{path}: pose {number}"
    try:
        values = np.array(matrix, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        raise InputError(f"{where} is not a matrix of numbers; give 3x4 or 4x4") from None
    if values.shape not in ((3, 4), (4, 4)):
        raise InputError(f"{where} has the shape {values.shape}; give 3x4 or 4x4")
    if not np.isfinite(values).all():
        raise InputError(f"{where} holds a value that is not finite; correct it")
    axes = values[:3, :3]
    deviation = np.abs(axes.T @ axes - np.eye(3)).max()
    if deviation > _ORTHONORMAL_TOLERANCE or np.linalg.det(axes) < 0:
        raise InputError(f"{where} is not a rotation with a position; give camera-to-world poses")
    return values[:3]
