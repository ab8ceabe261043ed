"""Several fields that train in turns; a picture is the mean of what they show."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from sharpfield.geometry.rays import Rays
from sharpfield.render.renderer import RayColours, Renderer, mean_picture

TURN = 7
"""Steps that a field trains on end. A prime: what is done at every n-th step reaches all of a few
fields, unless n is a multiple of it."""


class EnsembleRenderer(Renderer):
    """Renders the field whose turn it is, and for pictures all of them.

    What fields make of detail that the photos do not settle is chance, and differs from field to
    field (Lakshminarayanan et al. 2017, "Simple and scalable predictive uncertainty estimation
    using deep ensembles"); their mean has less of it. A step takes as long as that of one field,
    and blur and poses are common to all. Its fields are a ``nn.ModuleList``, one per renderer.
    """

    turn: Int[Tensor, ""]
    """The field that the next training step renders."""

    def __init__(self, renderers: Iterable[Renderer]) -> None:
        super().__init__()
        self.renderers = nn.ModuleList(renderers)
        self.register_buffer("turn", torch.zeros((), dtype=torch.int64))

    def draws(self, rays: int, generator: torch.Generator) -> Float[Tensor, "rays numbers"]:
        return self._renderer(0).draws(rays, generator)

    def __call__(
        self, field: Any, rays: Rays, draws: Float[Tensor, "rays numbers"] | None
    ) -> RayColours:
        if draws is not None:
            turn = int(self.turn)
            return self._renderer(turn)(field[turn], rays, draws)
        return mean_picture([self._renderer(n)(one, rays, None) for n, one in enumerate(field)])

    def lengths(self, rays: Rays, t: Float[Tensor, " rays"]) -> Float[Tensor, " rays"]:
        return self._renderer(0).lengths(rays, t)

    def refresh(self, field: Any, generator: torch.Generator, step: int, share_done: float) -> None:
        """Tell the renderer of the field that has just trained, by that field's own steps."""
        turn, number = int(self.turn), len(self.renderers)
        own_step = step // (TURN * number) * TURN + step % TURN
        self._renderer(turn).refresh(field[turn], generator, own_step, share_done)
        self.turn.fill_((step + 1) // TURN % number)

    def rehearse(self, field: Any) -> None:
        for number, one in enumerate(field):
            self._renderer(number).rehearse(one)

    def _renderer(self, number: int) -> Renderer:
        renderer = self.renderers[number]
        assert isinstance(renderer, Renderer)
        return renderer
