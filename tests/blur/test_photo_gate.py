"""Which photos need a kernel, judged by what is seen of them step after step."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from sharpfield.blur.photo_gate import PhotoGate, added_to_fading

VIEWS = 5
EACH = torch.arange(VIEWS)


def gate(share: float = 0.3, tolerance: float = 0.0) -> PhotoGate:
    return PhotoGate(VIEWS, share, tolerance)


def follow(ours: PhotoGate, view: Tensor, change: Tensor) -> None:
    """Pixels that are as far from the photo with the kernel as without."""
    error = torch.zeros(len(view))
    ours.follow(view, change, error, error)


def gain(ours: PhotoGate, view: Tensor, gains: Tensor, left: float = 0.0) -> None:
    """Pixels of a nearly sharp photo whose kernels save so much of an error, and leave the rest."""
    ours.follow(view, torch.full((len(view),), 9e-4), left + gains, torch.full((len(view),), left))


def squares(*changes: float) -> Tensor:
    return torch.tensor(changes) ** 2


def test_a_photo_of_which_nothing_is_known_is_open() -> None:
    ours = gate(tolerance=0.1)
    assert ours.open.all()
    follow(ours, EACH[:0], torch.zeros(0))
    assert ours.open.all()
    follow(ours, EACH[1:], squares(0.01, 0.3, 0.4, 0.5))
    assert ours.open.tolist() == [True, False, True, True, True]


@pytest.mark.parametrize("brightness", [1.0, 0.01])
def test_photos_that_change_far_less_than_usual_close(brightness: float) -> None:
    ours = gate()
    follow(ours, EACH, brightness**2 * squares(0.03, 0.2, 0.3, 0.04, 0.2))
    assert ours.open.tolist() == [False, True, True, False, True]


def test_photos_that_change_alike_all_stay_open() -> None:
    ours = gate()
    follow(ours, EACH, squares(0.002, 0.003, 0.001, 0.004, 0.003))
    assert ours.open.all()


def test_changes_that_nobody_sees_need_no_kernel() -> None:
    ours = gate(tolerance=0.006)
    follow(ours, EACH, squares(0.002, 0.003, 0.001, 0.007, 0.003))
    assert ours.open.tolist() == [False, False, False, True, False]


def test_a_photo_is_judged_by_all_that_was_seen_of_it() -> None:
    """One step sees a few pixels of it, which may be flat."""
    ours = gate()
    follow(ours, EACH, torch.full((VIEWS,), 0.01))
    some = EACH < 2
    for _ in range(3):
        follow(ours, EACH[some], torch.zeros(2))
        assert ours.open.all()
    for _ in range(20):
        follow(ours, EACH[some], torch.zeros(2))
    assert torch.equal(ours.open, ~some)
    for _ in range(20):
        follow(ours, EACH[some], torch.full((2,), 0.01))
    assert ours.open.all()


def test_a_photo_that_its_kernel_explains_better_stays_open_however_little_it_changes() -> None:
    ours, random = gate(), torch.Generator().manual_seed(0)
    follow(ours, EACH, squares(0.03, 0.03, 0.3, 0.3, 0.3))
    assert ours.open.tolist() == [False, False, True, True, True]
    gains = torch.tensor([1e-4, -1e-4]) + 3e-4 * torch.randn(200, 2, generator=random)
    gain(ours, EACH[:2].repeat(200), gains.flatten())
    assert ours.open.tolist() == [True, False, True, True, True]


def test_what_may_be_chance_is_no_gain() -> None:
    ours, random = gate(), torch.Generator().manual_seed(0)
    follow(ours, EACH, squares(0.03, 0.03, 0.3, 0.3, 0.3))
    gain(ours, EACH[:1].repeat(4), torch.tensor([3.0, -1, -1, 3]))
    assert not ours.open[0]
    gains = torch.randn(2000, generator=random)
    for start in range(0, 2000, 20):
        some = gains[start : start + 20]
        gain(ours, torch.ones(20, dtype=torch.int64), some)
    assert not ours.open[1]


@pytest.mark.parametrize(("left", "worthwhile"), [(2e-4, True), (3e-4, False)])
def test_a_gain_that_is_small_beside_what_is_left_is_not_worth_a_kernel(
    left: float, worthwhile: bool
) -> None:
    ours = gate()
    follow(ours, EACH, squares(0.03, 0.3, 0.3, 0.3, 0.3))
    gain(ours, EACH[:1].repeat(400), torch.full((400,), 1e-4), left)
    assert bool(ours.open[0]) == worthwhile


def test_gains_of_long_ago_are_forgotten() -> None:
    ours = gate()
    follow(ours, EACH, squares(0.03, 0.3, 0.3, 0.3, 0.3))
    some = EACH[:1].repeat(100)
    gain(ours, some, torch.full((100,), 1e-4))
    assert ours.open[0]
    for _ in range(30):
        gain(ours, some, torch.full((100,), -1e-5))
    assert not ours.open[0]


def test_pixels_of_a_photo_count_alike_and_older_ones_less() -> None:
    view, values = torch.tensor([2, 2, 0]), torch.tensor([[1.0], [3.0], [5.0]])
    sums = added_to_fading(torch.full((VIEWS, 1), 8.0), view, values, 2)
    assert sums[:, 0].tolist() == [4.0 + 5.0, 8.0, 2.0 + 4.0, 8.0, 8.0]
