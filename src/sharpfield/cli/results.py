"""What every run ends with: scores, sharp photos and the report."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch

from sharpfield.cli.console import console, counting, warn
from sharpfield.evaluate.evaluation import Evaluation, evaluate, write_evaluation
from sharpfield.export.restored import restore
from sharpfield.report.report import write_report
from sharpfield.run import Run, open_run


def open_and_warn(folder: Path, device: torch.device) -> Run:
    """Open a run and show what was wrong with its checkpoints."""
    warnings: list[str] = []
    run = open_run(folder, device, warnings)
    for message in warnings:
        warn(message)
    return run


def evaluate_run(run: Run, protocol: str = "standard") -> Evaluation:
    """Evaluate with a progress bar, and write RUN/eval."""
    with counting("rendering views") as progress:
        evaluation = evaluate(run, protocol, progress)
    write_evaluation(run, evaluation)
    return evaluation


def write_results(run: Run, others: Mapping[str, Evaluation] | None = None) -> Evaluation:
    """Write RUN/eval, RUN/restored and RUN/report.html; ``others`` join the report's table."""
    evaluation = evaluate_run(run)
    with counting("restoring photos") as progress:
        restore(run, evaluation.restored_photos, progress)
    report = write_report(run, evaluation, others)
    psnr = evaluation.mean["psnr"]
    if psnr is not None:
        console.print(f"held-out views: {psnr:.2f} dB PSNR")
    console.print(f"report: {report}", soft_wrap=True)
    return evaluation
