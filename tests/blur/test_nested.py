"""Nested kernels: ranks of motions, and the quadrature rule of every size."""

from __future__ import annotations

import pytest
import torch
from tests.blur.models import RAYS, VIEWS, dynamic, pixels_moved, stir
from torch import Tensor

from sharpfield.blur.nested import (
    quadrature_rules,
    quadrature_weights,
    rank_by_spread,
    renormalised_weights,
)

MOTIONS = (1, 2, 4, 7, 12, 16)


def places(motions: int) -> Tensor:
    """Where the origin and the motions are on the path."""
    return torch.cat([torch.tensor([0.5]), (torch.arange(motions) + 0.5) / motions])


class TestRanks:
    def test_ranks_by_size_order_motions_by_displacement(self) -> None:
        model = dynamic(order="size")
        stir(model)
        poses = model.motion_poses()
        ranks = model.ranks(poses)
        assert (ranks[:, 0] == 0).all()
        moved = pixels_moved(poses)
        for view in range(VIEWS):
            assert sorted(ranks[view].tolist()) == list(range(RAYS))
            in_order = moved[view, ranks[view].argsort()[1:] - 1]
            assert (in_order.diff() >= 0).all()

    def test_ranks_by_spread_sample_the_whole_path(self) -> None:
        model = dynamic()
        ranks = model.ranks(model.motion_poses())
        assert (ranks == ranks[0]).all() and sorted(ranks[0].tolist()) == list(range(RAYS))
        for motions in (4, 7, 12, 16):
            rank = rank_by_spread(motions)
            place = places(motions)[1:]
            for n in (2, 4, 8):
                chosen = place[rank[1:] <= n]
                assert abs(float(chosen.mean()) - 0.5) < 0.13
                assert float(chosen.max() - chosen.min()) > 0.3


@pytest.mark.parametrize("motions", MOTIONS)
class TestQuadratureRules:
    def test_no_weight_is_lost_and_none_goes_to_a_closed_motion(self, motions: int) -> None:
        rank = rank_by_spread(motions)
        rules = quadrature_rules(rank)
        assert (rules >= 0).all()
        torch.testing.assert_close(rules.sum(1), torch.ones(motions + 1, motions + 1))
        for size in range(1, motions + 2):
            assert (rules[size - 1][rank >= size] == 0).all()
            opened = rank < size
            torch.testing.assert_close(
                rules[size - 1][opened][:, opened], torch.eye(size), msg="open ones keep theirs"
            )

    def test_a_straight_ramp_between_the_outermost_open_motions_is_exact(
        self, motions: int
    ) -> None:
        rank, place = rank_by_spread(motions), places(motions)
        for size in range(1, motions + 2):
            opened = place[rank < size]
            held = place.clamp(opened.min(), opened.max())
            ramp = place @ quadrature_rules(rank)[size - 1]
            torch.testing.assert_close(ramp, held)


@pytest.mark.parametrize("motions", [4, 7, 12, 16])
def test_fewer_rays_come_nearer_to_the_whole_smear_than_by_renormalising(motions: int) -> None:
    """An even smear over waves of any phase."""
    rank = rank_by_spread(motions)
    base = torch.full((1, motions + 1), 1.0 / (motions + 1))
    phases = torch.linspace(0.0, 6.0, 20)
    waves = torch.sin(5.0 * places(motions)[:, None] + phases)
    errors = [
        (weights[0] @ waves - base @ waves).square().mean(1).sqrt()
        for weights in (
            quadrature_weights(base, quadrature_rules(rank)),
            renormalised_weights(base, rank[None]),
        )
    ]
    assert errors[0][2:].mean() < 0.5 * errors[1][2:].mean()
    assert errors[0][-1] < 1e-6


def test_closing_renormalises_where_motions_have_no_order_on_a_path() -> None:
    model = dynamic(order="size")
    stir(model)
    base, ranks = model.base_weights(), model.ranks(model.motion_poses())
    weights = model.sized_weights(base, ranks)
    torch.testing.assert_close(weights.sum(2), torch.ones(VIEWS, RAYS))
    opened = base * (ranks < 3)
    torch.testing.assert_close(weights[:, 2], opened / opened.sum(1, keepdim=True))
