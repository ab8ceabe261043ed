"""The picture cards of the report: training photos before and after, and held-out views."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8

from sharpfield.evaluate.evaluation import Evaluation
from sharpfield.evaluate.images import from_8bit, to_8bit
from sharpfield.evaluate.metrics import flip_map
from sharpfield.export.maps import ERROR_COLOURS, KERNEL_COLOURS, colourise
from sharpfield.export.restored import restored_photo
from sharpfield.model import middle_depth
from sharpfield.report.figures import motion_figure
from sharpfield.report.motion_paths import centre_displacements
from sharpfield.report.numbers import decimal
from sharpfield.report.pictures import MAP_WIDTH, picture, plot
from sharpfield.run import Run

MOST_PHOTOS = 8
MOST_HELD_OUT = 8


@dataclass(frozen=True)
class TrainingCard:
    """A training photo; images are ``data:`` addresses, None where unknown."""

    name: str
    blurry: str
    restored: str
    true: str | None
    kernel_map: str | None
    found_map: str | None
    extent_map: str | None
    motions: str | None
    facts: tuple[str, ...]


@dataclass(frozen=True)
class HeldOutCard:
    """A held-out view; ``others`` are (caption, render) of the runs compared with."""

    name: str
    photo: str
    render: str
    others: tuple[tuple[str, str], ...]
    error_map: str
    facts: tuple[str, ...]


@dataclass(frozen=True)
class TrainingCards:
    """Cards on common scales: kernel maps from 1 to ``most_rays``, extents 0 to ``most_extent``."""

    cards: tuple[TrainingCard, ...]
    most_rays: int
    most_extent: float


def training_cards(run: Run, evaluation: Evaluation) -> TrainingCards:
    """At most eight training photos: the ones with the largest kernels, and the sharpest one."""
    chosen = _choose(run, evaluation)
    extents = {} if run.truth is None else run.truth.extent
    stems = [Path(run.scene.views[index].name).stem for index in chosen]
    shown = [extents[stem] for stem in stems if stem in extents]
    if run.motions > 1:
        shown += [run.kernel_extent(index) for index in chosen]
    most_extent = max([1.0] + [float(extent.max()) for extent in shown])
    trails = [_trail(run, index) for index in chosen] if run.motions > 1 else []
    reach = max([1.0] + [1.15 * float(np.abs(trail).max()) for trail in trails])
    cards = []
    for number, index in enumerate(chosen):
        trail = trails[number] if trails else None
        extent = extents.get(stems[number])
        cards.append(_training_card(run, evaluation, index, trail, reach, extent, most_extent))
    return TrainingCards(tuple(cards), run.motions, most_extent)


def held_out_cards(
    run: Run, evaluation: Evaluation, baseline: Mapping[str, Evaluation]
) -> tuple[HeldOutCard, ...]:
    """At most eight held-out views, evenly chosen."""
    indices = run.scene.test_indices
    scores = {score.name: score for score in evaluation.views}
    cards = []
    for index in _evenly(indices, MOST_HELD_OUT):
        view = run.scene.views[index]
        image = evaluation.renders[view.name]
        score = scores[view.name]
        others = tuple(
            (f"{label}, {decimal(rival.psnr, 2)} dB", picture(other.renders[rival.name]))
            for label, other in baseline.items()
            for rival in other.views
            if rival.name == view.name
        )
        facts = [f"{decimal(score.psnr, 2)} dB", f"SSIM {decimal(score.ssim, 3)}"]
        if score.flip is not None:
            facts.append(f"FLIP {decimal(score.flip, 3)}")
        error = _error_map(from_8bit(image), view.photo)
        cards.append(
            HeldOutCard(
                name=view.name,
                photo=picture(to_8bit(view.photo)),
                render=picture(image),
                others=others,
                error_map=picture(error),
                facts=tuple(facts),
            )
        )
    return tuple(cards)


def _training_card(
    run: Run,
    evaluation: Evaluation,
    index: int,
    trail: Float[np.ndarray, "motions 2"] | None,
    reach: float,
    extent: Float[np.ndarray, "height width"] | None,
    most_extent: float,
) -> TrainingCard:
    view = run.scene.views[index]
    sharp = None if run.truth is None else run.truth.sharp.get(view.name)
    kernel_map = found_map = extent_map = motions = None
    facts = [
        f"{decimal(score.psnr_blurry, 1)} → {decimal(score.psnr, 1)} dB"
        for score in evaluation.restored
        if score.name == view.name
    ]
    if trail is not None:
        size = run.kernel_size(index)
        found = run.kernel_extent(index)
        facts.append(f"{size.mean():.1f} rays per pixel over {found.mean():.1f} px")
        kernel_map = _map(size, 1.0, float(run.motions))
        found_map = _map(found, 0.0, most_extent)
        motions = plot(motion_figure(trail, run.weights(index), reach))
    if extent is not None:
        extent_map = _map(extent, 0.0, most_extent)
        facts.append(f"true blur {extent.mean():.1f} px")
    return TrainingCard(
        name=view.name,
        blurry=picture(to_8bit(view.photo)),
        restored=picture(restored_photo(run, index, evaluation.restored_photos)),
        true=None if sharp is None else picture(to_8bit(sharp)),
        kernel_map=kernel_map,
        found_map=found_map,
        extent_map=extent_map,
        motions=motions,
        facts=tuple(facts),
    )


def _choose(run: Run, evaluation: Evaluation) -> tuple[int, ...]:
    indices = run.scene.train_indices
    if evaluation.kernel_size is None or len(indices) <= MOST_PHOTOS:
        return _evenly(indices, MOST_PHOTOS)
    sizes = {view.name: view.mean_size for view in evaluation.kernel_size.views}
    ordered = sorted(indices, key=lambda index: -sizes[run.scene.views[index].name])
    return (*ordered[: MOST_PHOTOS - 1], ordered[-1])


def _evenly(indices: tuple[int, ...], most: int) -> tuple[int, ...]:
    if len(indices) <= most:
        return indices
    return tuple(indices[i] for i in np.linspace(0, len(indices) - 1, most).round().astype(int))


def _trail(run: Run, index: int) -> Float[np.ndarray, "motions 2"]:
    camera = run.scene.views[index].camera
    return centre_displacements(camera, run.motion_poses(index), middle_depth(run.scene))


def _map(values: Float[np.ndarray, "height width"], low: float, high: float) -> str:
    return picture(colourise(values, low, high, KERNEL_COLOURS), MAP_WIDTH)


def _error_map(
    render: Float[np.ndarray, "height width 3"], photo: Float[np.ndarray, "height width 3"]
) -> UInt8[np.ndarray, "height width 3"]:
    error = flip_map(render, photo)
    if error is None:
        error = np.abs(render - photo).mean(axis=-1)
    return colourise(error, 0.0, 1.0, ERROR_COLOURS)
