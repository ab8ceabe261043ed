"""What the trained model makes of a photo, and what it gives back of it sharp."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from tests.train.small_scene import CAMERA, small_config, small_scene

from sharpfield.blur.dynamic import DynamicBlur
from sharpfield.blur.motions import RigidMotions
from sharpfield.config import BlurName, Config
from sharpfield.fields.hashgrid import HashGridField
from sharpfield.geometry.rays import camera_directions, pixel_centres, rays_from_poses
from sharpfield.model import Model
from sharpfield.run import Run
from sharpfield.settings import with_overrides
from sharpfield.train.trainer import Progress

VIEW = 3
MODELS: tuple[BlurName, ...] = ("none", "rigid", "dynamic", "sparse")


def untrained_run(folder: Path, config: Config, picture_rays: int = 4096) -> Run:
    """With random contents of the field that can be seen."""
    scene = small_scene(folder)
    torch.manual_seed(3)
    changed = with_overrides(config, [f"render.picture_rays={picture_rays}"])
    model = Model(scene, changed)
    assert isinstance(model.field, HashGridField)
    torch.nn.init.uniform_(model.field.table, -0.5, 0.5)
    return Run(folder, scene, changed, model, Progress())


def moving(model: BlurName, pixels: float) -> Config:
    return with_overrides(small_config(model), [f"blur.start_pixels={pixels}"])


def test_without_a_kernel_every_photo_stays_as_it_is(tmp_path: Path) -> None:
    run = untrained_run(tmp_path, small_config("none"))
    photo, rendered = run.scene.views[VIEW].photo, run.render_view(VIEW).colour
    assert np.abs(rendered - photo).mean() > 0.05
    assert run.restore_view(VIEW, rendered) == pytest.approx(photo, abs=1e-5)


@pytest.mark.parametrize("model", ["rigid", "dynamic"])
def test_a_kernel_that_stands_still_changes_nothing(tmp_path: Path, model: BlurName) -> None:
    run = untrained_run(tmp_path, moving(model, 1e-4))
    rendered = run.render_view(VIEW).colour
    assert run.restore_view(VIEW, rendered) == pytest.approx(run.scene.views[VIEW].photo, abs=1e-3)


def test_pixels_that_the_mask_lets_off_are_as_blurred_as_others(tmp_path: Path) -> None:
    run = untrained_run(tmp_path, moving("dynamic", 3.0))
    model, place = run.model, run.scene.train_indices.index(VIEW)
    assert isinstance(model.blur, DynamicBlur)
    before = model.reblur(place)
    assert before.extent.min() > 0.1

    model.blur.sizes.fill_(1.0)
    assert run.kernel_size(VIEW).max() == 1
    for name in ("colour", "own", "extent"):
        assert getattr(model.reblur(place), name) == pytest.approx(getattr(before, name))

    model.blur.photo_gate.open[place] = False
    assert model.reblur(place).own == pytest.approx(np.ones_like(before.own))
    assert model.reblur(place).extent.max() < 0.02


def test_a_pixel_has_as_many_rays_as_its_smear_is_worth(tmp_path: Path) -> None:
    run = untrained_run(tmp_path, moving("dynamic", 3.0))
    blur, place = run.model.blur, run.scene.train_indices.index(VIEW)
    assert isinstance(blur, DynamicBlur)
    extent = run.kernel_extent(VIEW)
    blur.photo_gate.open[place] = False  # it may open again
    run.model.limit_kernels(place)
    seen = (blur.limits != blur.rays).flatten(1).any(1).nonzero()
    assert seen.flatten().tolist() == [place]
    worth = 1.0 + extent / run.config.blur.ray_spacing
    assert float(blur.limits[place].mean()) == pytest.approx(worth.mean(), rel=0.05)


def test_light_from_afar_is_not_the_pixels_own(tmp_path: Path) -> None:
    run = untrained_run(tmp_path, moving("rigid", 300.0))
    own = run.model.reblur(run.scene.train_indices.index(VIEW)).own
    assert own == pytest.approx(np.full_like(own, run.weights(VIEW)[0]), abs=0.02)


def test_the_blurred_view_is_the_mean_of_the_views_of_its_motions(tmp_path: Path) -> None:
    run = untrained_run(tmp_path, moving("rigid", 2.0))
    camera = run.scene.views[VIEW].camera
    seen = [run.render(camera, pose).colour for pose in run.motion_poses(VIEW)]
    light = np.einsum("k,khwc->hwc", run.weights(VIEW), np.stack(seen) ** 2.2)
    blurred = run.model.reblur(run.scene.train_indices.index(VIEW)).colour
    assert blurred == pytest.approx(light ** (1 / 2.2), abs=2e-3)
    assert np.abs(blurred - seen[0]).max() > 0.01


@pytest.mark.parametrize("model", MODELS)
def test_how_many_rays_are_rendered_at_once_does_not_matter(
    tmp_path: Path, model: BlurName
) -> None:
    few = untrained_run(tmp_path, small_config(model), picture_rays=50).model.reblur(1)
    many = untrained_run(tmp_path, small_config(model)).model.reblur(1)
    assert few.colour == pytest.approx(many.colour, abs=1e-5)
    assert few.own == pytest.approx(many.own, abs=1e-5)
    assert few.own.min() >= 0 and few.own.max() <= 1 + 1e-5


@pytest.mark.parametrize("model", ["none", "rigid", "dynamic"])
def test_a_kernel_that_stands_still_has_no_extent(tmp_path: Path, model: BlurName) -> None:
    extent = untrained_run(tmp_path, moving(model, 1e-4)).kernel_extent(VIEW)
    assert extent == pytest.approx(np.zeros_like(extent), abs=0.02)


@pytest.mark.parametrize("axis", [1, 3], ids=["turn", "shift"])
def test_extents_of_a_turn_and_of_a_shift(
    tmp_path: Path, axis: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Five cameras side by side: a shift is seen smaller from afar, a turn is not."""
    config = with_overrides(small_config("rigid"), ["blur.motions_from=path"])
    run = untrained_run(tmp_path, config)
    places, step = np.array([0.0, -1.5, -0.5, 0.5, 1.5]), 0.01
    twists = torch.zeros(len(run.scene.train_indices), 4, 6)
    twists[:, :, axis] = torch.from_numpy(step * places[1:]).float()
    monkeypatch.setattr(RigidMotions, "path", lambda self, code, weights: twists)
    weights = np.array(run.weights(VIEW))
    spread = weights @ places**2 - (weights @ places) ** 2
    expected = CAMERA.focal_x * step * np.sqrt(12.0 * spread)
    if axis == 3:
        expected = expected / depth_of(run)[6:10, 10:14]
    assert run.kernel_extent(VIEW)[6:10, 10:14] == pytest.approx(
        np.broadcast_to(expected, (4, 4)), rel=0.02
    )


def test_a_step_forward_is_not_seen_in_the_middle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It widens the picture, and the more the farther from the middle."""
    config = with_overrides(small_config("rigid"), ["blur.motions_from=path"])
    run = untrained_run(tmp_path, config)
    twists = torch.zeros(len(run.scene.train_indices), 4, 6)
    twists[:, :, 5] = 0.02 * torch.tensor([-1.5, -0.5, 0.5, 1.5])
    monkeypatch.setattr(RigidMotions, "path", lambda self, code, weights: twists)
    extent, depth = run.kernel_extent(VIEW), depth_of(run)
    y, x = np.indices(extent.shape) + 0.5
    aside = np.hypot(x - CAMERA.centre_x, y - CAMERA.centre_y)
    places = np.array([0.0, -1.5, -0.5, 0.5, 1.5])
    weights = np.array(run.weights(VIEW))
    spread = weights @ places**2 - (weights @ places) ** 2
    assert extent == pytest.approx(aside * 0.02 * np.sqrt(12.0 * spread) / depth, rel=0.05)


def depth_of(run: Run) -> np.ndarray:
    """Camera depth of what each pixel of VIEW sees."""
    camera, pose = run.scene.views[VIEW].camera, torch.from_numpy(run.pose(VIEW))
    directions = camera_directions(pixel_centres(camera), camera)
    rays = rays_from_poses(directions, pose.expand(len(directions), 3, 4))
    t = torch.from_numpy(run.render_view(VIEW).depth).flatten()
    return run.model.renderer.lengths(rays, t).view(camera.height, camera.width).numpy()
