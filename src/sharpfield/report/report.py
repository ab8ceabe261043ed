"""The report of a run: one HTML file that needs nothing beside it."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml
from jinja2 import Environment, PackageLoader, StrictUndefined

from sharpfield.evaluate.evaluation import Evaluation
from sharpfield.export.maps import ERROR_COLOURS, KERNEL_COLOURS
from sharpfield.files import write_text
from sharpfield.report.cautions import cautions
from sharpfield.report.figures import curve_figure
from sharpfield.report.numbers import decimal, duration, number_table
from sharpfield.report.photos import held_out_cards, training_cards
from sharpfield.report.pictures import legend_gradient, plot
from sharpfield.report.training_curve import read_training_curve
from sharpfield.run import Run
from sharpfield.settings import to_dict


@dataclass(frozen=True)
class Tile:
    """A number that leads the page."""

    value: str
    unit: str
    caption: str


def write_report(
    run: Run, evaluation: Evaluation, baseline: Mapping[str, Evaluation] | None = None
) -> Path:
    """Write RUN/report.html and return its path.

    ``baseline`` are other runs on the same scene by label, such as ``{"none": evaluation}``; they
    join the table, and their renders stand beside the held-out views. Works without a blur model,
    without a truth and without held-out views. Raises ``InputError`` when it cannot be written.
    """
    others = baseline or {}
    label = run.config.blur.model
    own = f"{label} (this run)" if label in others else label
    rows: dict[str, Evaluation] = {own: evaluation, **others}
    curve = read_training_curve(run.folder / "metrics.jsonl")
    environment = Environment(
        loader=PackageLoader("sharpfield", "report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    page = environment.get_template("report.html.j2").render(
        scene=run.scene,
        label=label,
        evaluation=evaluation,
        tiles=_tiles(run, evaluation, others),
        table=number_table(rows),
        training=training_cards(run, evaluation),
        held_out=held_out_cards(run, evaluation, others),
        held_out_count=len(run.scene.test_indices),
        training_count=len(run.scene.train_indices),
        error_name="FLIP error" if evaluation.mean["flip"] is not None else "absolute error",
        curves=plot(curve_figure(curve)) if len(curve.seconds) else None,
        cautions=cautions(run, evaluation, curve, others),
        kernel_gradient=legend_gradient(KERNEL_COLOURS),
        error_gradient=legend_gradient(ERROR_COLOURS),
        duration=duration(run.training_seconds),
        python=platform.python_version(),
        config=yaml.safe_dump(to_dict(run.config), sort_keys=False),
    )
    target = run.folder / "report.html"
    write_text(target, page)
    return target


def _tiles(run: Run, evaluation: Evaluation, others: Mapping[str, Evaluation]) -> list[Tile]:
    tiles = []
    psnr = evaluation.mean["psnr"]
    if psnr is not None:
        tiles.append(Tile(decimal(psnr, 2), "dB", "held-out PSNR"))
        for label, other in others.items():
            rival = other.mean["psnr"]
            if rival is not None:
                tiles.append(Tile(f"{psnr - rival:+.2f}", "dB", f"against “{label}”"))
    mean = evaluation.restored_mean
    if mean is not None:
        gain = mean.psnr - mean.psnr_blurry
        tiles.append(Tile(f"{gain:+.2f}", "dB", "restored photos, against the blurry ones"))
    tiles.append(Tile(decimal(run.rays_per_pixel, 2), f"of {run.motions}", "rays per pixel"))
    if evaluation.kernel_size is not None and evaluation.kernel_size.spearman is not None:
        correlation = decimal(evaluation.kernel_size.spearman, 2)
        tiles.append(Tile(correlation, "", "rank correlation of kernel size and true blur"))
        of_extent = decimal(evaluation.kernel_size.extent_spearman, 2)
        tiles.append(Tile(of_extent, "", "rank correlation of kernel extent and true blur"))
    tiles.append(Tile(duration(run.training_seconds), "", "training"))
    return tiles
