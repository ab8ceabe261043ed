from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from sharpfield.config import HashGridConfig
from sharpfield.fields.hashgrid import HashGridField, spherical_harmonics

CONFIG = HashGridConfig(levels=3, log2_entries=9, coarsest=4, finest=24, depth_ratio=0.5, hidden=16)


def make_field() -> HashGridField:
    torch.manual_seed(0)
    return HashGridField(CONFIG)


def seen_points(samples: int = 40, rays: int = 7) -> tuple[Tensor, Tensor, Tensor]:
    random = torch.Generator().manual_seed(1)
    points = torch.rand(samples, 3, generator=random)
    directions = F.normalize(torch.randn(rays, 3, generator=random), dim=1)
    return points, directions, torch.arange(samples) * rays // samples


def test_shapes_and_ranges() -> None:
    field = make_field()
    seen = field(*seen_points())
    assert seen.density.shape == (40,) and seen.colour.shape == (40, 3)
    assert (seen.density > 0).all()
    assert (seen.colour >= 0).all() and (seen.colour <= 1).all()


def test_density_does_not_depend_on_the_direction_and_colour_does() -> None:
    field = make_field()
    points, directions, ray = seen_points()
    seen, turned = field(points, directions, ray), field(points, -directions.flip(0), ray)
    assert torch.equal(seen.density, turned.density)
    with torch.no_grad():
        assert torch.equal(seen.density, field.density(points))
    assert (seen.colour != turned.colour).any()


def test_each_sample_sees_the_direction_of_its_ray() -> None:
    field = make_field()
    points, directions, ray = seen_points()
    shuffle = torch.randperm(len(points), generator=torch.Generator().manual_seed(2))
    packed, mixed = field(points, directions, ray), field(points[shuffle], directions, ray[shuffle])
    torch.testing.assert_close(mixed.colour, packed.colour[shuffle])
    torch.testing.assert_close(mixed.density, packed.density[shuffle])


def test_density_stays_finite_whatever_the_table_holds() -> None:
    field = make_field()
    with torch.no_grad():
        field.table.mul_(1e6)
    points = seen_points()[0].requires_grad_()
    density = field.density(points)
    assert density.isfinite().all() and (density > 1e3).any()
    density.log1p().sum().backward()
    assert points.grad is not None and points.grad.isfinite().all()


def test_gradients_reach_points_directions_and_all_parameters() -> None:
    field = make_field()
    points, directions, ray = seen_points()
    seen = field(points.requires_grad_(), directions.requires_grad_(), ray)
    (seen.colour.square().sum() + seen.density.sum()).backward()
    for tensor in (points, directions, *field.parameters()):
        assert tensor.grad is not None and tensor.grad.isfinite().all()
        assert tensor.grad.abs().sum() > 0


def test_spherical_harmonics_are_orthogonal_and_have_no_mean() -> None:
    random = torch.Generator().manual_seed(3)
    directions = F.normalize(torch.randn(200_000, 3, generator=random), dim=1)
    values = spherical_harmonics(directions)
    assert values.mean(0).abs().max() < 0.01
    products = values.t() @ values / len(values)
    assert (products - products.diag().diag()).abs().max() < 0.01
    assert products.diag().min() > 0.05
