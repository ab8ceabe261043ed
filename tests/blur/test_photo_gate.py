"""Which photos need a kernel, judged by what is seen of them step after step."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from sharpfield.blur.photo_gate import PhotoGate, mean_per_view

VIEWS = 5
EACH = torch.arange(VIEWS)


def gate(share: float = 0.3, tolerance: float = 0.0) -> PhotoGate:
    return PhotoGate(VIEWS, share, tolerance)


def squares(*changes: float) -> Tensor:
    return torch.tensor(changes) ** 2


def test_a_photo_of_which_nothing_is_known_is_open() -> None:
    ours = gate(tolerance=0.1)
    assert ours.open.all()
    ours.follow(EACH[:0], torch.zeros(0))
    assert ours.open.all()
    ours.follow(EACH[1:], squares(0.01, 0.3, 0.4, 0.5))
    assert ours.open.tolist() == [True, False, True, True, True]


@pytest.mark.parametrize("brightness", [1.0, 0.01])
def test_photos_that_change_far_less_than_usual_close(brightness: float) -> None:
    ours = gate()
    ours.follow(EACH, brightness**2 * squares(0.03, 0.2, 0.3, 0.04, 0.2))
    assert ours.open.tolist() == [False, True, True, False, True]


def test_photos_that_change_alike_all_stay_open() -> None:
    ours = gate()
    ours.follow(EACH, squares(0.002, 0.003, 0.001, 0.004, 0.003))
    assert ours.open.all()


def test_changes_that_nobody_sees_need_no_kernel() -> None:
    ours = gate(tolerance=0.006)
    ours.follow(EACH, squares(0.002, 0.003, 0.001, 0.007, 0.003))
    assert ours.open.tolist() == [False, False, False, True, False]


def test_a_photo_is_judged_by_all_that_was_seen_of_it() -> None:
    """One step sees a few pixels of it, which may be flat."""
    ours = gate()
    ours.follow(EACH, torch.full((VIEWS,), 0.01))
    some = EACH < 2
    for _ in range(3):
        ours.follow(EACH[some], torch.zeros(2))
        assert ours.open.all()
    for _ in range(12):
        ours.follow(EACH[some], torch.zeros(2))
    assert torch.equal(ours.open, ~some)
    for _ in range(3):
        ours.follow(EACH[some], torch.full((2,), 0.01))
    assert ours.open.all()


def test_pixels_of_a_photo_count_alike() -> None:
    seen, mean = mean_per_view(torch.tensor([1.0, 3.0, 5.0]), torch.tensor([2, 2, 0]), VIEWS)
    assert seen.tolist() == [True, False, True, False, False]
    assert mean.tolist() == [5.0, 0.0, 2.0, 0.0, 0.0]
