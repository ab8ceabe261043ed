"""Trainings of a few steps, and what has to be equal where two are the same."""

from __future__ import annotations

from pathlib import Path

import torch
from tests.train.small_scene import STEPS, small_scene

from sharpfield.config import Config
from sharpfield.scene.scene import Scene
from sharpfield.train.checkpoints import load_checkpoint, save_checkpoint
from sharpfield.train.trainer import Trainer

CPU = torch.device("cpu")


def trained(scene: Scene, config: Config, steps: int) -> Trainer:
    trainer = Trainer(scene, config, CPU)
    for _ in range(steps):
        trainer.step()
    return trainer


def assert_same_training(ours: Trainer, theirs: Trainer) -> None:
    """Every tensor and every number, bit for bit."""
    a, b = ours.tensors(), theirs.tensors()
    assert a.keys() == b.keys()
    assert [name for name in a if not torch.equal(a[name], b[name])] == []
    assert ours.state() == theirs.state()


def assert_resumes(folder: Path, config: Config, step: int) -> None:
    """A run of the small scene that is resumed at ``step`` equals an uninterrupted one."""
    scene = small_scene(folder)
    whole, part = trained(scene, config, STEPS), trained(scene, config, step)
    save_checkpoint(folder, part.progress.step, part.tensors(), part.state())
    resumed = Trainer(scene, config, CPU)
    checkpoint = load_checkpoint(folder, resumed.expected_shapes())
    assert checkpoint is not None
    torch.rand(5)
    resumed.compile()
    resumed.restore(checkpoint)
    assert_same_training(resumed, part)
    for _ in range(STEPS - step):
        resumed.step()
    assert_same_training(resumed, whole)


def assert_everything_learns(folder: Path, config: Config) -> None:
    """No parameter is after the small scene's few steps what it was before.

    But for small kernels: no pixel has come to one yet.
    """
    scene = small_scene(folder)
    before = {k: v.clone() for k, v in Trainer(scene, config, CPU).model.named_parameters()}
    after = dict(trained(scene, config, STEPS).model.named_parameters())
    assert before.keys() == after.keys()
    same = [name for name in before if torch.equal(before[name], after[name])]
    assert [name for name in same if not name.startswith("blur.small.")] == []
