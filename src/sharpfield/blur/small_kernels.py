"""Kernels of fewer rays than the whole one, each with motions and weights of its own."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from sharpfield.blur.lens import disc_points
from sharpfield.blur.motions import Course, centred, positive_weights
from sharpfield.config import BlurConfig
from sharpfield.ops.shaken_poses import Aperture


class SmallPaths(NamedTuple):
    """What small kernels add to the whole ones of each view.

    ``twists`` (radians, scene units) of their motions, kernel after kernel; ``weights`` of every
    size from 1 for the whole kernel's rays and then for those motions, zero where a size does not
    have a ray.
    """

    twists: Float[Tensor, "views nodes 6"]
    weights: Float[Tensor, "views sizes rays"]


class SmallKernels(nn.Module):
    """The origin and 2, 4, ... motions, for pixels that need fewer rays than there are.

    No few of evenly spread rays are spread evenly, but every second or third: to close one leaves a
    gap twice as wide as the others. So each odd number of rays below M + 1 has motions of its own.
    They start between those of the whole kernel, where they cut the smear into equal parts, count
    all alike, and learn where to be from the pixels that have them. As for the whole kernel, their
    weighted mean is zero. There are none for fewer than three motions.
    """

    motion_of: Int[Tensor, " rays"]
    """Which motion of its kernel each ray is, those of the whole kernel in front; 0: the origin."""
    _between: Float[Tensor, "nodes motions"]
    _disc: Float[Tensor, "nodes 2"]
    _place: Int[Tensor, "sizes rays"]

    def __init__(self, motions: int, code_width: int, config: BlurConfig) -> None:
        super().__init__()
        self.sizes = list(range(3, motions + 1, 2))
        self.freedom = config.freedom
        nodes = [size - 1 for size in self.sizes]
        self.free_head = nn.Linear(code_width, 6 * sum(nodes))
        self.weight_head = nn.Linear(code_width, sum(self.sizes))
        self.weight_head.requires_grad_(not config.even_weights)
        for parameter in self.parameters():
            nn.init.zeros_(parameter)
        own = [torch.arange(1, size) for size in self.sizes]
        constants = {
            "motion_of": torch.cat([torch.arange(motions + 1), *own]),
            "_between": torch.cat([between(n, motions) for n in nodes]),
            "_disc": torch.cat([disc_points(n) for n in nodes]),
            "_place": _weight_places(motions, self.sizes),
        }
        for name, value in constants.items():
            self.register_buffer(name, value, persistent=False)

    def forward(self, course: Course, unit: Float[Tensor, " 6"]) -> SmallPaths:
        """The small kernels of views whose whole kernels are ``course``."""
        code = course.code
        free = self.free_head(code).unflatten(1, (-1, 6)) * (self.freedom * unit)
        twists = self._between @ course.twists + free
        logits = self.weight_head(code).split(self.sizes, dim=1)
        own = [positive_weights(of_kernel) for of_kernel in logits]
        nodes = twists.split([size - 1 for size in self.sizes], dim=1)
        twists = torch.cat([centred(*pair) for pair in zip(nodes, own, strict=True)], dim=1)
        none_and_one = code.new_tensor([0.0, 1.0]).expand(len(code), 2)
        known = torch.cat([none_and_one, course.weights, *own], dim=1)
        weights = known.index_select(1, self._place.flatten()).unflatten(1, self._place.shape)
        return SmallPaths(twists, weights)

    def aperture(self, lens: Aperture | None) -> Aperture | None:
        """The lens through which the motions of all kernels pass, each kernel filling it."""
        if lens is None:
            return None
        return lens._replace(points=torch.cat([lens.points, self._disc]))


def between(nodes: int, motions: int) -> Float[Tensor, "nodes motions"]:
    """Means of neighbouring motions that cut a path into equal parts, one of them the origin's.

    Motions are where they cut it with the origin in their middle, and so are the nodes.
    """
    at, known = _shares(nodes), _shares(motions)
    columns = [np.interp(at, known, one) for one in np.eye(motions)]
    return torch.from_numpy(np.stack(columns, axis=1)).float()


def _shares(motions: int) -> np.ndarray:
    """Middles of the parts of [0, 1] that motions stand for, the part of the origin between."""
    parts = (np.arange(motions + 1) + 0.5) / (motions + 1)
    return np.delete(parts, (motions + 1) // 2)


def rays_of_size(size: Float[Tensor, "*pixels"], rays: int) -> Float[Tensor, "*pixels"]:
    """How many rays a pixel of a whole ``size`` has: the next odd number, ``rays`` at most."""
    return (size + (size + 1) % 2).clamp(max=rays)


def _weight_places(motions: int, sizes: list[int]) -> Int[Tensor, "sizes rays"]:
    """Where the weight of a ray of a size stands: in 0, 1, the whole kernel's, the small ones'."""
    rays = motions + 1
    place = torch.zeros(rays, rays + sum(size - 1 for size in sizes), dtype=torch.int64)
    place[0, 0] = 1
    place[sizes[-1] :, :rays] = 2 + torch.arange(rays)
    weight, ray = 2 + rays, rays
    for size in sizes:
        own = place[size - 2 : size]  # of the even size before as well
        own[:, 0] = weight
        own[:, ray : ray + size - 1] = weight + torch.arange(1, size)
        weight, ray = weight + size, ray + size - 1
    return place
