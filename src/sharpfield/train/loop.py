"""Training into a run folder: resume, checkpoints, logs, interruption."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from sharpfield.config import Config
from sharpfield.errors import InputError
from sharpfield.scene.scene import Scene
from sharpfield.settings import to_dict
from sharpfield.train.checkpoints import load_checkpoint, save_checkpoint
from sharpfield.train.interrupt import HeldInterrupt
from sharpfield.train.memory import peak_memory_bytes
from sharpfield.train.metrics_log import MetricsLog
from sharpfield.train.run_folder import claim_run, lock_run
from sharpfield.train.trainer import Progress, Trainer

MAY_CHANGE = frozenset(
    {"train.steps", "train.time_budget", "train.log_every", "train.checkpoint_every"}
)
"""Settings that a resumed run may change; schedules then follow the new length."""


class Interrupted(Exception):
    """Training was stopped from the keyboard; the checkpoint of ``step`` is written."""

    def __init__(self, step: int) -> None:
        super().__init__(step)
        self.step = step


@dataclass(frozen=True)
class Report:
    """What an observer sees after a step."""

    progress: Progress
    share_done: float
    loss: float
    stage: str


Observer = Callable[[Report], None]


def train(
    run: Path,
    scene: Scene,
    config: Config,
    device: torch.device,
    observe: Observer,
    warn: Callable[[str], None],
) -> Progress:
    """Train in ``run`` until the budget is spent, going on from its newest checkpoint.

    Raises ``InputError`` when the folder belongs to another scene, configuration or running
    trainer, ``Interrupted`` after Ctrl-C, both with everything written.
    """
    with lock_run(run):
        claim_run(run, to_dict(config), scene.root, MAY_CHANGE)
        trainer = Trainer(scene, config, device)
        checkpoint = load_checkpoint(run, trainer.expected_shapes())
        if checkpoint is not None:
            if checkpoint.warning:
                warn(checkpoint.warning)
            trainer.restore(checkpoint)
        with MetricsLog(run, trainer.progress.step) as log:
            if trainer.share_done < 1.0:
                trainer.compile()
                _advance(trainer, run, log, observe)
        return trainer.progress


def _advance(trainer: Trainer, run: Path, log: MetricsLog, observe: Observer) -> None:
    try:
        with HeldInterrupt() as interrupt:
            _run_steps(trainer, run, log, observe, interrupt)
        _save(trainer, run)
    except KeyboardInterrupt:
        _save(trainer, run)
        raise Interrupted(trainer.progress.step) from None
    except FloatingPointError as error:
        raise InputError(
            f"{run}: training diverged ({error}); lower --set train.table_rate and start anew"
        ) from error


def _run_steps(
    trainer: Trainer, run: Path, log: MetricsLog, observe: Observer, interrupt: HeldInterrupt
) -> None:
    saved_at = trainer.progress.seconds
    while trainer.share_done < 1.0:
        started = time.perf_counter()
        result = trainer.step()
        trainer.progress.seconds += time.perf_counter() - started
        progress = trainer.progress
        stage = trainer.stage()
        if progress.step % trainer.config.train.log_every == 0:
            log.write(_record(trainer, result.loss))
        observe(Report(progress, trainer.share_done, result.loss, stage))
        if progress.seconds - saved_at > trainer.config.train.checkpoint_every:
            saved_at = progress.seconds
            _save(trainer, run)
        if interrupt.pressed:
            raise KeyboardInterrupt


def _save(trainer: Trainer, run: Path) -> None:
    trainer.progress.peak_memory_bytes = peak_memory_bytes(trainer.device)
    save_checkpoint(run, trainer.progress.step, trainer.tensors(), trainer.state())


def _record(trainer: Trainer, loss: float) -> dict[str, float | int]:
    progress = trainer.progress
    return {
        "step": progress.step,
        "seconds": round(progress.seconds, 3),
        "loss": loss,
        "psnr": -10.0 * math.log10(max(progress.display_error, 1e-12)),
        "rays_per_pixel": progress.rays_per_pixel,
        "kernel_size": progress.kernel_size,
        "samples_per_second": progress.samples / max(progress.seconds, 1e-9),
    }
