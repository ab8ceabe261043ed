"""TensorBoard under ``<tbdir>/<expname>``: the classic scalars, and what the mask decided."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from torch.utils.tensorboard import SummaryWriter

from sharpfield.evaluate.evaluation import Evaluation
from sharpfield.export.maps import KERNEL_COLOURS, colourise, overlay
from sharpfield.files import explaining
from sharpfield.run import Run
from sharpfield.train.step import StepResult

SHOWN_VIEWS = 3
"""Training views whose kernel sizes are shown as pictures."""


class Board:
    """Writes what the classic command line logs; the x axis is the number of finished steps.

    ``step`` is the first to come: what an earlier training wrote from there on is replaced.
    Raises ``InputError`` where ``folder`` cannot be written.
    """

    def __init__(self, folder: Path, step: int) -> None:
        self._folder = folder
        with explaining(folder):
            self._board = SummaryWriter(str(folder), purge_step=step)

    def step(self, step: int, result: StepResult, kernel_size: float) -> None:
        """Numbers of a training step."""
        self._board.add_scalar("Loss", result.loss, step)
        self._board.add_scalar("PSNR", -10.0 * math.log10(max(result.error, 1e-12)), step)
        self._board.add_scalar("Kernel size", kernel_size, step)

    def test(self, step: int, scores: Mapping[str, Evaluation]) -> None:
        """The held-out views, as the papers measure them."""
        evaluation = scores["paper"]
        if not evaluation.views:
            return
        self._board.add_scalar("Test MSE", float(np.mean([v.mse for v in evaluation.views])), step)
        for name in ("psnr", "ssim", "lpips"):
            value = evaluation.mean[name]
            if value is not None:
                self._board.add_scalar(f"Test {name.upper()}", value, step)

    def masks(self, run: Run) -> None:
        """Kernel sizes of all training views as a histogram, of a few as pictures."""
        if run.motions < 2:
            return
        indices = run.scene.train_indices
        sizes = {index: run.kernel_size(index) for index in indices}
        self._board.add_histogram(
            "Kernel sizes", np.concatenate([size.ravel() for size in sizes.values()]), run.step
        )
        for index in indices[:: max(1, len(indices) // SHOWN_VIEWS)][:SHOWN_VIEWS]:
            view = run.scene.views[index]
            coloured = colourise(sizes[index], 1.0, float(run.motions), KERNEL_COLOURS)
            image = overlay(coloured, view.photo)
            self._board.add_image(f"Kernel size/{view.name}", image, run.step, dataformats="HWC")

    def close(self) -> None:
        """Write out what is left. Raises ``InputError`` on a full disk."""
        with explaining(self._folder):
            self._board.close()
