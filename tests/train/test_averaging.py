from __future__ import annotations

import torch
from torch import nn

from sharpfield.train.averaging import ParameterMean


def wandering_model() -> nn.Linear:
    torch.manual_seed(0)
    return nn.Linear(3, 2)


def wander(model: nn.Module, mean: ParameterMean, steps: int) -> list[torch.Tensor]:
    """The weights after each of ``steps`` random steps, all of them taken into the mean."""
    seen = []
    for _ in range(steps):
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(torch.randn(parameter.shape))
        mean.add()
        seen.append(next(model.parameters()).detach().clone())
    return seen


def test_the_parameters_become_the_mean_of_all_steps() -> None:
    model = wandering_model()
    mean = ParameterMean(model)
    seen = wander(model, mean, 7)
    mean.hand_over()
    torch.testing.assert_close(model.weight.detach(), torch.stack(seen).mean(0))
    assert not mean.tensors()


def test_without_steps_the_parameters_stay() -> None:
    model = wandering_model()
    before = model.weight.detach().clone()
    ParameterMean(model).hand_over()
    assert torch.equal(model.weight, before)


def test_a_second_mean_knows_nothing_of_the_first() -> None:
    model = wandering_model()
    mean = ParameterMean(model)
    wander(model, mean, 3)
    mean.hand_over()
    seen = wander(model, mean, 4)
    mean.hand_over()
    torch.testing.assert_close(model.weight.detach(), torch.stack(seen).mean(0))


def test_a_restored_mean_goes_on() -> None:
    model = wandering_model()
    mean = ParameterMean(model)
    seen = wander(model, mean, 3)
    restored = ParameterMean(model)
    restored.restore({name: tensor.clone() for name, tensor in mean.tensors().items()})
    seen += wander(model, restored, 2)
    restored.hand_over()
    torch.testing.assert_close(model.weight.detach(), torch.stack(seen).mean(0))
