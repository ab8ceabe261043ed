from __future__ import annotations

import pytest
import torch
from torch import Tensor

from sharpfield.fields.field import FieldSamples
from sharpfield.geometry.camera import Camera
from sharpfield.geometry.ndc import NdcCube
from sharpfield.geometry.rays import Rays, camera_directions, pixel_centres, rays_from_poses
from sharpfield.render.marching import (
    EXPLORING,
    SETTLED,
    SETTLED_STEPS,
    MarchingRenderer,
)

CAMERA = Camera(6, 4, 5.0, 5.0, 3.0, 2.0)
POSE = torch.eye(3, 4)
STEPS = 40
FRONT = torch.tensor([0.9, 0.1, 0.2])
BACK = torch.tensor([0.0, 0.3, 0.8])


class Wall:
    """Empty in front of a plane of the cube, dense behind; the very back has another colour."""

    def __init__(self, at: float, density: float = 1e5) -> None:
        self.at, self.behind = at, density

    def density(self, points: Tensor) -> Tensor:
        return torch.where(points[:, 2] >= self.at, self.behind, 0.0)

    def __call__(self, points: Tensor, view_directions: Tensor, ray: Tensor) -> FieldSamples:
        torch.testing.assert_close(view_directions.norm(dim=1), torch.ones(len(view_directions)))
        colour = torch.where((points[:, 2] < 0.95)[:, None], FRONT, BACK)
        return FieldSamples(self.density(points), colour)


def rays() -> Rays:
    directions = camera_directions(pixel_centres(CAMERA), CAMERA)
    return rays_from_poses(directions, POSE.expand(len(directions), 3, 4))


def make_renderer(grid: tuple[int, int, int] = (8, 8, 8)) -> MarchingRenderer:
    cube = NdcCube.around(CAMERA, POSE[None], near=1.5, far=6.0)
    return MarchingRenderer(cube, grid, STEPS)


def test_a_wall_is_seen_where_it_stands() -> None:
    renderer = make_renderer()
    seen = renderer(Wall(0.5), rays(), None)
    torch.testing.assert_close(seen.colour, FRONT.expand(24, 3))
    assert ((seen.depth - 0.5).abs() <= 1 / STEPS).all()


def test_empty_space_shows_the_far_plane() -> None:
    renderer = make_renderer()
    seen = renderer(Wall(2.0), rays(), None)
    torch.testing.assert_close(seen.colour, BACK.expand(24, 3))
    assert (seen.depth > 1 - 1.01 / STEPS).all()


def test_offsets_place_the_samples() -> None:
    renderer = make_renderer()
    shallow = renderer(Wall(0.0), rays(), torch.zeros(24, 1)).depth
    deep = renderer(Wall(0.0), rays(), torch.full((24, 1), 0.9)).depth
    torch.testing.assert_close(shallow, torch.zeros(24))
    torch.testing.assert_close(deep, torch.full((24,), 0.9 / STEPS))


def test_a_picture_is_what_training_sees_in_the_mean() -> None:
    """Nearer to it than samples in one place of their steps, wherever in a step a surface lies."""
    renderer = make_renderer()
    places = (torch.arange(32) + 0.5) / 32
    off_picture = off_middle = 0.0
    for part in range(8):
        wall = Wall(0.4 + part / (8 * STEPS), 3.0)
        seen = [renderer(wall, rays(), place.expand(24, 1)).colour for place in places]
        trained = torch.stack(seen).mean(0)
        picture = renderer(wall, rays(), None).colour
        middle = renderer(wall, rays(), torch.full((24, 1), 0.5)).colour
        off_picture += float((picture - trained).square().sum())
        off_middle += float((middle - trained).square().sum())
    assert off_picture < 0.4 * off_middle


def test_the_offsets_of_neighbouring_rays_fill_a_step_evenly() -> None:
    renderer, generator = make_renderer(), torch.Generator().manual_seed(0)
    first, second = (renderer.draws(1000, generator)[:, 0] for _ in range(2))
    assert not torch.equal(first, second)
    for five in (first[:5], first[331:336], second[-5:]):
        gaps = torch.diff(five.sort().values, append=five.min()[None] + 1.0)
        assert gaps.min() > 0.1 and gaps.max() < 0.4
    assert first.mean() == pytest.approx(0.5, abs=2e-3)
    assert (first >= 0).all() and (first <= 1).all()


def test_a_medium_dims_by_the_way_through_it() -> None:
    """Beer and Lambert: lengths are lengths in the cube."""
    renderer = make_renderer()
    density = 1.3
    seen = renderer(Wall(0.0, density), rays(), None)
    inside = renderer.cube.rays(rays())
    way = inside.directions.norm(dim=1) * round(0.95 * STEPS) / STEPS
    through = torch.exp(-density * way)[:, None]
    torch.testing.assert_close(
        seen.colour, (1 - through) * FRONT + through * BACK, rtol=1e-4, atol=1e-4
    )


def test_what_the_grid_knows_to_be_empty_is_not_sampled() -> None:
    renderer = make_renderer()
    middle = torch.full((24, 1), 0.5)
    everything = renderer(Wall(0.5), rays(), middle)
    assert everything.samples == 24 * STEPS
    renderer.occupancy.density.zero_()
    renderer.occupancy.density[:, :, 4:] = 10.0
    half = renderer(Wall(0.5), rays(), middle)
    assert half.samples == 24 * STEPS // 2
    torch.testing.assert_close(half.colour, everything.colour)
    torch.testing.assert_close(half.depth, everything.depth)


def test_everything_is_sampled_until_it_was_looked_at_and_then_only_what_is_there() -> None:
    renderer = make_renderer()
    wall, generator, middle = Wall(0.5), torch.Generator().manual_seed(0), torch.full((24, 1), 0.5)
    assert renderer(wall, rays(), middle).samples == 24 * STEPS
    for step in range(64):
        renderer.refresh(wall, generator, step, 0.0)
    assert renderer(wall, rays(), middle).samples < 24 * STEPS // 2


def test_fog_is_sampled_until_shapes_have_settled() -> None:
    renderer, wall, middle = make_renderer(), Wall(2.0), torch.full((24, 1), 0.5)
    step_length = renderer.cube.rays(rays()).directions.norm(dim=1) / STEPS
    fog = (EXPLORING.thin * SETTLED.thin) ** 0.5
    renderer.occupancy.density.fill_(fog / float(step_length.mean()))
    sampled = []
    for step, share_done in ((1, 1.0), (SETTLED_STEPS + 1, 0.0), (SETTLED_STEPS + 1, 1.0)):
        renderer.refresh(wall, torch.Generator(), step, share_done)
        sampled.append(renderer(wall, rays(), middle).samples)
    assert sampled == [24 * STEPS, 24 * STEPS, 24]
    resumed = make_renderer()
    resumed.load_state_dict(renderer.state_dict())
    assert resumed(wall, rays(), middle).samples == 24


def test_after_the_start_refreshes_cost_the_same_whatever_the_size_of_the_grid() -> None:
    class Counting(Wall):
        points = 0

        def density(self, points: Tensor) -> Tensor:
            self.points += len(points)
            return super().density(points)

    def evaluations(grid: tuple[int, int, int], start: int) -> int:
        renderer, wall = make_renderer(grid), Counting(0.5)
        for step in range(start, start + 128):
            renderer.refresh(wall, torch.Generator(), step, 0.0)
        return wall.points

    small, large = (96, 96, 48), (192, 192, 96)
    assert evaluations(large, start=0) == 8 * evaluations(small, start=0)
    assert evaluations(large, start=256) == 8 * evaluations(small, start=256), "384 steps for 192"
    assert evaluations(large, start=1024) == evaluations(small, start=1024)


def test_gradients_reach_the_rays() -> None:
    renderer = make_renderer()
    given = rays()
    origins, directions = given.origins.clone().requires_grad_(), given.directions.clone()

    class Ramp(Wall):
        def __call__(self, points: Tensor, view_directions: Tensor, ray: Tensor) -> FieldSamples:
            return FieldSamples(points[:, 0] + 1.0, points)

    seen = renderer(Ramp(0.0), Rays(origins, directions), None)
    seen.colour.square().sum().backward()
    assert origins.grad is not None and origins.grad.isfinite().all()
    assert (origins.grad != 0).any(dim=0).all()
