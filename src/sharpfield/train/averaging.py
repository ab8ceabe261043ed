"""The mean of the parameters over the end of training (Polyak and Juditsky 1992)."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

_STEPS = "mean_of_steps"


class ParameterMean:
    """Running mean of a model's parameters.

    A step sees few pixels, so that the parameters wander around the best ones, the farther the
    higher the rates. Their mean does not, and leaves the rates high to the end.
    """

    def __init__(self, model: nn.Module) -> None:
        self._parameters = dict(model.named_parameters())
        self._means: dict[str, Tensor] = {}
        self.steps = 0
        """How many steps it is the mean of."""

    @torch.no_grad()
    def add(self) -> None:
        """Take the present parameters into the mean."""
        self.steps += 1
        if self.steps == 1:
            self._means = {name: tensor.clone() for name, tensor in self._parameters.items()}
        for name, mean in self._means.items():
            mean.lerp_(self._parameters[name], 1.0 / self.steps)

    @torch.no_grad()
    def hand_over(self) -> None:
        """Set the parameters to their mean, if there is one, and forget it."""
        for name, mean in self._means.items():
            self._parameters[name].copy_(mean)
        self.forget()

    def forget(self) -> None:
        """Start the mean anew."""
        self._means, self.steps = {}, 0

    def tensors(self) -> dict[str, Tensor]:
        """What a checkpoint keeps: nothing, or how many steps the mean is of, and the means."""
        if not self._means:
            return {}
        means = {f"mean/{name}": mean for name, mean in self._means.items()}
        return {_STEPS: torch.tensor(self.steps), **means}

    def restore(self, tensors: Mapping[str, Tensor]) -> None:
        """Put ``tensors``, those of a checkpoint, back."""
        self.steps = int(tensors.get(_STEPS, 0))
        self._means = {
            name: tensors[f"mean/{name}"].to(parameter.device)
            for name, parameter in self._parameters.items()
            if f"mean/{name}" in tensors
        }
