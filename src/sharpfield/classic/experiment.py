"""A classic training: what it prints, logs and writes while the ordinary loop trains."""

from __future__ import annotations

import math
from dataclasses import fields
from pathlib import Path

from sharpfield import files
from sharpfield.classic.board import Board
from sharpfield.classic.option_table import OptionTable
from sharpfield.classic.options import ClassicOptions
from sharpfield.classic.outputs import (
    METRICS_FILE,
    metrics_line,
    score,
    write_spiral,
    write_test_set,
)
from sharpfield.cli.console import TrainingBar, console
from sharpfield.config import Config
from sharpfield.run import Run
from sharpfield.scene.scene import Scene
from sharpfield.train.archive import write_archive
from sharpfield.train.step import StepResult
from sharpfield.train.trainer import Trainer


class Experiment:
    """Observes the training loop, and writes into ``<basedir>/<expname>``."""

    def __init__(
        self, options: ClassicOptions, scene: Scene, config: Config, bar: TrainingBar
    ) -> None:
        self.options, self.scene, self.config, self.bar = options, scene, config, bar
        self.folder = options.basedir / options.expname
        self._board: Board | None = None

    def __call__(self, trainer: Trainer, result: StepResult) -> None:
        options, step = self.options, trainer.progress.step
        if self._board is None:
            write_options(options)
            append_metrics(self.folder, options.config_text or _as_text(options))
            self._board = Board(options.tbdir / options.expname, step)
        self.bar(trainer, result)
        if step % options.i_print == 0:
            console.print(_progress_line(trainer, result), highlight=False)
        if step % options.i_tensorboard == 0:
            self._board.step(step, result, trainer.progress.kernel_size)
        if step % options.i_weights == 0 or trainer.share_done >= 1.0:
            write_archive(self.folder, step, trainer.tensors(), trainer.state())
        run = Run(self.folder, self.scene, self.config, trainer.model, trainer.progress)
        if step % options.i_video == 0:
            with self.bar.counting("rendering the spiral") as progress:
                write_spiral(run, options, self.folder, progress)
        if step % options.i_testset == 0:
            self._test(run, self._board)

    def finish(self, seconds: float) -> None:
        """Note how long training took, in all of its sessions."""
        if self._board is not None:
            append_metrics(self.folder, f"TRAINING TIME: {_clock(seconds)}")

    def close(self) -> None:
        """Write out what is left, however training ended."""
        if self._board is not None:
            self._board.close()

    def _test(self, run: Run, board: Board) -> None:
        with self.bar.counting("rendering all views") as progress:
            images = write_test_set(run, self.folder / f"testset_{run.step:06d}", progress)
        scores = score(run, images)
        line = metrics_line(f"iter{run.step}/globalstep{run.step - 1}:", scores)
        append_metrics(self.folder, line)
        console.print(line, highlight=False, soft_wrap=True)
        for note in scores["paper"].notes:
            console.print(note, highlight=False, soft_wrap=True)
        board.test(run.step, scores)
        board.masks(run)


def write_options(options: ClassicOptions) -> None:
    """``args.txt``, every option, and ``config.txt``, the option file where there was one."""
    folder = options.basedir / options.expname
    files.write_text(folder / "args.txt", _as_text(options))
    if options.config_text and not options.render_only:
        files.write_text(folder / "config.txt", options.config_text)


def append_metrics(folder: Path, text: str) -> None:
    """Append to ``test_metrics.txt``. Raises ``InputError`` when it cannot be written."""
    path = folder / METRICS_FILE
    before = path.read_text("utf-8") if path.is_file() else ""
    files.write_text(path, f"{before}{text.rstrip()}\n")


def _as_text(options: ClassicOptions) -> str:
    names = sorted(field.name for field in fields(OptionTable))
    return "".join(f"{name} = {getattr(options, name)}\n" for name in names)


def _progress_line(trainer: Trainer, result: StepResult) -> str:
    psnr = -10.0 * math.log10(max(result.error, 1e-12))
    time = _clock(trainer.progress.seconds)
    return (
        f"[TRAIN] Iter: {trainer.progress.step} Loss: {result.loss:.6f} PSNR: {psnr:.4f} "
        f"TIME: {time}"
    )


def _clock(seconds: float) -> str:
    minutes, second = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{second:02d}"
