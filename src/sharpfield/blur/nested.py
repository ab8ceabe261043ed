"""Kernels of every size, nested: which motions each has open, and who takes the others' weight."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor


def rank_by_size(moved: Float[Tensor, "views motions points"]) -> Int[Tensor, "views ranks"]:
    """Ranks from small to large displacement; rank 0 is the origin, which stands in front."""
    size = F.pad(moved.square().mean(-1), (1, 0), value=-1.0)
    return size.argsort(dim=1, stable=True).argsort(dim=1)


def rank_by_spread(motions: int) -> Int[Tensor, " ranks"]:
    """Ranks such that any first few motions stand for the whole path; rank 0 is the origin.

    The next motion is the one that brings the quadrature rule nearest to the even mean over the
    path, on average over colours that wander along it like Brownian motion.
    """
    place = _places(motions + 1)
    distances = (place[:, None] - place).abs()
    opened = [0]
    while len(opened) <= motions:
        closed = [k for k in range(motions + 1) if k not in opened]
        rules = [_rule([*opened, k], place).mean(1) - 1.0 / (motions + 1) for k in closed]
        # The variance of a weighted sum of such colours, the weights of which sum to zero.
        errors = [float(-(excess @ distances @ excess)) for excess in rules]
        best = min(range(len(closed)), key=lambda i: round(errors[i], 9))
        opened.append(closed[best])
    return torch.tensor(opened).argsort()


def quadrature_weights(
    base: Float[Tensor, "views motions"], rules: Float[Tensor, "sizes motions motions"]
) -> Float[Tensor, "views sizes motions"]:
    """Kernel weights of every size by ``quadrature_rules``."""
    return (base @ rules.flatten(0, 1).T).unflatten(1, rules.shape[:2])


def renormalised_weights(
    base: Float[Tensor, "views motions"], rank: Int[Tensor, "views motions"]
) -> Float[Tensor, "views sizes motions"]:
    """Kernel weights of every size: the base weights of the open motions, made to sum to one."""
    weights = cut_off_weights(base, rank)
    return weights / weights.sum(2, keepdim=True)


def cut_off_weights(
    base: Float[Tensor, "views motions"], rank: Int[Tensor, "views motions"]
) -> Float[Tensor, "views sizes motions"]:
    """The base weights of the open motions at every size; those of closed ones are lost."""
    sizes = torch.arange(1, base.shape[1] + 1, device=base.device)
    return base[:, None] * (rank[:, None] < sizes[:, None])


def quadrature_rules(rank: Int[Tensor, " motions"]) -> Float[Tensor, "sizes motions motions"]:
    """``rules[n - 1, k, j]``: the share of motion j's weight that motion k takes at size n.

    An open motion keeps its weight. A closed one hands it to the open motions before and after
    it on the path, more to the nearer: the trapezoid rule, which keeps the sum and, between the
    outermost open motions, the centre of the smear. Rank 0, the origin, is open at every size.
    """
    order, place = rank.argsort().tolist(), _places(len(rank))
    rules = [_rule(order[:size], place) for size in range(1, len(rank) + 1)]
    return torch.stack(rules).float()


def _places(rays: int) -> Float[Tensor, " motions"]:
    """Where the origin and the motions stand on the path, in [0, 1]."""
    even = (torch.arange(rays - 1, dtype=torch.float64) + 0.5) / (rays - 1)
    return torch.cat([even.new_full((1,), 0.5), even])


def _rule(opened: list[int], place: Float[Tensor, " motions"]) -> Float[Tensor, "motions motions"]:
    """Share of each motion's weight (column) that each motion takes (row)."""
    on_path = place[opened].sort()
    taker = torch.tensor(opened)[on_path.indices]
    after = torch.searchsorted(on_path.values, place, right=True)
    left, right = (after - 1).clamp(min=0), after.clamp(max=len(opened) - 1)
    gap = on_path.values[right] - on_path.values[left]
    share = torch.where(gap > 0, (place - on_path.values[left]) / gap.clamp(min=1e-9), 0.0)
    motion = torch.arange(len(place))
    rule = place.new_zeros(len(place), len(place))
    rule[taker[left], motion] = 1.0 - share
    rule[taker[right], motion] += share
    rule[:, opened] = 0.0
    rule[opened, opened] = 1.0
    return rule
