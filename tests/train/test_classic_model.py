"""The classic pipeline from photos to pictures: NeRF's networks, all blur models, checkpoints."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.train.small_classic import classic_config
from tests.train.small_runs import CPU, assert_everything_learns, assert_resumes, trained
from tests.train.small_scene import CAMERA, STEPS, small_config, small_scene

from sharpfield.blur.network_motions import NetworkMotions
from sharpfield.blur.rigid import RigidBlur
from sharpfield.config import BlurName, Config
from sharpfield.errors import InputError
from sharpfield.model import NEAREST, Model, check_combination
from sharpfield.presets import PRESETS, preset
from sharpfield.render.hierarchical import HierarchicalRenderer, Span
from sharpfield.scene.scene import Scene
from sharpfield.settings import with_overrides
from sharpfield.train.schedule import adaptive_share_at
from sharpfield.train.trainer import Trainer

MODELS: tuple[BlurName, ...] = ("none", "sparse", "rigid", "dynamic")


def still_scene(root: Path) -> Scene:
    """A smooth photo from one pose, many times over: it can be fitted, whatever the blur model."""
    scene = small_scene(root)
    row, column = np.mgrid[: CAMERA.height, : CAMERA.width].astype(np.float32)
    across, down = column / CAMERA.width, row / CAMERA.height
    photo = np.stack([across, 1 - across, down], axis=2) * 0.8 + 0.1
    views = [replace(view, photo=photo, pose=scene.views[1].pose) for view in scene.views]
    return replace(scene, views=tuple(views))


@pytest.mark.parametrize("model", MODELS)
class TestEveryModel:
    def test_it_fits_the_photos(self, tmp_path: Path, model: BlurName) -> None:
        scene, steps = still_scene(tmp_path), 45
        trainer = Trainer(scene, classic_config(model, steps=steps, pixels=80), CPU)
        errors = [trainer.step().error for _ in range(steps)]
        photo = scene.views[1].photo
        grey = float(np.var(photo, axis=(0, 1)).mean())
        assert np.mean(errors[-8:]) < 0.4 * grey < 0.4 * np.mean(errors[:5])
        seen = trainer.model.render(CAMERA, scene.views[1].pose)
        assert seen.colour.shape == (16, 24, 3) and seen.depth.shape == (16, 24)
        for values in (seen.colour, seen.depth):
            assert values.min() >= 0 and values.max() <= 1
        assert float(((seen.colour - photo) ** 2).mean()) < 0.4 * grey

    def test_a_resumed_run_equals_an_uninterrupted_one(
        self, tmp_path: Path, model: BlurName
    ) -> None:
        assert_resumes(tmp_path, classic_config(model, pixels=24), STEPS // 2)

    def test_everything_learns(self, tmp_path: Path, model: BlurName) -> None:
        config = with_learned_tone(classic_config(model, pixels=24))
        assert_everything_learns(tmp_path, config)
        parameters = Trainer(small_scene(tmp_path), config, CPU).model.named_parameters()
        kinds = {name.split(".")[0] for name, _ in parameters}
        blur = {"none": set(), "sparse": {"blur"}}.get(model, {"blur", "adaptive"})
        assert kinds == {"field", "tone"} | blur

    def test_pictures_do_not_depend_on_how_they_are_cut(
        self, tmp_path: Path, model: BlurName
    ) -> None:
        scene, config = small_scene(tmp_path), classic_config(model)
        trainer = Trainer(scene, config, CPU)
        pose = scene.views[0].pose
        whole = trainer.model.render(CAMERA, pose)
        again = trainer.model.render(CAMERA, pose)
        assert np.array_equal(whole.colour, again.colour)
        trainer.model.picture_rays = 50
        cut = trainer.model.render(CAMERA, pose)
        np.testing.assert_allclose(cut.colour, whole.colour, atol=1e-5)
        np.testing.assert_allclose(cut.depth, whole.depth, atol=1e-5)


def with_learned_tone(config: Config) -> Config:
    return replace(
        config,
        mlp=replace(config.mlp, colour_activation="none"),
        scene=replace(config.scene, tone="learn"),
    )


class TestBuilding:
    def test_the_published_motions(self, tmp_path: Path) -> None:
        model = Model(small_scene(tmp_path), classic_config("rigid"))
        assert isinstance(model.blur, RigidBlur)
        assert isinstance(model.blur.motions, NetworkMotions)

    def test_without_fine_samples(self, tmp_path: Path) -> None:
        config = classic_config("rigid", pixels=8)
        config = replace(config, hierarchical=replace(config.hierarchical, fine=0))
        trainer = trained(small_scene(tmp_path), config, 6)
        progress = trainer.progress
        assert progress.samples == 6 * progress.rays and progress.rays > progress.pixels
        assert not any(
            name.startswith("field.fine") for name, _ in trainer.model.named_parameters()
        )

    def test_without_ndc_rays_run_between_the_scenes_bounds(self, tmp_path: Path) -> None:
        scene, config = small_scene(tmp_path), classic_config("rigid", pixels=8)
        config = replace(config, scene=replace(config.scene, ndc=False))
        trainer = trained(scene, config, 6)
        renderer = trainer.model.renderer
        assert isinstance(renderer, HierarchicalRenderer)
        assert renderer.span == Span(NEAREST * scene.near, scene.far)
        assert trainer.model.render(CAMERA, scene.views[0].pose).depth.max() <= 1

    def test_a_number_of_pixels_is_kept(self, tmp_path: Path) -> None:
        trainer = trained(small_scene(tmp_path), classic_config("dynamic", pixels=11), STEPS)
        assert trainer.progress.pixels == 11 * STEPS

    def test_features_are_kept_for_rigid_kernels_only(self, tmp_path: Path) -> None:
        for name in MODELS:
            model = Model(small_scene(tmp_path), classic_config(name))
            assert isinstance(model.renderer, HierarchicalRenderer)
            assert (
                (model.adaptive is not None)
                == model.renderer.features
                == (name in ("rigid", "dynamic"))
            )

    def test_the_adaptive_weights_take_over(self) -> None:
        config = classic_config("rigid")
        shares = [adaptive_share_at(done, 0, config) for done in (0.0, 0.1, 0.55, 1.0)]
        assert shares == pytest.approx([0.1, 0.1, 0.3, 0.9])
        both = replace(config, adaptive=replace(config.adaptive, handover=False))
        assert adaptive_share_at(0.5, 0, both) is None


EXCLUDED = [
    ("scene.ndc=false", "scene.ndc"),
    ("adaptive.enabled=true", "adaptive.enabled"),
    ("scene.tone=learn", "scene.tone"),
]


def one_line(config: Config) -> str:
    with pytest.raises(InputError) as caught:
        check_combination(config)
    message = str(caught.value)
    assert "\n" not in message and len(message) < 160
    return message


class TestCombinations:
    @pytest.mark.parametrize(("override", "named"), EXCLUDED)
    def test_what_asks_for_the_networks(self, override: str, named: str) -> None:
        config = with_overrides(small_config("rigid"), [override])
        message = one_line(config)
        assert named in message and "--field mlp" in message and "hashgrid" in message
        check_combination(replace(config, field_name="mlp"))

    @pytest.mark.parametrize("field", ["mlp", "hashgrid"])
    def test_inward_poses_ask_for_no_ndc(self, field: str) -> None:
        config = with_overrides(small_config("rigid"), ["scene.spherify=true"])
        message = one_line(with_overrides(config, [f"field_name={field}"]))
        assert "scene.spherify" in message and "scene.ndc" in message
        check_combination(with_overrides(config, ["scene.ndc=false", "field_name=mlp"]))

    def test_only_hash_grids_train_in_turns(self) -> None:
        config = with_overrides(preset("best"), ["field_name=mlp"])
        assert "hashgrid.ensemble=1" in one_line(config)
        check_combination(with_overrides(config, ["hashgrid.ensemble=1"]))

    def test_a_single_motion_moves_only_where_nothing_centres_it(self) -> None:
        original = ["field_name=mlp", "blur.motions_from=network", "fidelity=original"]
        config = with_overrides(small_config("rigid"), ["blur.motions=1", *original])
        check_combination(config)
        assert "blur.motions" in one_line(with_overrides(config, ["fidelity=correct"]))

    @pytest.mark.parametrize("override", ["settle_steps=179", "warmup_steps=0", "settle=0.09"])
    def test_stages_follow_each_other(self, override: str) -> None:
        config = preset("fast")
        assert override.partition("=")[0] in one_line(with_overrides(config, [f"train.{override}"]))
        check_combination(with_overrides(config, ["train.settle_steps=0", "train.warmup_steps=0"]))

    def test_a_model_is_not_built_of_them(self, tmp_path: Path) -> None:
        config = with_overrides(small_config("rigid"), [EXCLUDED[0][0]])
        with pytest.raises(InputError, match=r"scene\.ndc"):
            Model(small_scene(tmp_path), config)

    def test_an_unknown_preset_is_named(self) -> None:
        with pytest.raises(InputError, match=r"^--preset slow: no such preset; use .*default"):
            preset("slow")

    @pytest.mark.parametrize("name", PRESETS)
    def test_presets_are_possible(self, name: str) -> None:
        check_combination(preset(name))
