from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from tests.train.small_scene import small_scene

from sharpfield.config import Config, HashGridConfig, RenderConfig
from sharpfield.model import Model
from sharpfield.presets import preset
from sharpfield.render.marching import MarchingRenderer
from sharpfield.sizes import CELLS_PER_PIXEL, sized_for


@pytest.mark.parametrize(
    ("width", "across", "finest", "log2_entries", "steps", "grid"),
    [
        (60, 1.25, 98, 17, 48, 128),
        (144, 1.25, 234, 17, 48, 144),
        (300, 1.25, 488, 17, 96, 256),
        (300, 2.0, 780, 19, 96, 256),
        (600, 1.25, 975, 19, 128, 256),
        (2400, 1.25, 3900, 20, 128, 256),
    ],
)
def test_sizes_follow_the_photos_width_within_bounds(
    width: int, across: float, finest: int, log2_entries: int, steps: int, grid: int
) -> None:
    sized = sized_for(Config(), width, across)
    assert (sized.hashgrid.finest, sized.hashgrid.log2_entries) == (finest, log2_entries)
    assert (sized.render.steps, sized.render.grid) == (steps, grid)
    assert sized_for(sized, 77, 3.0) == sized, "once known, sizes stay"


def test_a_quick_look_takes_fewer_steps_through_the_same_cells() -> None:
    assert sized_for(preset("fast"), 400, 1.0).render == replace(
        preset("fast").render, steps=100, grid=256
    )


def test_given_sizes_are_kept() -> None:
    given = Config(
        hashgrid=HashGridConfig(finest=50, log2_entries=12), render=RenderConfig(steps=7, grid=9)
    )
    assert sized_for(given, 600, 2.0) == given


def test_a_model_counts_its_cells_over_all_that_its_cameras_see(tmp_path: Path) -> None:
    model = Model(small_scene(tmp_path), Config())
    assert isinstance(model.renderer, MarchingRenderer)
    across = model.renderer.cube.photo_widths
    assert across > 1.2, "the cameras are apart"
    assert model.config.hashgrid.finest == round(CELLS_PER_PIXEL * model.camera.width * across)
