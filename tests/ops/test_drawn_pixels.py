"""The numba kernel against its twin; laws of what is drawn stand with the sampler's tests."""

from __future__ import annotations

import pytest
import torch

from sharpfield.ops.drawn_pixels import (
    CELL,
    PixelPool,
    chance_ladder,
    drawn_pixels,
    drawn_pixels_reference,
)

VIEWS, HEIGHT, WIDTH = 5, 18, 27


def pool(textured: float) -> PixelPool:
    """Photos whose last squares stick out on both sides."""
    random = torch.Generator().manual_seed(1)
    photos = torch.rand(VIEWS, HEIGHT, WIDTH, 3, generator=random)
    rows, columns = -(-HEIGHT // CELL), -(-WIDTH // CELL)
    ladder = chance_ladder(torch.rand(VIEWS, rows * columns, generator=random))
    start = torch.rand(4, generator=random, dtype=torch.float64)
    return PixelPool(start, photos, textured, ladder, columns)


@pytest.mark.parametrize("place", [0, 12_345, 10**10])
@pytest.mark.parametrize("textured", [0.0, 0.4, 1.0])
def test_the_kernel_is_its_twin(textured: float, place: int) -> None:
    for shares in (torch.ones(VIEWS), torch.tensor([0.5, 0.0, 3.0, 1 / 3, 0.0])):
        ours = drawn_pixels(pool(textured), place, 2000, shares)
        theirs = drawn_pixels_reference(pool(textured), place, 2000, shares)
        for one, other in zip(ours, theirs, strict=True):
            assert one.dtype == other.dtype and torch.equal(one, other)


def test_none_are_none() -> None:
    assert len(drawn_pixels(pool(0.4), 7, 0, torch.ones(VIEWS)).view) == 0
