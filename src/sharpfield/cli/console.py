"""What the command line shows while it works: progress bars with the time left, and warnings."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from sharpfield.train.loop import Report

console = Console()
errors = Console(stderr=True)


def warn(message: str) -> None:
    """Show one line on standard error."""
    errors.print(f"warning: {message}", style="yellow", markup=False, soft_wrap=True)


@contextmanager
def counting(label: str) -> Iterator[Callable[[int, int], None]]:
    """A bar over (done, total)."""
    with _bar() as bar:
        task = bar.add_task(label, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


@contextmanager
def training(label: str) -> Iterator[Callable[[Report], None]]:
    """A bar over training, with the stage and what it costs."""
    with _bar() as bar:
        task = bar.add_task(f"{label}: compiling kernels", total=1.0)

        def observe(report: Report) -> None:
            progress = report.progress
            size = progress.kernel_size
            text = f"{label}: {report.stage}, {size:.1f} rays per pixel, step {progress.step}"
            bar.update(task, completed=report.share_done, description=text)

        yield observe


def _bar() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeRemainingColumn(),
        console=console,
        refresh_per_second=2,
    )
