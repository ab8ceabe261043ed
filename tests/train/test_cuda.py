"""A GPU computes what the CPU does."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tests.train.small_classic import classic_config
from tests.train.small_scene import small_config, small_scene

from sharpfield.config import BlurName, Config
from sharpfield.train.trainer import Trainer

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")


def trained(config: Config, scene_folder: Path, device: str, steps: int) -> Trainer:
    trainer = Trainer(small_scene(scene_folder), config, torch.device(device))
    trainer.compile()
    for _ in range(steps):
        trainer.step()
    return trainer


@pytest.mark.parametrize("blur", ["none", "sparse", "rigid", "dynamic"])
def test_first_gradients_are_those_of_the_cpu(blur: BlurName, tmp_path: Path) -> None:
    config = small_config(blur)
    config = replace(config, train=replace(config.train, warmup=0.0))
    on_cpu, on_gpu = (trained(config, tmp_path, device, 1).model for device in ("cpu", "cuda"))
    for (name, ours), theirs in zip(on_cpu.named_parameters(), on_gpu.parameters(), strict=True):
        assert (ours.grad is None) == (theirs.grad is None), name
        if ours.grad is not None and theirs.grad is not None:
            largest = float(ours.grad.abs().max())
            torch.testing.assert_close(
                theirs.grad.cpu(), ours.grad, rtol=1e-2, atol=1e-3 * largest + 1e-9, msg=name
            )


@pytest.mark.parametrize("blur", ["none", "rigid", "dynamic"])
def test_training_fits_as_on_the_cpu(blur: BlurName, tmp_path: Path) -> None:
    config = small_config(blur, steps=60)
    on_cpu, on_gpu = (trained(config, tmp_path, device, 60) for device in ("cpu", "cuda"))
    error, same = on_gpu.progress.display_error, on_cpu.progress.display_error
    assert error == pytest.approx(same, rel=0.1)


def test_the_classic_system_trains(tmp_path: Path) -> None:
    trainer = trained(classic_config("dynamic"), tmp_path, "cuda", 3)
    assert trainer.progress.step == 3
