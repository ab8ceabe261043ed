from __future__ import annotations

import torch

from sharpfield.blur.tone import GAMMA, TOE, gamma_curve, to_linear

LEVELS = torch.cat([torch.linspace(0, 1, 400), torch.linspace(0, 3 * TOE, 400)])
GREYS = LEVELS[:, None].expand(-1, 3)


def test_the_curves_invert_each_other() -> None:
    torch.testing.assert_close(to_linear(gamma_curve(GREYS)), GREYS, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(gamma_curve(to_linear(GREYS)), GREYS, rtol=1e-4, atol=1e-6)


def test_black_and_white_stay_and_grey_follows_the_power_law() -> None:
    ends = torch.tensor([[0.0, 1.0, 0.5]])
    torch.testing.assert_close(gamma_curve(ends), torch.tensor([[0.0, 1.0, 0.5 ** (1 / GAMMA)]]))


def test_the_curves_are_monotone() -> None:
    for curve in (gamma_curve, to_linear):
        assert (curve(torch.linspace(0, 1, 5000)[:, None].expand(-1, 3)).diff(dim=0) > 0).all()
        assert (curve(torch.linspace(0, 3 * TOE, 500)[:, None].expand(-1, 3)).diff(dim=0) > 0).all()


def test_slopes_are_finite_at_black_and_below() -> None:
    """A render may be black; it must stay able to brighten."""
    levels = torch.tensor([[-0.1, -1e-9, 0.0], [1e-12, TOE, 1.0]], requires_grad=True)
    gamma_curve(levels).sum().backward()
    assert levels.grad is not None and levels.grad.isfinite().all()
    assert (levels.grad > 0).all() and levels.grad.max() < 1000


def test_the_toe_meets_the_power_law() -> None:
    around = torch.tensor([[TOE * (1 - 1e-5), TOE, TOE * (1 + 1e-5)]])
    assert gamma_curve(around).diff().abs().max() < 1e-5
