from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.train.small_runs import (
    CPU,
    assert_everything_learns,
    assert_resumes,
    assert_same_training,
    trained,
)
from tests.train.small_scene import CAMERA, STEPS, VIEWS, small_config, small_scene
from torch import Tensor

from sharpfield.blur.kernel import Phase
from sharpfield.config import BlurName
from sharpfield.fields.hashgrid import HashGridField
from sharpfield.presets import BLURS
from sharpfield.render.ensemble import TURN
from sharpfield.settings import with_overrides
from sharpfield.train.pixel_sampler import Batch, PixelSampler
from sharpfield.train.schedule import SEEN, SOFTEST, phase_at, rate_at, thrift_at
from sharpfield.train.trainer import Trainer

MODELS: tuple[BlurName, ...] = ("none", "sparse", "rigid", "dynamic")


EVEN = torch.ones(VIEWS)


class TestPixelSampler:
    def photos(self) -> Tensor:
        return torch.rand(VIEWS, CAMERA.height, CAMERA.width, 3)

    def test_colours_are_those_of_the_photo_at_the_pixel(self) -> None:
        photos = self.photos()
        batch = PixelSampler(photos).draw(500, 0, torch.Generator().manual_seed(0), EVEN)
        pixels, colours = batch.pixels, batch.colours
        corner = pixels.xy - 0.5
        assert torch.equal(corner, corner.floor())
        column, row = corner.long().unbind(1)
        assert torch.equal(colours, photos[pixels.view, row, column])

    def test_every_pixel_of_every_view_can_be_drawn(self) -> None:
        sampler = PixelSampler(self.photos()[:2, :4, :5])
        pixels = sampler.draw(2000, 0, torch.Generator(), EVEN[:2]).pixels
        seen = torch.cat([pixels.view[:, None], (pixels.xy - 0.5).long()], dim=1).unique(dim=0)
        assert torch.equal(
            seen, torch.cartesian_prod(torch.arange(2), torch.arange(5), torch.arange(4))
        )

    @pytest.mark.parametrize(("asked", "seen"), [(1, 1), (3, 3), (6, 6), (100, 6)])
    def test_a_few_views(self, asked: int, seen: int) -> None:
        sampler, generator = PixelSampler(self.photos()), torch.Generator().manual_seed(0)
        drawn = [
            sampler.draw(300, 300 * step, generator, EVEN, views=asked).pixels.view.unique()
            for step in range(60)
        ]
        assert all(len(views) == seen for views in drawn)
        assert len(torch.cat(drawn).unique()) == VIEWS

    def test_views_are_drawn_by_their_shares(self) -> None:
        shares = torch.tensor([1.0, 0.0, 3.0, 0.0, 0.0, 0.0])
        generator = torch.Generator().manual_seed(0)
        pixels = PixelSampler(self.photos()).draw(4000, 0, generator, shares).pixels
        counts = torch.bincount(pixels.view, minlength=VIEWS)
        assert (counts[shares == 0] == 0).all()
        assert 0.7 < counts[2] / 4000 < 0.8

    def test_textured_pixels_are_drawn_where_the_contrast_is(self) -> None:
        photos = torch.full((2, 40, 80, 3), 0.5)
        photos[1, :, 40:] = torch.rand(40, 40, 3, generator=torch.Generator().manual_seed(0))

        def share_on_the_right(view: int, textured: float) -> float:
            generator = torch.Generator().manual_seed(1)
            shares = torch.eye(2)[view]
            xy = PixelSampler(photos, textured).draw(4000, 0, generator, shares).pixels.xy
            assert xy.min() == 0.5 and xy[:, 0].max() == 79.5 and xy[:, 1].max() == 39.5
            return float((xy[:, 0] > 40).float().mean())

        for textured in (0.0, 0.4, 1.0):
            assert share_on_the_right(0, textured) == pytest.approx(0.5, abs=0.04)
        assert share_on_the_right(1, 0.0) == pytest.approx(0.5, abs=0.04)
        assert share_on_the_right(1, 0.4) == pytest.approx(0.7, abs=0.04)
        assert 0.9 < share_on_the_right(1, 1.0) < 1.0

    def test_place_and_generator_are_its_whole_state(self) -> None:
        sampler, generator = PixelSampler(self.photos(), 0.5), torch.Generator().manual_seed(0)
        sampler.draw(10, 0, generator, EVEN, views=2)
        state = generator.get_state()
        first = sampler.draw(10, 10, generator, EVEN, views=2).pixels
        restored = torch.Generator().set_state(state)
        second = PixelSampler(sampler.photos, 0.5).draw(10, 10, restored, EVEN, views=2).pixels
        assert torch.equal(first.view, second.view) and torch.equal(first.xy, second.xy)

    def test_steps_continue_one_sequence(self) -> None:
        sampler, generator = PixelSampler(self.photos(), 0.5), torch.Generator()
        whole = sampler.draw(70, 0, generator, EVEN)
        parts = sampler.draw(30, 0, generator, EVEN) + sampler.draw(40, 30, generator, EVEN)
        assert torch.equal(whole.pixels.xy, parts.pixels.xy)
        assert torch.equal(whole.colours, parts.colours)

    @pytest.mark.parametrize("seed", [0, 1])
    def test_views_and_photos_are_covered_more_evenly_than_by_chance(self, seed: int) -> None:
        """Over whole training and within a step: per view, and per sixth of all photos."""
        sampler = PixelSampler(self.photos(), 0.0, seed)
        for place in (0, 5000, 10**9):
            pixels = sampler.draw(600, place, torch.Generator(), EVEN).pixels
            sixth = (pixels.xy[:, 0] / CAMERA.width * 6).long()
            for part in (pixels.view, sixth):
                counts = torch.bincount(part, minlength=6)
                # By chance a count strays by 9, and one of twelve by 16.
                assert (counts - 100).abs().max() <= 6

    def test_seeds_differ(self) -> None:
        photos = self.photos()
        first, second = (
            PixelSampler(photos, 0.0, seed).draw(50, 0, torch.Generator(), EVEN) for seed in (0, 1)
        )
        assert not torch.equal(first.pixels.xy, second.pixels.xy)


class TestSchedule:
    def test_twelve_steps_cross_all_phases(self) -> None:
        config = small_config("dynamic")
        phases = [phase_at(step / STEPS, step, config) for step in range(STEPS)]
        kinds = [
            "warm" if not p.kernel_open else "open" if not p.mask_open else
            "soft" if p.temperature > 0 else "hard" for p in phases
        ]  # fmt: skip
        assert kinds == ["warm"] * 2 + ["open"] * 3 + ["soft"] * 4 + ["hard"] * 3
        assert [step for step in range(STEPS) if phases[step].learn_mask] == [4, 6, 8, 10]
        soft = [phase.temperature for phase in phases if phase.temperature > 0]
        assert soft == sorted(soft, reverse=True) and len(set(soft)) == 4

    def test_stages_of_a_long_training_begin_after_so_many_steps(self) -> None:
        config = with_overrides(
            small_config("dynamic"), ["train.warmup_steps=21", "train.settle_steps=61"]
        )
        shares = config.train.warmup, config.train.settle
        for steps in (1000, 50):
            phases = [phase_at(step / steps, step, config) for step in range(steps)]
            opened = [[p.kernel_open for p in phases].index(True)]
            opened += [[p.mask_open for p in phases].index(True)]
            assert opened == [min(21, shares[0] * steps), min(61, shares[1] * steps)]
            judged = [step for step in range(opened[1]) if phases[step].judge_photos]
            assert judged == list(range(int(sum(opened) + 1) // 2, int(opened[1])))
            soft = [phase.temperature for phase in phases if phase.temperature > 0]
            assert soft[0] == SOFTEST and soft == sorted(soft, reverse=True)

    def test_a_mask_that_closes_next_to_nothing_is_hardly_taught(self) -> None:
        config = with_overrides(small_config("dynamic"), ["blur.mask_every=1"])
        open_size, first = config.blur.motions + 1, config.blur.first_size
        for progress, most in ((0.5, first), (0.9, open_size)):
            learns = [
                [phase_at(progress, step, config, share * most).learn_mask for step in range(16)]
                for share in (0.85, 0.95)
            ]
            assert all(learns[0]) and [i for i, taught in enumerate(learns[1]) if taught] == [0, 8]
        assert all(phase_at(0.35, step, config, first).learn_mask for step in range(8))

    @pytest.mark.parametrize(("steps", "every"), [(5000, 12), (1200, 12), (800, 8), (200, 4)])
    def test_a_short_training_teaches_the_mask_more_often(self, steps: int, every: int) -> None:
        config = with_overrides(small_config("dynamic"), ["blur.mask_every=12"])
        phases = {step: phase_at(step / steps, step, config) for step in range(steps // 2, steps)}
        lessons = [step for step, phase in phases.items() if phase.learn_mask]
        assert lessons == [step for step in phases if step % every == 0]

    def test_photos_are_judged_all_the_time_until_the_mask_opens(self) -> None:
        config = small_config("dynamic")
        phases = [phase_at(step / STEPS, step, config) for step in range(STEPS)]
        assert [s for s in range(STEPS) if phases[s].judge_photos] == [3, 4, 8]
        opens = config.train.settle
        assert all(phase_at(opens - 0.01, step, config).judge_photos for step in range(8))
        assert not phase_at(0.0, 0, config).judge_photos

    def test_motions_rest_now_and_then_once_they_are_found(self) -> None:
        config = with_overrides(small_config("dynamic"), ["blur.motions_every=3"])
        phases = [phase_at(step / STEPS, step, config) for step in range(STEPS)]
        assert [s for s in range(STEPS) if not phases[s].learn_motions] == [5, 7, 8, 10, 11]
        assert [s for s in range(STEPS) if not phases[s].learns] == [5, 7, 11]

    def test_only_dynamic_learns_a_mask(self) -> None:
        for model in ("none", "sparse", "rigid"):
            config = small_config(model)
            assert not any(phase_at(s / STEPS, s, config).learn_mask for s in range(STEPS))

    def test_thrift_falls_from_equal_rays_to_the_root_of_them(self) -> None:
        thrift = [thrift_at(seen) for seen in (0.0, SEEN, 1e6)]
        assert thrift == pytest.approx([1.0, 0.75, 0.5])

    def test_rates_decay_to_their_final_share(self) -> None:
        config = small_config("none")
        rates = [rate_at(progress, config) for progress in (0.0, 0.5, 1.0)]
        assert rates[0] == 1.0 and rates[2] == pytest.approx(config.train.final_rate)
        assert rates[1] == pytest.approx(config.train.final_rate**0.5)


@pytest.mark.parametrize("model", MODELS)
class TestEveryModel:
    def test_a_run_is_bit_identical_when_repeated(self, tmp_path: Path, model: BlurName) -> None:
        scene, config = small_scene(tmp_path), small_config(model)
        first, second = (trained(scene, config, STEPS) for _ in range(2))
        assert first.share_done == 1.0
        assert_same_training(first, second)

    def test_a_resumed_run_equals_an_uninterrupted_one(
        self, tmp_path: Path, model: BlurName
    ) -> None:
        assert_resumes(tmp_path, small_config(model), STEPS // 2)

    def test_compilation_leaves_no_trace(self, tmp_path: Path, model: BlurName) -> None:
        scene, config = small_scene(tmp_path), small_config(model)
        compiled = Trainer(scene, config, CPU)
        compiled.compile()
        assert_same_training(compiled, Trainer(scene, config, CPU))
        assert all(parameter.grad is None for parameter in compiled.model.parameters())

    def test_a_rehearsal_leaves_no_trace(self, tmp_path: Path, model: BlurName) -> None:
        scene, config = small_scene(tmp_path), small_config(model)
        rehearsed = Trainer(scene, config, CPU)
        rehearsed.rehearse(200, Phase(kernel_open=True, mask_open=True, learn_mask=True))
        assert_same_training(rehearsed, Trainer(scene, config, CPU))

    def test_compilation_covers_what_the_renderer_remembers(
        self, tmp_path: Path, model: BlurName, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Else the first step would wait for the compiler, on the clock."""
        asked: list[int] = []

        def density(self: HashGridField, points: Tensor) -> Tensor:
            asked.append(len(points))
            return points.new_zeros(len(points))

        monkeypatch.setattr(HashGridField, "density", density)
        Trainer(small_scene(tmp_path), small_config(model), CPU).compile()
        assert asked

    def test_everything_learns(self, tmp_path: Path, model: BlurName) -> None:
        assert_everything_learns(tmp_path, small_config(model))

    def test_seeds_differ(self, tmp_path: Path, model: BlurName) -> None:
        scene = small_scene(tmp_path)
        first, second = (trained(scene, small_config(model, seed=seed), 1) for seed in (0, 1))
        one, other = (trainer.model.state_dict()["field.table"] for trainer in (first, second))
        assert not torch.equal(one, other)
        assert not torch.equal(first.generator.get_state(), second.generator.get_state())


@pytest.mark.parametrize("blur", sorted(BLURS))
def test_every_named_blur_model_trains_and_resumes(tmp_path: Path, blur: str) -> None:
    config = with_overrides(small_config("dynamic"), BLURS[blur])
    assert_resumes(tmp_path, config, STEPS // 2)
    trainer = trained(small_scene(tmp_path), config, STEPS)
    kernels = trainer.model.blur.motion_poses()
    assert torch.isfinite(kernels).all() and trainer.progress.display_error < 0.1


def seen_smears(trainer: Trainer) -> int:
    """How many views have had their smears looked at."""
    limits = trainer.model.state_dict()["blur.limits"]
    return int((limits != trainer.config.blur.motions + 1).flatten(1).any(1).sum())


class TestSmears:
    def test_views_are_looked_at_in_turn_once_the_mask_is_open(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("sharpfield.train.trainer.SMEARS_EVERY", 1)
        trainer = Trainer(small_scene(tmp_path), small_config("dynamic"), CPU)
        looked_at = []
        while not trainer.finished and trainer.share_done < 1.0:
            trainer.step()
            looked_at.append(seen_smears(trainer))
        closed = looked_at.count(0)
        assert closed == math.ceil(trainer.config.train.settle * STEPS)
        assert looked_at[closed : closed + 3] == [1, 2, 3]

    def test_compilation_looks_at_nothing(self, tmp_path: Path) -> None:
        trainer = Trainer(small_scene(tmp_path), small_config("dynamic"), CPU)
        trainer.compile()
        assert seen_smears(trainer) == 0


class TestEnsemble:
    CONFIG = with_overrides(small_config("dynamic"), ["hashgrid.ensemble=2"])

    @pytest.mark.parametrize("step", [3, TURN, TURN + 2])
    def test_a_resumed_run_equals_an_uninterrupted_one(self, tmp_path: Path, step: int) -> None:
        """Before, between and after the turns of its fields."""
        assert_resumes(tmp_path, self.CONFIG, step)

    def test_everything_learns(self, tmp_path: Path) -> None:
        assert_everything_learns(tmp_path, self.CONFIG)

    def test_its_tables_learn_at_the_rate_of_a_table(self, tmp_path: Path) -> None:
        trainer = Trainer(small_scene(tmp_path), self.CONFIG, CPU)
        tables = [name for name in dict(trainer.model.named_parameters()) if "table" in name]
        assert tables == ["field.0.table", "field.1.table"]
        rate, parameters = next(
            (group["base"], group["params"])
            for group in trainer.optimiser.param_groups
            if any(parameter.shape[1:] == (2,) for parameter in group["params"])
        )
        assert rate == self.CONFIG.train.table_rate and len(parameters) == 2


@pytest.mark.usefixtures("two_threads")
@pytest.mark.parametrize("model", ["sparse", "rigid", "dynamic"])
def test_batches_of_real_size_are_bit_identical_too(tmp_path: Path, model: BlurName) -> None:
    """Large enough that torch adds up gradients on several threads."""
    scene, config = small_scene(tmp_path), small_config(model, steps=6, samples=90_000)
    first, second = (trained(scene, config, 5) for _ in range(2))
    assert first.progress.rays / 5 > 4000
    assert_same_training(first, second)


def test_large_errors_are_those_above_the_usual_one(tmp_path: Path) -> None:
    scene, config = small_scene(tmp_path), small_config("none")
    squares = with_overrides(config, ["train.large_errors=0"])
    plain = Trainer(scene, squares, CPU).step()
    assert plain.loss == pytest.approx(plain.error)
    for usual in (0.1, 0.01):
        trainer = Trainer(scene, config, CPU)
        trainer.progress.display_error = usual**2
        result = trainer.step()
        assert result.error == plain.error
        assert result.loss < 2 * config.train.large_errors * usual * math.sqrt(result.error)
        assert result.loss < plain.loss


@pytest.mark.parametrize(("large_errors", "steps"), [(0.0, 150), (1.5, 250)])
def test_training_fits_the_photos(tmp_path: Path, large_errors: float, steps: int) -> None:
    """Of noise, which is all edges: there it takes longer where large errors pull no more."""
    scene = small_scene(tmp_path)
    same = [dataclasses.replace(view, photo=scene.views[1].photo) for view in scene.views]
    still = [dataclasses.replace(view, pose=scene.views[1].pose) for view in same]
    scene = dataclasses.replace(scene, views=tuple(still))
    config = small_config("none", steps=steps, samples=6000)
    config = with_overrides(config, [f"train.large_errors={large_errors}"])
    trainer = Trainer(scene, config, CPU)
    errors = [trainer.step().error for _ in range(steps)]
    assert np.mean(errors[-10:]) < 0.2 * np.mean(errors[:5])
    seen = trainer.model.render(CAMERA, scene.views[1].pose)
    assert seen.colour.shape == (16, 24, 3) and seen.depth.shape == (16, 24)
    assert seen.colour.min() >= 0 and seen.colour.max() <= 1
    error = float(((seen.colour - scene.views[1].photo) ** 2).mean())
    assert error < 0.5 * float(np.var(scene.views[1].photo))


def test_sparse_fits_the_photos_with_its_first_point_at_the_pixel(tmp_path: Path) -> None:
    config = small_config("sparse", steps=120, samples=6000)
    config = with_overrides(config, ["blur.motions_every=1"])
    trainer = Trainer(small_scene(tmp_path), config, CPU)
    results = [trainer.step() for _ in range(120)]
    errors = [result.error for result in results]
    assert np.mean(errors[-5:]) < 0.5 * np.mean(errors[:5])
    opened = [result.own_loss for result in results if result.own_loss > 0]
    assert 100 <= len(opened) < 120, "the warm-up has no points to hold"
    assert np.mean(opened[-5:]) < 0.5 * np.mean(opened[:5])


def test_held_out_photos_never_touch_training(tmp_path: Path) -> None:
    scene, config = small_scene(tmp_path), small_config("dynamic")
    hidden = dataclasses.replace(scene.views[0], photo=1 - scene.views[0].photo)
    other = dataclasses.replace(scene, views=(hidden, *scene.views[1:]))
    assert_same_training(trained(scene, config, STEPS), trained(other, config, STEPS))


def test_progress_counts_what_was_rendered(tmp_path: Path) -> None:
    scene = small_scene(tmp_path)
    none = trained(scene, small_config("none"), STEPS).progress
    assert none.step == STEPS and none.rays_per_pixel == 1.0
    rigid = trained(scene, small_config("rigid", motions=4), STEPS).progress
    assert 1.0 < rigid.rays_per_pixel <= 5.0 and rigid.kernel_size == 5.0
    assert rigid.rays <= rigid.samples <= 16 * rigid.rays


def set_sizes(trainer: Trainer, size: float) -> None:
    """Of all pixels, with no photo let off."""
    trainer.model.blur.sizes.fill_(size)  # type: ignore[operator]
    trainer.model.blur.photo_gate.open.fill_(True)  # type: ignore[union-attr,operator]


def test_the_kernel_size_is_followed_where_every_step_teaches_the_mask(tmp_path: Path) -> None:
    always = with_overrides(small_config("dynamic"), ["blur.mask_every=1", "blur.ray_spacing=0"])
    trainer = trained(small_scene(tmp_path), always, STEPS - 2)
    set_sizes(trainer, 2.0)
    trainer.progress.kernel_size = 3.5
    trainer.step()
    assert 3.3 < trainer.progress.kernel_size < 3.4


def test_closed_rays_buy_more_pixels(tmp_path: Path) -> None:
    """A step costs about the configured samples, whatever the size of the kernels."""
    scene, config = small_scene(tmp_path), small_config("dynamic", samples=20_000)
    trainer = trained(scene, config, 9)
    pixels = []
    for size in (5.0, 1.0):
        set_sizes(trainer, size)
        trainer.progress.kernel_size = size
        trainer.progress.step = 9
        before = dataclasses.replace(trainer.progress)
        result = trainer.step()
        pixels.append(trainer.progress.pixels - before.pixels)
        assert 0.7 * 20_000 < result.samples < 1.3 * 20_000
    assert pixels[1] > 4 * pixels[0]


def test_what_is_often_seen_is_drawn_less_for_being_cheap(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At first all views get as many rays; later the smeared ones get more than sharp ones."""
    trainer = trained(small_scene(tmp_path), small_config("dynamic"), 9)
    set_sizes(trainer, 4.0)
    trainer.model.blur.sizes[0] = 1.0  # type: ignore[operator]
    drawn: list[Tensor] = []
    draw = trainer.sampler.draw

    def note(*args: Any) -> Batch:
        drawn.append(args[3])
        return draw(*args)

    monkeypatch.setattr(trainer.sampler, "draw", note)
    costs = trainer.model.blur.costs(phase_at(trainer.share_done, 9, trainer.config))
    assert costs[0] < 0.5 * costs[1]
    for seen, power in ((0, 1.0), (1000, 0.5)):
        trainer.progress.pixels = seen * trainer.sampler.pixels
        trainer.progress.step = 9
        drawn.clear()
        trainer.step()
        evened = drawn[0] * costs**power
        assert torch.allclose(evened, evened[0].expand(len(costs)), rtol=1e-3)


def test_a_loss_that_is_no_number_stops_training(tmp_path: Path) -> None:
    trainer = Trainer(small_scene(tmp_path), small_config("none"), CPU)
    trainer.sampler.photos[:] = torch.nan
    with pytest.raises(FloatingPointError, match="step 0"):
        trainer.step()
