"""Rigid motions of a camera during the exposure, from a view embedding (DP-NeRF, section 4.1)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from sharpfield.blur.pose_correction import PoseCorrection
from sharpfield.config import BlurConfig
from sharpfield.geometry.camera import Camera
from sharpfield.geometry.rays import camera_directions, image_points
from sharpfield.ops.shaken_poses import Aperture, shaken_poses

HIDDEN = 64

SMALLEST_WEIGHT = 1e-4
"""Added to every weight: whatever gates are closed, the open rays can share the pixel."""

PIXELS_PER_UNIT = 8.0
"""Image displacement of a head output of one: well scaled, Adam's steps are steps in pixels."""

START_FREE = 0.1
"""How far off the path motions start, as a share of its length."""


class ViewKernels(NamedTuple):
    """Camera-to-world poses of all M + 1 motions of each view, and what they count."""

    poses: Float[Tensor, "views motions_and_origin 3 4"]
    weights: Float[Tensor, "views motions_and_origin"]


class Course(NamedTuple):
    """Of each view: its code, what its M + 1 rays count, and where its M motions lead.

    Twists in the frame of the camera, whatever lens is on it: radians, scene units.
    """

    code: Float[Tensor, "views code"]
    weights: Float[Tensor, "views motions_and_origin"]
    twists: Float[Tensor, "views motions 6"]


class Motions(nn.Module, ABC):
    """Per view, M twists and M + 1 weights, all from the view's code; motion 0 is the identity."""

    code_width: int
    encoder: nn.Sequential
    unit: Float[Tensor, " 6"]
    """Radians and scene units that displace the image alike, by `PIXELS_PER_UNIT`."""

    def __init__(self, views: int, config: BlurConfig, camera: Camera, depth: float) -> None:
        super().__init__()
        pixel = 1.0 / camera.focal_x
        unit = torch.tensor([pixel] * 3 + [pixel * depth] * 3) * PIXELS_PER_UNIT
        self.register_buffer("unit", unit, persistent=False)
        self.motions, self.even_weights = config.motions, config.even_weights
        self.embedding = nn.Parameter(torch.randn(views, config.embedding))

    def weights(
        self, code: Float[Tensor, "views code"]
    ) -> Float[Tensor, "views motions_and_origin"]:
        """Base kernel weights, positive and summing to one; all alike, unless a subclass learns."""
        rays = self.motions + 1
        return code.new_full((len(code), rays), 1.0 / rays)

    @abstractmethod
    def path(
        self,
        code: Float[Tensor, "views code"],
        weights: Float[Tensor, "views motions_and_origin"],
    ) -> Float[Tensor, "views motions 6"]:
        """Camera-frame twists of motions 1..M, whatever lens is on it: radians, scene units."""

    def aperture(self) -> Aperture | None:
        """The lens that the camera carries; None: a pinhole."""
        return None

    def code(self) -> Float[Tensor, "views code"]:
        """What the network makes of a view's embedding; ``code_width`` wide."""
        return self.encoder(self.embedding)

    def kernels(
        self, given: Float[Tensor, "views 3 4"], correction: PoseCorrection | None = None
    ) -> ViewKernels:
        """Poses and base weights at once, around the given poses, corrected if need be."""
        course = self.course()
        moved = self.corrected(course, correction)
        return ViewKernels(
            shaken_poses(given, course.twists, self.aperture(), moved), course.weights
        )

    def course(self) -> Course:
        """What a view's embedding says of its exposure."""
        code = self.code()
        weights = self.weights(code)
        return Course(code, weights, self.path(code, weights))

    def corrected(
        self, course: Course, correction: PoseCorrection | None
    ) -> Float[Tensor, "views 6"] | None:
        """Twists that correct the given poses, if need be."""
        return None if correction is None else correction(self._smear(course.twists))

    @torch.no_grad()
    def _smear(self, path: Float[Tensor, "views motions 6"]) -> Float[Tensor, " views"]:
        """About how far a path displaces the image: twice the root mean square, in pixels."""
        size = torch.linalg.vector_norm(path / self.unit, dim=(1, 2))
        return size * (2.0 * PIXELS_PER_UNIT / self.motions**0.5)


class RigidMotions(Motions):
    """Motions along a camera path.

    A twist is a point on a smooth path, a Bezier curve whose control points the view decides,
    plus a free part, so that a path may be jagged. The weighted mean of a view's twists is zero:
    the photo's given pose stays the centre of its exposure, which fixes the gauge between the
    sharp scene and the given poses.
    """

    code_width = HIDDEN
    basis: Float[Tensor, "motions points_and_motions"]
    """From control points and free parts to the motions."""

    def __init__(self, views: int, config: BlurConfig, camera: Camera, depth: float) -> None:
        super().__init__(views, config, camera, depth)
        self.encoder = nn.Sequential(
            nn.Linear(config.embedding, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, HIDDEN), nn.ReLU()
        )
        path = bernstein(config.motions, config.path_points)
        basis = torch.cat([path, config.freedom * torch.eye(config.motions)], dim=1)
        self.register_buffer("basis", basis, persistent=False)
        self.path_head = nn.Linear(HIDDEN, basis.shape[1] * 6)
        self.weight_head = nn.Linear(HIDDEN, config.motions + 1)
        self._start_near_identity(config.start_pixels / PIXELS_PER_UNIT, config.path_points)

    def _start_near_identity(self, spread: float, path_points: int) -> None:
        for layer in self.encoder:
            if isinstance(layer, nn.Linear):
                nn.init.kaiming_normal_(layer.weight)
        nn.init.normal_(self.path_head.weight, std=spread / HIDDEN**0.5)
        with torch.no_grad():
            self.path_head.weight[path_points * 6 :] *= START_FREE
        for zero in (self.weight_head.weight, self.weight_head.bias, self.path_head.bias):
            nn.init.zeros_(zero)

    def weights(
        self, code: Float[Tensor, "views code"]
    ) -> Float[Tensor, "views motions_and_origin"]:
        if self.even_weights:
            return super().weights(code)
        return positive_weights(self.weight_head(code))

    def path(
        self,
        code: Float[Tensor, "views code"],
        weights: Float[Tensor, "views motions_and_origin"],
    ) -> Float[Tensor, "views motions 6"]:
        return centred(self.basis @ self.path_head(code).unflatten(1, (-1, 6)), weights) * self.unit


def positive_weights(logits: Float[Tensor, "views rays"]) -> Float[Tensor, "views rays"]:
    """Weights that sum to one, none of them zero."""
    weights = F.softmax(logits, dim=1) + SMALLEST_WEIGHT
    return weights / weights.sum(1, keepdim=True)


def centred(
    twists: Float[Tensor, "views motions 6"], weights: Float[Tensor, "views motions_and_origin"]
) -> Float[Tensor, "views motions 6"]:
    """Twists less their weighted mean: the given pose is the centre of the exposure."""
    weights = weights[:, None, 1:]
    return twists - weights @ twists / weights.sum(2, keepdim=True)


def bernstein(motions: int, points: int) -> Float[Tensor, "motions points"]:
    """Bernstein polynomials at the middles of ``motions`` equal parts of [0, 1]."""
    s = (torch.arange(motions, dtype=torch.float64) + 0.5) / motions
    degree = points - 1
    columns = []
    binomial = 1.0
    for j in range(points):
        columns.append(binomial * s**j * (1 - s) ** (degree - j))
        binomial *= (degree - j) / (j + 1)
    if not columns:
        return torch.zeros(motions, 0)
    return torch.stack(columns, dim=1).float()


def displacements(
    poses: Float[Tensor, "views motions_and_origin 3 4"], camera: Camera, depth: float
) -> Float[Tensor, "views motions points"]:
    """How far each motion moves the image at nine points of the photo, in pixels.

    That is, from the point to where the unmoved camera sees what the motion has there at ``depth``.
    The points go down the columns of the photo.
    """
    x = torch.tensor([0.0, 0.5, 1.0], device=poses.device) * camera.width
    y = torch.tensor([0.0, 0.5, 1.0], device=poses.device) * camera.height
    places = torch.cartesian_prod(x, y)
    origin, moved = poses[:, :1], poses[:, 1:]
    directions = camera_directions(places, camera).T
    points = depth * moved[..., :3] @ directions + moved[..., 3:] - origin[..., 3:]
    seen = origin[..., :3].transpose(-1, -2) @ points
    return (image_points(seen.transpose(-1, -2), camera) - places).norm(dim=-1)
