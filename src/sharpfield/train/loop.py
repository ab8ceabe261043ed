"""Training into a run folder: resume, checkpoints, logs, interruption."""

from __future__ import annotations

import gc
import json
import math
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch

from sharpfield.config import Config
from sharpfield.errors import InputError
from sharpfield.progress import ignore
from sharpfield.scene.scene import Scene
from sharpfield.settings import to_dict
from sharpfield.train.checkpoints import (
    Checkpoint,
    load_checkpoint,
    remove_checkpoints,
    save_checkpoint,
)
from sharpfield.train.distributed import ALONE, Group
from sharpfield.train.interrupt import HeldInterrupt
from sharpfield.train.memory import peak_memory_bytes
from sharpfield.train.metrics_log import MetricsLog
from sharpfield.train.run_folder import claim_run, content_of, lock_run
from sharpfield.train.step import StepResult
from sharpfield.train.trainer import Progress, Trainer

MAY_CHANGE = frozenset(
    {
        "train.steps",
        "train.time_budget",
        "train.ray_budget",
        "train.log_every",
        "train.checkpoint_every",
        "train.rays_at_once",
        "render.picture_rays",
        "hierarchical.points_at_once",
    }
)
"""Settings that a resumed run may change: its length, which schedules follow, and its memory."""

LONGEST = 50
FIRST_STEPS = 10
"""A step counts at most this many times the mean of those before it, after the first ones."""


class Interrupted(Exception):
    """Training was stopped from the keyboard; the checkpoint of ``step`` is written."""

    def __init__(self, step: int) -> None:
        super().__init__(step)
        self.step = step


Observer = Callable[[Trainer, StepResult], None]
"""Called after every step, between steps: what it takes does not count as training time."""


@dataclass(frozen=True)
class Job:
    """What is trained where: the run folder, its scene and configuration, device and processes.

    ``may_change`` names settings that may differ from those that the run was started with.
    Training goes on from ``start``, else from the run's newest checkpoint. ``anew``: the folder
    may hold anything, and its checkpoints are removed.
    """

    run: Path
    scene: Scene
    config: Config
    device: torch.device
    group: Group = ALONE
    may_change: frozenset[str] = MAY_CHANGE
    start: Checkpoint | None = None
    anew: bool = False


def train(job: Job, observe: Observer, warn: Callable[[str], None]) -> Progress:
    """Train until the budget is spent, going on from the run's newest checkpoint.

    Only the first process writes and observes. Raises ``InputError`` when the folder belongs to
    another scene, configuration or running trainer, ``Interrupted`` after Ctrl-C, both with
    everything written, and ``KeyboardInterrupt`` after a second one within a step, with the
    checkpoints that there were.
    """
    if not job.group.first:
        job.group.wait()
        trainer = _restored(job, ignore)
        _advance(trainer, job, None, ignore)
        return trainer.progress
    with lock_run(job.run, job.anew):
        content = content_of(job.scene)
        claim_run(job.run, to_dict(job.config), job.scene.root, content, job.may_change, job.anew)
        if job.anew:
            remove_checkpoints(job.run)
        job.group.wait()
        trainer = _restored(job, warn)
        if job.anew:  # else older states elsewhere, such as archives, would look like the newest
            _save(trainer, job)
        with MetricsLog(job.run, trainer.progress.step) as log:
            _advance(trainer, job, log, observe)
        return trainer.progress


def _restored(job: Job, warn: Callable[[str], None]) -> Trainer:
    trainer = Trainer(job.scene, job.config, job.device, job.group)
    checkpoint = job.start
    if checkpoint is None and not job.anew:
        checkpoint = load_checkpoint(job.run, trainer.expected_shapes())
    if checkpoint is not None:
        if checkpoint.warning:
            warn(checkpoint.warning)
        trainer.restore(checkpoint)
    _check_same_start(trainer, job)
    if trainer.share_done < 1.0:
        trainer.compile()
    return trainer


def _check_same_start(trainer: Trainer, job: Job) -> None:
    """Processes of several machines may see other folders, or have other versions of torch."""
    if job.group.size == 1:
        return
    digest = zlib.crc32(json.dumps(to_dict(job.config), default=str).encode())
    for _, tensor in sorted(trainer.tensors().items()):
        digest = zlib.crc32(tensor.detach().cpu().numpy().tobytes(), digest)
    rows = job.group.of_all([trainer.progress.step, digest], job.device)
    if any(row != rows[0] for row in rows):
        steps = ", ".join(f"{row[0]:.0f}" for row in rows)
        raise InputError(
            f"{job.run}: the processes start from different states (steps {steps}); give all of "
            "them the same command, and a run folder on a disk that all machines share"
        )


def _advance(trainer: Trainer, job: Job, log: MetricsLog | None, observe: Observer) -> None:
    if trainer.finished:
        return
    try:
        with HeldInterrupt() as interrupt, _settled_memory():
            stopped = _run_steps(trainer, job, log, observe, interrupt)
            if trainer.share_done >= 1.0:
                trainer.finish()
            _save(trainer, job)
            # Ended early, a process would have torchrun end the one that still writes.
            job.group.wait()
    except KeyboardInterrupt:
        if trainer.torn:
            raise
        _save(trainer, job)
        raise Interrupted(trainer.progress.step) from None
    except FloatingPointError as error:
        rate = "table_rate" if job.config.field_name == "hashgrid" else "head_rate"
        raise InputError(
            f"{job.run}: training diverged ({error}); lower --set train.{rate} and start anew"
        ) from error
    if stopped or interrupt.pressed:
        raise Interrupted(trainer.progress.step)


@contextmanager
def _settled_memory() -> Iterator[None]:
    """Within the block, the garbage collector leaves alone what was there before.

    It would look at every object of torch and of the scene again and again, and find nothing.
    """
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def _run_steps(
    trainer: Trainer,
    job: Job,
    log: MetricsLog | None,
    observe: Observer,
    interrupt: HeldInterrupt,
) -> bool:
    """Train to the end, or to the step in which Ctrl-C reached any process; whether it did."""
    saved_at = trainer.progress.seconds
    progress, settings = trainer.progress, trainer.config.train
    stopped = False
    while trainer.share_done < 1.0 and not stopped:
        started = time.perf_counter()
        result = trainer.step()
        elapsed = _without_pause(time.perf_counter() - started, progress)
        every = job.group.of_all([elapsed, float(interrupt.pressed)], job.device)
        progress.seconds += every[0][0]
        stopped = any(row[1] for row in every)
        if log is not None and progress.step % settings.log_every == 0:
            log.write(_record(trainer, result))
        observe(trainer, result)
        if progress.seconds - saved_at > settings.checkpoint_every:
            saved_at = progress.seconds
            _save(trainer, job)
    return stopped


def _without_pause(elapsed: float, progress: Progress) -> float:
    """The seconds of a step that count: a process that was stopped meanwhile (Ctrl-Z) is no slower.

    Else a pause would spend the time budget, and training would end half-done.
    """
    before = progress.step - 1
    if before < FIRST_STEPS:
        return elapsed
    return min(elapsed, LONGEST * progress.seconds / before)


def _save(trainer: Trainer, job: Job) -> None:
    if job.group.first:
        peak = max(trainer.progress.peak_memory_bytes, peak_memory_bytes(trainer.device))
        trainer.progress.peak_memory_bytes = peak
        save_checkpoint(job.run, trainer.progress.step, trainer.tensors(), trainer.state())


def _record(trainer: Trainer, result: StepResult) -> dict[str, float | int]:
    progress = trainer.progress
    return {
        "step": progress.step,
        "seconds": round(progress.seconds, 3),
        "loss": result.loss,
        "psnr": -10.0 * math.log10(max(progress.display_error, 1e-12)),
        "rays_per_pixel": progress.rays_per_pixel,
        "kernel_size": progress.kernel_size,
        "samples_per_second": progress.samples / max(progress.seconds, 1e-9),
    }
