"""What every process of ``test_distributed`` does: one training after the other, in one group."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from tests.train.small_scene import small_config, small_scene

from sharpfield.cli.outcome import exit_code
from sharpfield.config import AdaptiveConfig, Config, HierarchicalConfig, MlpConfig
from sharpfield.train.distributed import Group, joined_group, this_process
from sharpfield.train.loop import Interrupted, Job, train
from sharpfield.train.trainer import Trainer

CPU = torch.device("cpu")
STOPPED_AT = 5
KILLED_AT = 7


def dynamic(checkpoint_every: float = 3600.0) -> Config:
    """Several parts teach the mask: 5 of one process, 6 of two."""
    config = small_config("dynamic", log_every=1, checkpoint_every=checkpoint_every)
    return replace(config, train=replace(config.train, rays_at_once=70))


def mlp() -> Config:
    """All that only the classic model has, in parts that cannot be equal."""
    config = small_config("rigid", log_every=1)
    return replace(
        config,
        scene=replace(config.scene, tone="learn"),
        field_name="mlp",
        mlp=MlpConfig(2, 16, 2, 16, 3, 2, colour_activation="none"),
        hierarchical=HierarchicalConfig(coarse=6, fine=6, density_noise=0.5),
        blur=replace(config.blur, motions_from="network"),
        adaptive=AdaptiveConfig(enabled=True),
        train=replace(config.train, pixels=61, rays_at_once=100, epsilon=1e-8),
    )


def job(run: Path, config: Config, group: Group) -> Job:
    return Job(run, small_scene(run.parent), config, CPU, group)


def quietly(job: Job) -> None:
    train(job, lambda trainer, result: None, lambda message: None)


@contextmanager
def in_the_last_process(step: int, happens: Callable[[], None]) -> Iterator[None]:
    """Have something happen in the middle of a step, before the parameters are moved."""
    original = Trainer._account

    def account(self: Trainer, *arguments: Any) -> None:
        if self.progress.step == step - 1 and this_process().rank == this_process().size - 1:
            happens()
        original(self, *arguments)

    with patch.object(Trainer, "_account", account):
        yield


def trainings(folder: Path) -> int:
    with joined_group(CPU) as group:
        quietly(job(folder / "dynamic", dynamic(), group))
        quietly(job(folder / "mlp", mlp(), group))
        try:
            with in_the_last_process(STOPPED_AT, lambda: signal.raise_signal(signal.SIGINT)):
                quietly(job(folder / "stopped", dynamic(), group))
        except Interrupted as stop:
            (folder / f"stopped_{group.rank}.txt").write_text(str(stop.step))
        with in_the_last_process(KILLED_AT, lambda: os.kill(os.getpid(), signal.SIGKILL)):
            quietly(job(folder / "killed", dynamic(checkpoint_every=0.0), group))
    return 0


def endless(folder: Path) -> int:
    config = dynamic()
    config = replace(config, train=replace(config.train, steps=10**9))
    with joined_group(CPU) as group:
        quietly(job(folder / "endless", config, group))
    return 0


if __name__ == "__main__":
    action = {"trainings": trainings, "endless": endless}[sys.argv[1]]
    sys.exit(exit_code("group_worker", lambda: action(Path(sys.argv[2]))))
