from __future__ import annotations

import pytest
import torch
from torch import Tensor

from sharpfield.geometry.camera import Camera
from sharpfield.geometry.ndc import NEAR_MARGIN, SIDE_MARGIN, NdcCube, to_ndc
from sharpfield.geometry.rays import (
    Rays,
    camera_directions,
    image_points,
    pixel_centres,
    rays_from_poses,
)
from sharpfield.geometry.se3 import exponential

CAMERA = Camera(12, 8, 10.0, 11.0, 6.0, 4.0)
NEAR = 1.0


def forward_facing_poses(count: int = 5) -> Tensor:
    twists = torch.randn(count, 6, generator=torch.Generator().manual_seed(13)) * 0.1
    return exponential(twists)


def world_rays(poses: Tensor) -> Rays:
    """All pixels of all poses."""
    directions = camera_directions(pixel_centres(CAMERA), CAMERA)
    parts = [rays_from_poses(directions, pose.expand(len(directions), 3, 4)) for pose in poses]
    return Rays(
        torch.cat([part.origins for part in parts]), torch.cat([part.directions for part in parts])
    )


def from_ndc(points: Tensor) -> Tensor:
    """World points of points in normalised device coordinates: the inverse of the projection."""
    z = 2 * NEAR / (points[:, 2] - 1)
    x = -points[:, 0] * z * CAMERA.width / (2 * CAMERA.focal_x)
    y = -points[:, 1] * z * CAMERA.height / (2 * CAMERA.focal_y)
    return torch.stack([x, y, z], dim=1)


def test_image_points_are_where_directions_of_any_length_meet_the_image() -> None:
    centres = pixel_centres(CAMERA)
    lengths = torch.linspace(0.1, 9.0, len(centres))[:, None]
    torch.testing.assert_close(
        image_points(lengths * camera_directions(centres, CAMERA), CAMERA), centres
    )


def test_the_ray_through_the_centre_looks_along_minus_z() -> None:
    off_centre = Camera(12, 8, 10.0, 11.0, 5.2, 3.1)
    for camera in (CAMERA, off_centre):
        centre = torch.tensor([[camera.centre_x, camera.centre_y]])
        torch.testing.assert_close(
            camera_directions(centre, camera), torch.tensor([[0.0, 0.0, -1.0]])
        )


def test_right_and_down_in_the_photo() -> None:
    """Camera x points right, y points up; a focal length away is a slope of one."""
    xy = torch.tensor([[6.0 + 10.0, 4.0], [6.0, 4.0 + 11.0]])
    expected = torch.tensor([[1.0, 0.0, -1.0], [0.0, -1.0, -1.0]])
    torch.testing.assert_close(camera_directions(xy, CAMERA), expected)


def test_pixel_centres_go_row_by_row() -> None:
    centres = pixel_centres(CAMERA)
    assert centres.shape == (96, 2)
    assert centres[:2].tolist() == [[0.5, 0.5], [1.5, 0.5]]
    assert centres[12].tolist() == [0.5, 1.5] and centres[-1].tolist() == [11.5, 7.5]


def test_a_scaled_camera_sees_the_same_directions() -> None:
    xy = pixel_centres(CAMERA)
    twice = CAMERA.scaled(24, 16)
    torch.testing.assert_close(camera_directions(xy, CAMERA), camera_directions(2 * xy, twice))


def test_poses_carry_rays_into_the_world() -> None:
    quarter_turn = torch.tensor([[0.0, 0.0, -1.0, 5.0], [0.0, 1.0, 0.0, 6.0], [1.0, 0.0, 0.0, 7.0]])
    rays = rays_from_poses(torch.tensor([[0.0, 0.0, -1.0]]), quarter_turn[None])
    assert rays.origins.tolist() == [[5.0, 6.0, 7.0]]
    assert rays.directions.tolist() == [[1.0, 0.0, 0.0]]
    assert len(rays) == 1 and len(rays[slice(0, 0)]) == 0


def test_ndc_starts_on_the_near_plane_and_ends_at_infinity() -> None:
    rays = world_rays(forward_facing_poses())
    ndc = to_ndc(rays, CAMERA, NEAR)
    ends = ndc.origins + ndc.directions
    torch.testing.assert_close(ndc.origins[:, 2], torch.full((len(rays),), -1.0))
    torch.testing.assert_close(ends[:, 2], torch.ones(len(rays)))
    far = from_ndc((ndc.origins + 0.9999 * ndc.directions).double())
    assert (far[:, 2] < -5000 * NEAR).all()


def test_points_on_an_ndc_ray_lie_on_the_world_ray() -> None:
    rays = world_rays(forward_facing_poses())
    rays = Rays(rays.origins.double(), rays.directions.double())
    ndc = to_ndc(rays, CAMERA, NEAR)
    for t in (0.0, 0.3, 0.9):
        points = from_ndc(ndc.origins + t * ndc.directions)
        along = (points[:, 2] - rays.origins[:, 2]) / rays.directions[:, 2]
        torch.testing.assert_close(points, rays.origins + along[:, None] * rays.directions)
        torch.testing.assert_close(points[:, 2], torch.full_like(along, -NEAR / (1 - t)))


def test_equal_world_points_of_different_views_are_equal_ndc_points() -> None:
    target = torch.tensor([0.4, -0.3, -6.0], dtype=torch.float64)
    origins = forward_facing_poses()[:, :, 3].double()
    ndc = to_ndc(Rays(origins, target - origins), CAMERA, NEAR)
    t = 1 - NEAR / -target[2]
    met = ndc.origins + t * ndc.directions
    torch.testing.assert_close(met, met[:1].expand_as(met))
    torch.testing.assert_close(from_ndc(met), target.expand_as(met))


def make_cube(poses: Tensor) -> NdcCube:
    return NdcCube.around(CAMERA, poses, near=1.5, far=6.0)


def bounds(cube: NdcCube) -> tuple[Tensor, Tensor]:
    low, high = torch.tensor(cube.low), torch.tensor(cube.high)
    return low, high - low


def test_cameras_that_are_apart_make_the_cube_wider_by_their_nearest_parallax() -> None:
    poses = torch.eye(3, 4).repeat(2, 1, 1)
    poses[1, 0, 3] = 0.5
    parallax = CAMERA.focal_x * 0.5 / (NEAR_MARGIN * 1.5) / CAMERA.width  # in photo widths
    margins = 1 + 2 * SIDE_MARGIN
    assert make_cube(poses[:1]).photo_widths == pytest.approx(margins)
    assert make_cube(poses).photo_widths == pytest.approx(margins * (1 + parallax))


def test_the_cube_contains_the_frustums_between_the_depth_bounds() -> None:
    poses = forward_facing_poses()
    low, size = bounds(make_cube(poses))
    corners = torch.cartesian_prod(torch.tensor([0.0, 12.0]), torch.tensor([0.0, 8.0]))
    directions = camera_directions(corners, CAMERA)
    seen = []
    for pose in poses:
        rays = rays_from_poses(directions, pose.expand(4, 3, 4))
        ndc = to_ndc(rays, CAMERA, NEAR)
        for depth in (1.5, 2.5, 6.0):
            t = (1 - 2 * NEAR / depth - ndc.origins[:, 2:]) / ndc.directions[:, 2:]
            seen.append((ndc.origins + t * ndc.directions - low) / size)
    points = torch.cat(seen)
    assert (points > 0).all() and (points < 1).all()
    assert (points[:, :2].amin(0) < 0.15).all() and (points[:, :2].amax(0) > 0.85).all()
    assert points[:, 2].amin() < 0.25 and points[:, 2].amax() > 0.75


def test_rays_cross_the_cube_from_front_to_back() -> None:
    poses = forward_facing_poses()
    inside = make_cube(poses).rays(world_rays(poses))
    torch.testing.assert_close(inside.origins[:, 2], torch.zeros(len(inside)), atol=1e-5, rtol=0)
    ends = inside.origins + inside.directions
    torch.testing.assert_close(ends[:, 2], torch.ones(len(inside)), atol=1e-5, rtol=0)
    for points in (inside.origins, ends):
        assert (points[:, :2] > 0).all() and (points[:, :2] < 1).all()


def test_points_on_a_cube_ray_lie_on_the_world_ray() -> None:
    poses = forward_facing_poses()
    cube, rays = make_cube(poses), world_rays(poses)
    rays = Rays(rays.origins.double(), rays.directions.double())
    inside = cube.rays(rays)
    low, size = (tensor.double() for tensor in bounds(cube))
    for t in (0.0, 0.4, 1.0):
        points = from_ndc((inside.origins + t * inside.directions) * size + low)
        along = (points[:, 2] - rays.origins[:, 2]) / rays.directions[:, 2]
        assert (along > 0).all()
        torch.testing.assert_close(
            points, rays.origins + along[:, None] * rays.directions, rtol=1e-5, atol=1e-5
        )


def test_gradients_flow_from_the_cube_to_the_poses() -> None:
    poses = forward_facing_poses().requires_grad_()
    inside = make_cube(poses.detach()).rays(world_rays(poses))
    (inside.origins + 0.5 * inside.directions).square().sum().backward()
    assert poses.grad is not None and poses.grad.isfinite().all() and poses.grad.abs().sum() > 0
