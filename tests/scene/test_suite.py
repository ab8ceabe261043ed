from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sharpfield.scene.llff import read_llff
from sharpfield.scene.made_scene import read_truth
from sharpfield.scene.suite import SUITE, SuiteScene
from sharpfield.scene.toy import make_toy_scene


@pytest.fixture
def small_suite() -> dict[str, SuiteScene]:
    """The suite with scenes that are made in a moment."""
    size: dict[str, Any] = {"width": 48, "height": 32, "views": 6, "exposures": 33}
    return {
        name: replace(scene, settings=replace(scene.settings, **size))
        for name, scene in SUITE.items()
    }


def test_scenes_share_a_size_and_differ_in_seed() -> None:
    assert len(SUITE) == 9
    assert len({scene.settings.seed for scene in SUITE.values()}) == 9
    sizes = {(s.settings.width, s.settings.height, s.settings.views) for s in SUITE.values()}
    assert sizes == {(144, 96, 20)}
    assert all("\n" not in scene.description for scene in SUITE.values())


def test_largest_smears_are_as_the_names_say() -> None:
    jagged = SUITE["jagged"].settings
    assert jagged.shake_pixels[1] * jagged.width / 192 > 20
    still = SUITE["defocus"].settings
    assert still.shake_pixels == (0, 0) and still.sharp_fraction == 0


def test_every_scene_reads_as_llff_with_truth(
    small_suite: dict[str, SuiteScene], tmp_path: Path
) -> None:
    for name, suite_scene in small_suite.items():
        make_toy_scene(tmp_path / name, suite_scene.settings)
        scene, truth = read_llff(tmp_path / name), read_truth(tmp_path / name)
        assert truth is not None and truth.paths.shape == (6, 33, 3, 4)
        assert scene.test_indices == (0, 5)
        photos = {view.name: view.photo for view in scene.views}
        for index, (photo, sharp) in enumerate(truth.sharp.items()):
            if index in scene.test_indices:
                assert np.array_equal(photos[photo], sharp)
        assert max(extent.max() for extent in truth.extent.values()) > 1


def test_same_names_same_bytes(small_suite: dict[str, SuiteScene], tmp_path: Path) -> None:
    for name in ("parallax", "noisy-poses"):
        for copy in ("a", "b"):
            make_toy_scene(tmp_path / copy / name, small_suite[name].settings)
    files = [p.relative_to(tmp_path / "a") for p in (tmp_path / "a").rglob("*") if p.is_file()]
    assert len(files) == 2 * (6 * 3 + 4)
    for file in files:
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes()
