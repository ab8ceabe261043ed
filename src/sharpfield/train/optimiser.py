"""The optimiser: Adam with one rate per kind of parameter."""

from __future__ import annotations

from fnmatch import fnmatchcase

import torch
from torch import Tensor, nn

from sharpfield.config import TrainConfig
from sharpfield.model import Model


def build_optimiser(model: Model, config: TrainConfig) -> torch.optim.Adam:
    """Adam over table, heads, motions and Mask CNN; each group remembers its rate as ``base``."""
    rates = {
        "field.*table": config.table_rate,
        "field.*": config.head_rate,
        "blur.mask.*": config.mask_rate,
        "blur.motions.lens.*": config.lens_rate,
        "blur.motions.*": config.blur_rate,
        "blur.small.*": config.blur_rate,
        "blur.correction.*": config.blur_rate,
        "adaptive.*": config.head_rate,
        "tone.*": config.blur_rate,
    }
    members: dict[str, list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        kind = next(pattern for pattern in rates if fnmatchcase(name, pattern))
        members.setdefault(kind, []).append(parameter)
    groups = [
        {"params": parameters, "lr": rates[kind], "base": rates[kind]}
        for kind, parameters in members.items()
    ]
    betas = (0.9, config.beta2)
    return torch.optim.Adam(groups, betas=betas, eps=config.epsilon, fused=True)


def set_rates(optimiser: torch.optim.Optimizer, factor: float) -> None:
    """Set every group's rate to ``factor`` times its base."""
    for group in optimiser.param_groups:
        group["lr"] = group["base"] * factor


def moments(optimiser: torch.optim.Optimizer, model: Model) -> dict[str, Tensor]:
    """Adam's state by parameter name, as checkpoints hold it."""
    return {
        f"{key}/{name}": value
        for name, parameter in model.named_parameters()
        for key, value in optimiser.state.get(parameter, {}).items()
    }


def restore_moments(
    optimiser: torch.optim.Optimizer, model: Model, tensors: dict[str, Tensor]
) -> None:
    """Put the tensors of ``moments`` back; parameters that were never stepped stay without."""
    for name, parameter in model.named_parameters():
        state = {
            key: tensors[f"{key}/{name}"].to(parameter.device)
            for key in ("step", "exp_avg", "exp_avg_sq")
            if f"{key}/{name}" in tensors
        }
        if state:
            optimiser.state[parameter] = state
