from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from sharpfield.config import HashGridConfig
from sharpfield.fields.hashgrid import HashGridField, TwoLayer, spherical_harmonics

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


@pytest.mark.parametrize("hidden", [16, 64])
def test_heads_start_as_linear_maps(hidden: int) -> None:
    """The first outputs follow the wanted directions, and none of the others does."""
    torch.manual_seed(5)
    first = F.normalize(torch.randn(6, 2), dim=0)
    first[:, 1] -= first[:, 0] * (first[:, 0] @ first[:, 1])
    head = TwoLayer(first, hidden, 5)
    inputs = torch.randn(20, 6)
    with torch.no_grad():
        outputs = F.relu(inputs @ head.w1) @ head.w2
        twice, back = (F.relu(x @ head.w1) @ head.w2 for x in (2 * inputs, -inputs))
        others = F.relu(first.T @ head.w1) @ head.w2
    torch.testing.assert_close(twice, 2 * outputs)
    torch.testing.assert_close(back, -outputs)
    wanted = inputs @ F.normalize(first, dim=0) * (hidden / 12) ** 0.5
    torch.testing.assert_close(outputs[:, :2], wanted, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(others[:, 2:], torch.zeros(2, 3), rtol=0, atol=1e-5)
    assert outputs[:, 2:].abs().mean() > 0.1


def test_an_odd_number_of_hidden_units_and_more_outputs_than_units_are_fine() -> None:
    head = TwoLayer(torch.ones(6, 1), 5, 16)
    assert head.w1.shape == (6, 5) and head.w2.shape == (5, 16)
    assert head.w1.isfinite().all() and head.w2.isfinite().all()


def test_density_starts_on_the_coarse_levels_and_colour_on_all_alike() -> None:
    torch.manual_seed(0)
    field = HashGridField(replace(CONFIG, hidden=64))
    encoded = torch.eye(field.spec.width)

    def response(first: Tensor, second: Tensor, x: Tensor) -> Tensor:
        return (F.relu(x @ first) @ second - F.relu(-x @ first) @ second) / 2

    with torch.no_grad():
        feature = response(field.density_head.w1, field.density_head.w2, encoded)
        seen = F.pad(feature, (0, field.colour_head.w1.shape[0] - feature.shape[1]))
        colour = response(field.colour_head.w1, field.colour_head.w2, seen)
    by_level = feature[:, 0].view(CONFIG.levels, 2)
    torch.testing.assert_close(by_level[1:], by_level[:-1] / 2, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(by_level[:, 0], by_level[:, 1], rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(
        F.normalize(colour, dim=0), F.normalize(feature[:, 1:4], dim=0), rtol=1e-3, atol=1e-4
    )
