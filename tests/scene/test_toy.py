from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sharpfield.errors import InputError
from sharpfield.geometry.poses import llff_to_opengl
from sharpfield.scene import toy
from sharpfield.scene.llff import read_llff
from sharpfield.scene.made_scene import read_truth
from sharpfield.scene.toy import ToySettings, make_toy_scene
from sharpfield.scene.toy_camera import (
    displaced,
    sample_offsets,
    shake_twists,
    toy_camera,
    view_poses,
)
from sharpfield.scene.toy_render import Lens, expose, smear, to_display
from sharpfield.scene.toy_texture_cpu import Pattern
from sharpfield.scene.toy_trace_cpu import BOX
from sharpfield.scene.toy_world import Thing, build_world, toy_world

SMALL = ToySettings(width=48, height=32, views=7, hold=3, exposures=33)
CAMERA = toy_camera(48, 32)
AHEAD = np.eye(3, 4)
COLOURS = ("ffffff", "808080", "202020")


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("toy") / "scene"
    make_toy_scene(root, SMALL)
    return root


def test_written_as_an_ordinary_llff_folder(scene: Path) -> None:
    read = read_llff(scene)
    truth = read_truth(scene)
    assert truth is not None
    assert [view.held_out for view in read.views] == [True, False, False] * 2 + [True]
    middle = np.concatenate([truth.paths[:, 0, :, 3], np.ones((7, 1))], axis=1)
    still = [i for i, view in enumerate(read.views) if view.held_out]
    written = np.stack([view.pose[:, 3] for view in read.views])
    assert np.allclose((middle @ read.from_input.T)[still, :3], written[still], atol=1e-5)
    assert (read.views[0].camera.width, read.views[0].camera.height) == (48, 32)


def test_held_out_photos_are_the_true_sharp_ones_and_the_others_are_not(scene: Path) -> None:
    truth = read_truth(scene)
    assert truth is not None
    for index, (name, sharp) in enumerate(truth.sharp.items()):
        photo = np.asarray(Image.open(scene / "images" / name)) / np.float32(255)
        extent = truth.extent[Path(name).stem]
        still = np.ptp(truth.paths[index], axis=0).max() == 0
        assert (index % SMALL.hold == 0) == still == np.array_equal(photo, sharp)
        assert (extent.max() == 0) == still


def test_extents_span_sharp_and_smeared_photos(scene: Path) -> None:
    truth = read_truth(scene)
    assert truth is not None
    largest = np.array([extent.max() for extent in truth.extent.values()])[[1, 2, 4, 5]]
    low, high = np.array(SMALL.shake_pixels) * 48 / 192
    assert (largest < 0.7).sum() == round(0.2 * 4)
    blurred = largest[largest > 0.7]
    assert blurred.min() > 0.9 * low and blurred.max() < 1.1 * high


def test_same_seed_same_bytes_and_other_seed_other_photos(scene: Path, tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    make_toy_scene(tmp_path / "again", SMALL, lambda done, total: told.append((done, total)))
    assert told == [(photo, SMALL.views) for photo in range(1, SMALL.views + 1)]
    make_toy_scene(tmp_path / "other", replace(SMALL, seed=1))
    files = [path.relative_to(scene) for path in scene.rglob("*") if path.is_file()]
    assert len(files) == 7 * 3 + 4
    for name in files:
        assert (tmp_path / "again" / name).read_bytes() == (scene / name).read_bytes()
    for name in (name for name in files if name.suffix == ".png"):
        assert (tmp_path / "other" / name).read_bytes() != (scene / name).read_bytes()


def test_present_scene_is_reused_and_another_one_is_kept(
    scene: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(toy, "_shoot", lambda settings: pytest.fail("made again"))
    make_toy_scene(scene, SMALL)
    before = sorted(scene.rglob("*"))
    with pytest.raises(InputError, match="another folder"):
        make_toy_scene(scene, replace(SMALL, seed=1))
    assert sorted(scene.rglob("*")) == before


def test_interrupted_making_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("sharpfield.files.write_json", interrupt)
    with pytest.raises(KeyboardInterrupt):
        make_toy_scene(tmp_path / "scene", SMALL)
    assert list(tmp_path.iterdir()) == []


def test_downscaled_truth_is_the_block_mean(scene: Path) -> None:
    full, half = read_truth(scene), read_truth(scene, (24, 16))
    assert full is not None and half is not None
    blocks = full.sharp["001.png"].reshape(16, 2, 24, 2, 3).mean(axis=(1, 3))
    assert np.allclose(half.sharp["001.png"], blocks, atol=1e-5)
    blocks = full.extent["001"].reshape(16, 2, 24, 2).mean(axis=(1, 3))
    assert np.allclose(half.extent["001"], blocks / 2, atol=1e-5)


def test_folder_without_truth_has_none_and_damaged_truth_is_named(
    scene: Path, tmp_path: Path
) -> None:
    assert read_truth(tmp_path) is None
    extent = scene / "truth" / "extent" / "002.npy"
    content = extent.read_bytes()
    try:
        extent.write_bytes(content[:100])
        with pytest.raises(InputError, match=r"002\.npy"):
            read_truth(scene)
    finally:
        extent.write_bytes(content)


def test_settings_are_kept_beside_the_photos(scene: Path) -> None:
    written = json.loads((scene / "truth" / "settings.json").read_text())
    assert written["seed"] == 0 and written["shake_pixels"] == [5.0, 18.0]


@pytest.mark.parametrize(
    "bad",
    [
        {"exposures": 32},
        {"hold": 1},
        {"seed": -1},
        {"shake_pixels": (9.0, 5.0)},
        {"shake_pixels": (-1.0, 5.0)},
        {"width": 8},
        {"exposure": 0.0},
        {"pose_noise": -0.1},
    ],
)
def test_settings_out_of_range_are_named(bad: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=next(iter(bad))):
        replace(SMALL, **bad)


def test_constant_path_gives_the_sharp_photo() -> None:
    world = toy_world(0)
    still = displaced(AHEAD, np.zeros((40, 6)))
    sharp = expose(world, CAMERA, np.repeat(AHEAD[None], 40, axis=0), Lens())
    assert np.array_equal(expose(world, CAMERA, still, Lens()), sharp)
    moved = displaced(AHEAD, np.full((40, 6), 0.02))
    assert not np.allclose(expose(world, CAMERA, moved, Lens()), sharp, atol=0.05)


@pytest.mark.parametrize("aperture", [0.0, 0.05])
def test_photo_is_the_mean_of_its_exposures_in_linear_light(aperture: float) -> None:
    world, lens = toy_world(0), Lens(aperture, 4.0)
    rotating, translating = shake_twists(CAMERA, 33, "jagged", np.random.default_rng(1))
    poses = displaced(AHEAD, 0.02 * (rotating + translating))
    offsets = sample_offsets(33)
    single = [expose(world, CAMERA, poses[k : k + 1], lens, offsets[k : k + 1]) for k in range(33)]
    assert np.allclose(expose(world, CAMERA, poses, lens), np.mean(single, axis=0), atol=1e-9)


def test_samples_are_centred_on_the_pixel_and_the_lens() -> None:
    offsets = sample_offsets(65)
    assert np.allclose(offsets.mean(axis=0), 0)
    assert np.abs(offsets[:, :2]).max() < 0.52
    # Stratified: every cell of a 4 x 4 grid over the pixel is sampled.
    assert len(set(map(tuple, np.floor(offsets[:, :2] * 4).clip(-2, 1).astype(int)))) == 16


def test_extent_of_a_lateral_shift_is_focal_times_shift_over_depth() -> None:
    wall = build_world([Thing(BOX, (0, 0, -5.5), (20, 20, 0.5), Pattern.PLAIN, 0.1, COLOURS)], 0)
    twists = np.zeros((33, 6))
    assert smear(wall, CAMERA, AHEAD, displaced(AHEAD, twists), Lens()).extent.max() == 0
    twists[:, 3], twists[:, 4] = np.linspace(-0.15, 0.15, 33), np.linspace(-0.2, 0.2, 33)
    seen = smear(wall, CAMERA, AHEAD, displaced(AHEAD, twists), Lens())
    assert np.allclose(seen.depth, 5.0, atol=1e-5)
    assert np.allclose(seen.extent, CAMERA.focal_x * 0.5 / 5.0, rtol=1e-5)
    blurred = smear(wall, CAMERA, AHEAD, displaced(AHEAD, twists), Lens(0.1, 4.0)).extent
    confusion = 2 * 0.1 * CAMERA.focal_x * (1 / 4.0 - 1 / 5.0)
    assert np.allclose(blurred, np.hypot(seen.extent, confusion), rtol=1e-5)


def test_defocus_blurs_the_wall_unless_focused_on() -> None:
    thing = Thing(BOX, (0, 0, -5.5), (20, 20, 0.5), Pattern.CHECKS, 0.15, COLOURS, gloss=0)
    world = build_world([thing], 0)
    still = np.repeat(AHEAD[None], 65, axis=0)
    sharp = expose(world, CAMERA, still, Lens())
    assert np.allclose(expose(world, CAMERA, still, Lens(0.2, 5.0)), sharp, atol=1e-6)
    assert expose(world, CAMERA, still, Lens(0.2, 3.0)).std() < 0.8 * sharp.std()


@pytest.mark.parametrize("kind", ["smooth", "jagged"])
def test_shake_is_centred_on_the_pose_and_stronger_on_one_side(kind: str) -> None:
    wall = build_world([Thing(BOX, (0, 0, -5.5), (20, 20, 0.5), Pattern.PLAIN, 0.1, COLOURS)], 0)
    rotating, translating = shake_twists(CAMERA, 65, kind, np.random.default_rng(2))  # type: ignore[arg-type]
    assert np.allclose(rotating.mean(axis=0), 0) and np.allclose(translating.mean(axis=0), 0)
    extent = smear(wall, CAMERA, AHEAD, displaced(AHEAD, 0.05 * rotating), Lens()).extent
    assert extent.max() > 3 * extent.min()


def test_rotation_about_the_centre_blurs_in_proportion_to_the_radius() -> None:
    shake = shake_twists(CAMERA, 65, "smooth", np.random.default_rng(2), "centre")
    rotating = 0.05 * shake[0]
    extent = smear(toy_world(0), CAMERA, AHEAD, displaced(AHEAD, rotating), Lens()).extent
    rows, columns = np.indices(extent.shape) + 0.5
    radius = np.hypot(columns - CAMERA.centre_x, rows - CAMERA.centre_y)
    chord = 2 * np.sin(np.ptp(rotating[:, 2]) / 2)
    assert np.allclose(extent, chord * radius, rtol=1e-4)
    assert extent.max() > 1


def test_translation_smears_near_things_several_times_as_far_as_the_wall() -> None:
    translating = shake_twists(CAMERA, 33, "smooth", np.random.default_rng(4))[1]
    path = displaced(AHEAD, 0.02 * translating)
    for near, ratio in ((False, 2.4), (True, 4.5)):
        seen = smear(toy_world(0, near), CAMERA, AHEAD, path, Lens())
        front, wall = seen.depth < seen.depth.min() + 0.4, seen.depth > 7.8
        assert front.sum() > 20
        assert seen.extent[front].mean() > ratio * seen.extent[wall].mean()


def test_near_things_are_in_every_view_and_nothing_else_changes() -> None:
    bare, full = toy_world(3), toy_world(3, near=True)
    assert np.array_equal(full.seed[: len(bare.seed)], bare.seed)
    for pose in view_poses([i % 5 == 0 for i in range(20)], np.random.default_rng(3)):
        depth = smear(full, CAMERA, pose, pose[None], Lens()).depth
        assert depth.min() > 1 and 0.02 < (depth < 1.8).mean() < 0.2


def _photos(root: Path) -> np.ndarray:
    paths = sorted((root / "images").iterdir()) + sorted((root / "truth" / "sharp").iterdir())
    return np.stack([np.asarray(Image.open(path)) for path in paths]).astype(float)


def test_exposure_multiplies_linear_light_and_then_clips(scene: Path, tmp_path: Path) -> None:
    make_toy_scene(tmp_path / "bright", replace(SMALL, exposure=2.0))
    plain, bright = _photos(scene), _photos(tmp_path / "bright")
    wanted = 255 * (2 * (plain / 255) ** 2.2) ** (1 / 2.2)
    # Each photo is rounded, and doubling light stretches the first rounding.
    assert np.abs(bright - wanted)[bright < 255].max() <= 0.5 + 0.5 * 2 ** (1 / 2.2) + 1e-9
    assert wanted[bright == 255].min() > 253
    assert 0.05 < (bright == 255).mean() < 0.4 and not (plain == 255).any()


def test_noisy_poses_displace_blurred_photos_only(scene: Path, tmp_path: Path) -> None:
    make_toy_scene(tmp_path / "noisy", replace(SMALL, pose_noise=0.2))
    assert np.array_equal(_photos(scene), _photos(tmp_path / "noisy"))
    exact, noisy = (
        llff_to_opengl(np.load(root / "poses_bounds.npy")[:, :15].reshape(-1, 3, 5)[:, :, :4])
        for root in (scene, tmp_path / "noisy")
    )
    truth = read_truth(tmp_path / "noisy")
    assert truth is not None
    world = toy_world(SMALL.seed)
    moved = 0
    for true, given, extent in zip(exact, noisy, truth.extent.values(), strict=True):
        if extent.max() < 0.7:
            assert np.array_equal(true, given)
            continue
        shift = smear(world, CAMERA, true, np.stack([true, given]), Lens()).extent
        assert shift.mean() == pytest.approx(0.2 * extent.mean(), rel=1e-3)
        moved += 1
    assert moved == 3


def test_still_camera_out_of_focus_blurs_by_depth_alone(tmp_path: Path) -> None:
    settings = replace(SMALL, sharp_fraction=0.0, shake_pixels=(0.0, 0.0), defocus=0.15)
    make_toy_scene(tmp_path / "scene", settings)
    truth = read_truth(tmp_path / "scene")
    assert truth is not None
    assert np.ptp(truth.paths, axis=1).max() == 0
    for view, extent in enumerate(truth.extent.values()):
        assert (extent.max() == 0) if view % SMALL.hold == 0 else (extent.max() > 1)
    differ = np.abs(np.subtract(*np.split(_photos(tmp_path / "scene"), 2))).max(axis=(1, 2, 3))
    assert np.array_equal(differ > 20, [view % SMALL.hold != 0 for view in range(SMALL.views)])


def test_displaced_is_the_group_exponential() -> None:
    twists = np.random.default_rng(0).normal(size=(5, 6))
    half = displaced(AHEAD, twists / 2)
    twice = np.stack([displaced(half[i], twists[i : i + 1] / 2)[0] for i in range(5)])
    assert np.allclose(twice, displaced(AHEAD, twists), atol=1e-9)
    assert np.allclose(displaced(AHEAD, np.array([[0, 0, 0, 1.0, 2, 3]]))[0, :, 3], [1, 2, 3])
    quarter = displaced(AHEAD, np.array([[0, 0, np.pi / 2, 0, 0, 0]]))[0, :, :3]
    assert np.allclose(quarter @ [1, 0, 0], [0, 1, 0], atol=1e-12)


def test_foreground_hides_the_wall_from_one_pose_only() -> None:
    world, camera = toy_world(0), toy_camera(192, 128)
    shifted = AHEAD.copy()
    shifted[0, 3] = 0.3
    here, there = (smear(world, camera, p, p[None], Lens()).depth for p in (AHEAD, shifted))
    assert ((here < 4) & (there > 7)).sum() > 100
    # Wall points that are in the other photo's frame, yet behind something nearer there.
    rows, columns = np.nonzero(here > 7.8)
    moved = np.round(columns - camera.focal_x * 0.3 / here[rows, columns]).astype(int)
    inside = (moved >= 1) & (moved < 191)
    beside = np.stack([there[rows[inside], moved[inside] + step] for step in (-1, 0, 1)])
    assert (beside.max(axis=0) < 7).sum() > 100


def test_scene_fits_ndc_from_every_camera() -> None:
    world = toy_world(3)
    poses = view_poses([i % 5 == 0 for i in range(25)], np.random.default_rng(3))
    assert np.all(np.abs(poses[:, :2, 3]) <= (0.3, 0.2))
    for pose in poses:
        depth = smear(world, CAMERA, pose, pose[None], Lens()).depth
        assert depth.min() > 2 and depth.max() < 12


def test_photo_uses_the_display_range_without_clipping() -> None:
    still = np.repeat(AHEAD[None], 33, axis=0)
    display = to_display(expose(toy_world(0), toy_camera(96, 64), still, Lens())) / 255
    assert display.min() > 0.03 and display.max() < 0.97
    assert np.ptp(np.percentile(display, [2, 98])) > 0.6
