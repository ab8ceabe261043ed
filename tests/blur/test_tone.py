from __future__ import annotations

import torch

from sharpfield.blur.network_motions import last_layer
from sharpfield.blur.tone import GAMMA, TOE, LearnedTone, gamma_curve, to_linear

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


class TestLearned:
    def test_it_is_one_curve_for_all_channels(self) -> None:
        tone, colours = LearnedTone(), torch.randn(4, 5, 3) * 4
        display = tone(colours)
        assert display.shape == colours.shape and (display > 0).all() and (display < 1).all()
        torch.testing.assert_close(tone(colours.flip(-1)), display.flip(-1))
        torch.testing.assert_close(tone(colours[1, 2]), display[1, 2])

    def test_it_starts_near_the_logistic_curve_and_learns_a_tenth_of_its_network(self) -> None:
        tone, colours = LearnedTone(), torch.randn(50, 3)
        torch.testing.assert_close(tone(colours), torch.sigmoid(colours), rtol=0, atol=0.03)
        assert not torch.equal(tone(colours), torch.sigmoid(colours))
        torch.nn.init.zeros_(last_layer(tone.layers).weight)
        torch.nn.init.constant_(last_layer(tone.layers).bias, 5.0)
        torch.testing.assert_close(tone(colours), torch.sigmoid(colours + 0.5))

    def test_it_has_the_published_size_and_every_part_learns(self) -> None:
        tone = LearnedTone()
        assert [p.numel() for p in tone.parameters()] == [16, 16, 256, 16, 256, 16, 16, 1]
        tone(torch.randn(50, 3)).sum().backward()
        for parameter in tone.parameters():
            assert parameter.grad is not None and parameter.grad.abs().sum() > 0
