"""What the command line shows while it works: progress bars with the time left, and warnings."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from sharpfield.progress import OnProgress
from sharpfield.train.step import StepResult
from sharpfield.train.trainer import Trainer

console = Console(markup=False)  # brackets in paths are no markup
errors = Console(stderr=True, markup=False)


def warn(message: str) -> None:
    """Show one line on standard error."""
    errors.print(f"warning: {message}", style="yellow", soft_wrap=True)


@contextmanager
def counting(label: str, stays: bool = True) -> Iterator[OnProgress]:
    """A bar over (done, total), which ``stays`` when all is done or vanishes."""
    with _bar(stays) as bar:
        yield _counter(bar, label)


class TrainingBar:
    """A bar over training, with the stage and what it costs; an observer of the training loop."""

    def __init__(self, bar: Progress, label: str) -> None:
        self._bar, self._label = bar, label
        self._task = bar.add_task(f"{label}: compiling kernels", total=1.0)

    def __call__(self, trainer: Trainer, result: StepResult) -> None:
        step, size = trainer.progress.step, trainer.progress.kernel_size
        text = f"{self._label}: {trainer.stage()}, {size:.1f} rays per pixel, step {step}"
        self._bar.update(self._task, completed=trainer.share_done, description=text)

    @contextmanager
    def counting(self, label: str) -> Iterator[OnProgress]:
        """A second bar, over (done, total), while training waits."""
        tasks = len(self._bar.task_ids)
        yield _counter(self._bar, label)
        self._bar.remove_task(self._bar.task_ids[tasks])


@contextmanager
def training(label: str) -> Iterator[TrainingBar]:
    """A bar over training."""
    with _bar() as bar:
        yield TrainingBar(bar, label)


class RowsBar:
    """A bar over the rows of a benchmark, which moves while they train."""

    def __init__(self, bar: Progress, rows: int) -> None:
        self._bar, self._shares = bar, dict[object, float]()
        self._task = bar.add_task("rows", total=rows)

    def advance(self, row: object, share: float) -> None:
        """So much of ``row`` is trained."""
        self._shares[row] = share
        done = sum(self._shares.values())
        self._bar.update(self._task, completed=done, description=str(row))

    def finish(self, row: object) -> None:
        """``row`` is done."""
        self.advance(row, 1.0)


@contextmanager
def rows_bar(rows: int) -> Iterator[RowsBar]:
    """A bar over the rows of a benchmark."""
    with _bar() as bar:
        yield RowsBar(bar, rows)


def _counter(bar: Progress, label: str) -> OnProgress:
    task = bar.add_task(label, total=None)
    return lambda done, total: bar.update(task, completed=done, total=total)


def _bar(stays: bool = True) -> Progress:
    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TaskProgressColumn(),
        TimeRemainingColumn(),
        console=console,
        refresh_per_second=2,
        transient=not stays,
    )
