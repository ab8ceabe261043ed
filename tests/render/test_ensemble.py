from __future__ import annotations

import pytest
import torch
from tests.render.test_marching import Wall, make_renderer, rays
from torch import nn

from sharpfield.render.ensemble import TURN, EnsembleRenderer
from sharpfield.render.marching import MarchingRenderer

NEAR, FAR = Wall(0.3), Wall(0.6)
DRAWS = torch.full((24, 1), 0.5)


def test_a_picture_is_the_mean_of_what_the_fields_show() -> None:
    ensemble, alone = EnsembleRenderer(make_renderer() for _ in range(2)), make_renderer()
    seen = ensemble((NEAR, FAR), rays(), None)
    near, far = (alone(wall, rays(), None) for wall in (NEAR, FAR))
    torch.testing.assert_close(seen.colour, (near.colour + far.colour) / 2)
    torch.testing.assert_close(seen.depth, (near.depth + far.depth) / 2)
    assert seen.samples == near.samples + far.samples


@pytest.mark.parametrize("number", [2, 3])
def test_fields_train_in_turns(number: int) -> None:
    ensemble = EnsembleRenderer(make_renderer() for _ in range(number))
    walls = [Wall(0.2 + 0.2 * place) for place in range(number)]
    order = []
    for step in range(2 * number * TURN):
        depth = float(ensemble(walls, rays(), DRAWS).depth.mean())
        order.append(min(range(number), key=lambda n: abs(walls[n].at - depth)))
        ensemble.refresh(walls, torch.Generator(), step, 0.0)
    assert order == [n for n in range(number) for _ in range(TURN)] * 2


def test_each_renderer_is_told_its_own_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """None twice, and none left out: it does things at every so many of them."""
    told: dict[nn.Module, list[int]] = {}

    def refresh(self: MarchingRenderer, field: Wall, _: object, step: int, __: float) -> None:
        assert field is walls[self]
        told.setdefault(self, []).append(step)

    monkeypatch.setattr(MarchingRenderer, "refresh", refresh)
    ensemble = EnsembleRenderer(make_renderer() for _ in range(3))
    walls = dict(zip(ensemble.renderers, (NEAR, FAR, Wall(0.8)), strict=True))
    for step in range(3 * TURN * 4):
        ensemble.refresh(list(walls.values()), torch.Generator(), step, 0.5)
    assert list(told) == list(ensemble.renderers)
    assert all(steps == list(range(TURN * 4)) for steps in told.values())
