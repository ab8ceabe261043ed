from __future__ import annotations

import pytest
import torch

from sharpfield.presets import preset
from sharpfield.train.step import photo_loss

LARGE = 0.03


def loss_and_slope(error: float, large: float) -> tuple[float, float]:
    shown = torch.full((2, 3), 0.5 + error, requires_grad=True)
    loss = photo_loss(shown, torch.full((2, 3), 0.5), large)
    loss.backward()
    assert shown.grad is not None
    return loss.item(), shown.grad.sum().item()


@pytest.mark.parametrize(("error", "large"), [(0.3, 0.0), (-0.3, 0.0), (0.02, LARGE)])
def test_errors_that_are_not_above_it_count_by_their_squares(error: float, large: float) -> None:
    loss, slope = loss_and_slope(error, large)
    assert loss == pytest.approx(error**2, rel=1e-4)
    assert slope == pytest.approx(2 * error, rel=1e-4)


@pytest.mark.parametrize("error", [0.05, 0.5, -0.4])
def test_larger_ones_pull_as_much_as_one_at_the_bound(error: float) -> None:
    loss, slope = loss_and_slope(error, LARGE)
    assert loss == pytest.approx(2 * LARGE * abs(error) - LARGE**2, rel=1e-4)
    assert abs(slope) == pytest.approx(2 * LARGE, rel=1e-4)
    assert slope * error > 0, "towards the photo"


def test_the_published_systems_square_all_errors() -> None:
    assert preset("paper").train.large_errors == 0.0 < preset("default").train.large_errors
