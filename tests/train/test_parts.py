"""Steps in parts: on one machine for memory, on several for time, with one and the same result."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass, replace
from functools import cache
from pathlib import Path

import pytest
import torch
from tests.blur.models import mask_network
from tests.train.small_classic import classic_config
from tests.train.small_scene import small_config, small_scene
from torch import Tensor, nn

from sharpfield.blur.dynamic import DynamicBlur
from sharpfield.blur.kernel import WARM_UP, Kernel, Phase, Pixels
from sharpfield.config import BlurName, Config, FieldName
from sharpfield.errors import InputError
from sharpfield.model import Model
from sharpfield.train.distributed import ALONE, Group
from sharpfield.train.parts import cut_into_parts
from sharpfield.train.pixel_sampler import Batch, PixelSampler
from sharpfield.train.step import StepResult, StepSettings, compute_gradients

CASES = [(5, 1), (40, 1), (40, 3), (3, 4), (1, 1), (1, 3)]
"""Pixels and processes."""


def ragged_kernel(pixels: int, largest: int = 5, seed: int = 0) -> Kernel:
    """Every pixel has from one to ``largest`` rays."""
    sizes = torch.randint(1, largest + 1, (pixels,), generator=torch.Generator().manual_seed(seed))
    pixel = torch.arange(pixels).repeat_interleave(sizes)
    rays = len(pixel)
    return Kernel(pixel, pixel * 0, torch.rand(rays, 3, 4), torch.rand(rays), pixels)


@pytest.mark.parametrize("rays_at_once", [0, 1, 4, 7, 20, 10_000])
@pytest.mark.parametrize(("pixels", "processes"), CASES)
class TestCut:
    def test_everything_comes_once_and_in_order(
        self, pixels: int, processes: int, rays_at_once: int
    ) -> None:
        kernel = ragged_kernel(pixels)
        parts = cut_into_parts(kernel, rays_at_once, processes)
        of_pixels = [i for part in parts for i in range(part.pixels.start, part.pixels.stop)]
        of_rays = [i for part in parts for i in range(part.rays.start, part.rays.stop)]
        assert of_pixels == list(range(pixels)) and of_rays == list(range(len(kernel)))

    def test_no_pixel_is_cut(self, pixels: int, processes: int, rays_at_once: int) -> None:
        kernel = ragged_kernel(pixels)
        for part in cut_into_parts(kernel, rays_at_once, processes):
            belongs = (kernel.pixel >= part.pixels.start) & (kernel.pixel < part.pixels.stop)
            its_rays = torch.zeros(len(kernel), dtype=torch.bool)
            its_rays[part.rays] = True
            assert torch.equal(belongs, its_rays)

    def test_parts_are_about_as_large_as_asked(
        self, pixels: int, processes: int, rays_at_once: int
    ) -> None:
        kernel = ragged_kernel(pixels)
        parts = cut_into_parts(kernel, rays_at_once, processes)
        assert len(parts) % processes == 0
        if rays_at_once == 0:
            assert len(parts) == processes
        even = len(kernel) / len(parts)
        for part in parts:
            rays = part.rays.stop - part.rays.start
            assert even - 5 < rays < even + 5
            assert rays_at_once == 0 or rays < rays_at_once + 5
        whole = math.ceil(len(kernel) / processes)
        assert rays_at_once < whole or len(parts) == processes

    def test_a_part_blends_its_own_pixels(
        self, pixels: int, processes: int, rays_at_once: int
    ) -> None:
        kernel = ragged_kernel(pixels)
        colours = torch.rand(len(kernel), 3)
        blended = [
            kernel.part(part.rays, part.pixels).blend(colours[part.rays])
            for part in cut_into_parts(kernel, rays_at_once, processes)
        ]
        torch.testing.assert_close(torch.cat(blended), kernel.blend(colours))


def test_even_kernels_are_cut_evenly() -> None:
    pixel = torch.arange(12).repeat_interleave(5)
    kernel = Kernel(pixel, pixel * 0, torch.rand(60, 3, 4), torch.rand(60), 12)
    parts = cut_into_parts(kernel, 20, 1)
    assert [(part.rays.start, part.rays.stop) for part in parts] == [(0, 20), (20, 40), (40, 60)]
    assert [part.pixels.stop for part in cut_into_parts(kernel, 15, 2)] == [3, 6, 9, 12]


PIXELS = 24
SOFT_LEARNING = Phase(kernel_open=True, mask_open=True, temperature=0.5, learn_mask=True)
SHARE = 0.3
LARGE = 0.2
MODELS: tuple[BlurName, ...] = ("none", "sparse", "rigid", "dynamic")
FIELDS: tuple[FieldName, ...] = ("hashgrid", "mlp")
MIXES = [(model, field) for model in MODELS for field in FIELDS]


@dataclass
class Case:
    """A model in the midst of training, and a batch for it."""

    model: Model
    batch: Batch

    def gradients(self, phase: Phase, rays_at_once: int, group: Group) -> Gradients:
        model = copy.deepcopy(self.model)
        settings = StepSettings(phase, SHARE, rays_at_once, LARGE)
        generator = torch.Generator().manual_seed(2)
        result = compute_gradients(model, self.batch, settings, generator, group)
        return Gradients(result, gradients_of(model), state_of(model, generator))


@dataclass
class Gradients:
    """What a step gave, the gradients by name, and everything else that it changed."""

    result: StepResult
    named: dict[str, Tensor]
    state: dict[str, Tensor]


def gradients_of(model: Model) -> dict[str, Tensor]:
    return {n: p.grad for n, p in model.named_parameters() if p.grad is not None}


def state_of(model: Model, generator: torch.Generator) -> dict[str, Tensor]:
    return {**dict(model.named_buffers()), "random": generator.get_state()}


def configuration(model: BlurName, field: FieldName) -> Config:
    """With everything on that draws random numbers or has parameters."""
    if field == "hashgrid":
        return small_config(model)
    config = classic_config(model)
    return replace(
        config,
        mlp=replace(config.mlp, colour_activation="none", density_activation="softplus"),
        hierarchical=replace(config.hierarchical, density_noise=0.5),
        scene=replace(config.scene, tone="learn"),
    )


@cache
def make_case(model_name: BlurName, field: FieldName) -> Case:
    scene = small_scene(Path("."))
    torch.manual_seed(1)
    model = Model(scene, configuration(model_name, field))
    random = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if not name.startswith("field."):
                parameter.add_(0.1 * torch.randn(parameter.shape, generator=random))
        if isinstance(model.blur, DynamicBlur):
            mask_network(model.blur).head.weight.mul_(30.0)
            sizes = model.blur.sizes
            sizes.copy_(1.0 + model.blur.rays * torch.rand(sizes.shape, generator=random))
    photos = torch.stack([torch.from_numpy(scene.views[i].photo) for i in scene.train_indices])
    shares = torch.ones(len(photos))
    return Case(model, PixelSampler(photos).draw(PIXELS, 0, random, shares))


def assert_same(ours: Gradients, theirs: Gradients, tolerance: float = 2e-4) -> None:
    assert_same_result(ours.result, theirs.result)
    assert_same_gradients(ours.named, theirs.named, tolerance)
    assert_same_state(ours.state, theirs.state)


MEASURED = "blur.photo_gate.changes"


def assert_same_state(ours: dict[str, Tensor], theirs: dict[str, Tensor]) -> None:
    """Bit for bit, but for what is measured on rendered colours, which parts round otherwise."""
    assert ours.keys() == theirs.keys()
    other = [name for name in ours if not torch.equal(ours[name], theirs[name])]
    assert set(other) <= {MEASURED}
    if other:
        torch.testing.assert_close(ours[MEASURED], theirs[MEASURED], rtol=1e-3, atol=1e-7)


def assert_same_result(ours: StepResult, theirs: StepResult) -> None:
    torch.testing.assert_close(astuple(ours), astuple(theirs), rtol=1e-5, atol=1e-7)
    assert (ours.rays, ours.samples) == (theirs.rays, theirs.samples)


def assert_same_gradients(
    ours: dict[str, Tensor], theirs: dict[str, Tensor], tolerance: float = 2e-4
) -> None:
    """To a share of the largest element of each."""
    assert ours.keys() == theirs.keys()
    far = {
        name: float((ours[name] - theirs[name]).abs().max() / theirs[name].abs().max())
        for name in ours
        if theirs[name].any() or ours[name].any()
    }
    assert {name: error for name, error in far.items() if error > tolerance} == {}


def plain_gradients(case: Case, phase: Phase) -> Gradients:
    """The step as its formula reads, in one graph from pixels to loss."""
    model, batch = copy.deepcopy(case.model), case.batch
    generator = torch.Generator().manual_seed(2)
    kernel = model.blur.training_kernel(batch.pixels, phase, generator)
    draws = model.renderer.draws(len(kernel), generator)
    seen = model.renderer(model.field, model.kernel_rays(batch.pixels, kernel), draws)

    def off(weights: Tensor, colours: Tensor) -> Tensor:
        blended = [
            (weights[kernel.pixel == i, None] * colours[kernel.pixel == i]).sum(0)
            for i in range(PIXELS)
        ]
        return (model.display(torch.stack(blended)) - batch.colours).abs()

    def cost(off: Tensor) -> Tensor:
        assert (off > LARGE).any() and (off < LARGE).any()
        return torch.where(off < LARGE, off**2, LARGE * (2 * off - LARGE)).mean()

    fine = off(kernel.weights, seen.colour)
    error, loss = (fine**2).mean(), cost(fine)
    if seen.coarse is not None:
        loss = loss + cost(off(kernel.weights, seen.coarse))
    if model.adaptive is not None and phase.kernel_open:
        assert seen.met is not None
        adapted = model.adaptive_weights(batch.pixels, kernel, seen.met)
        loss = (1 - SHARE) * loss + SHARE * cost(off(adapted, seen.colour))
    own = model.blur.own_loss(
        kernel, batch.pixels, batch.colours, seen.colour.detach(), model.display
    )
    (loss + own).backward()
    result = StepResult(error.item(), loss.item(), len(kernel), seen.samples, own.item())
    return Gradients(result, gradients_of(model), state_of(model, generator))


class Listener(Group):
    """The only process; keeps what its rays have seen."""

    seen: Tensor

    def total(self, values: Tensor) -> Tensor:
        if values.dim() == 2:
            self.seen = values.clone()
        return values


class OneOfMany(Group):
    """One process of several that hears nothing of the others but what their rays have seen."""

    def __init__(self, rank: int, size: int, seen: Tensor) -> None:
        super().__init__(rank, size)
        self.seen = seen

    def total(self, values: Tensor) -> Tensor:
        if values.dim() == 1:
            return values
        known = values.any(1)
        torch.testing.assert_close(values[known], self.seen[known])
        return self.seen

    def add_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        pass

    def share(self, tensors: Iterable[Tensor]) -> None:
        pass

    def of_all(self, values: Sequence[float], device: torch.device) -> list[list[float]]:
        return [list(values)] * self.size


class Disagreeing(Group):
    """The only process, which hears of another that has one ray more."""

    def of_all(self, values: Sequence[float], device: torch.device) -> list[list[float]]:
        return [list(values), [value + 1.0 for value in values]]


@pytest.mark.parametrize(("model", "field"), MIXES)
class TestComputeGradients:
    def test_is_the_gradient_of_the_loss(self, model: BlurName, field: FieldName) -> None:
        case = make_case(model, field)
        assert_same(case.gradients(SOFT_LEARNING, 0, ALONE), plain_gradients(case, SOFT_LEARNING))
        assert_same(case.gradients(WARM_UP, 0, ALONE), plain_gradients(case, WARM_UP))

    def test_everything_is_reached(self, model: BlurName, field: FieldName) -> None:
        case = make_case(model, field)
        whole = case.gradients(SOFT_LEARNING, 0, ALONE)
        every = dict(case.model.named_parameters())
        hard = "blur.small."  # small kernels are for hard gates
        soft = [name for name in every if not name.startswith(hard)]
        assert [n for n in soft if n not in whole.named or not whole.named[n].any()] == []
        assert (whole.result.own_loss > 0) == (model in ("sparse", "dynamic"))
        assert whole.result.loss > 0 and whole.result.error > 0
        kernel = case.model.blur.kernel(case.batch.pixels, SOFT_LEARNING)
        assert whole.result.rays == len(kernel) >= PIXELS
        if model == "dynamic":
            assert kernel.exploration is not None and len(kernel.exploration) == PIXELS // 4
            assert len(kernel.pixel.bincount().unique()) > 1, "a kernel of even sizes tests less"

    def test_processes_must_see_the_same_kernel(self, model: BlurName, field: FieldName) -> None:
        with pytest.raises(InputError, match="kernels of different sizes"):
            make_case(model, field).gradients(SOFT_LEARNING, 0, Disagreeing())

    @pytest.mark.parametrize("rays_at_once", [7, 100])
    def test_parts_do_not_change_it(
        self, model: BlurName, field: FieldName, rays_at_once: int
    ) -> None:
        case = make_case(model, field)
        whole = case.gradients(SOFT_LEARNING, 0, ALONE)
        assert_same(case.gradients(SOFT_LEARNING, rays_at_once, ALONE), whole)

    @pytest.mark.parametrize("rays_at_once", [0, 7])
    def test_processes_add_up_to_it(
        self, model: BlurName, field: FieldName, rays_at_once: int
    ) -> None:
        assert_processes_add_up(make_case(model, field), rays_at_once, 2)


@pytest.mark.parametrize("tolerance", [0.001, 0.002, 0.004, 0.008, 0.016, 0.032])
def test_parts_do_not_change_which_photos_are_sharp(tolerance: float) -> None:
    """A photo is judged by all of its pixels, wherever the parts of a step end."""
    case = make_case("dynamic", "hashgrid")
    model = copy.deepcopy(case.model)
    assert isinstance(model.blur, DynamicBlur)
    model.blur.config = replace(
        model.blur.config, mask_tolerance=0.0, photo_share=0.0, photo_tolerance=tolerance
    )
    one_photo = Pixels(torch.zeros_like(case.batch.pixels.view), case.batch.pixels.xy)
    ours = Case(model, replace(case.batch, pixels=one_photo))
    whole = ours.gradients(SOFT_LEARNING, 0, ALONE)
    assert_same(ours.gradients(SOFT_LEARNING, 7, ALONE), whole)


def test_more_processes_than_pixels_add_up_too() -> None:
    assert_processes_add_up(make_case("dynamic", "hashgrid"), 0, PIXELS + 6)


def assert_processes_add_up(case: Case, rays_at_once: int, processes: int) -> None:
    alone = Listener()
    whole = case.gradients(SOFT_LEARNING, rays_at_once, alone)
    each = [
        case.gradients(SOFT_LEARNING, rays_at_once, OneOfMany(rank, processes, alone.seen))
        for rank in range(processes)
    ]
    names = {name for one in each for name in one.named}
    total = {n: sum_of([one.named[n] for one in each if n in one.named]) for n in names}
    assert_same_gradients(total, whole.named)
    results = [one.result for one in each]
    assert {result.rays for result in results} == {whole.result.rays}
    added = StepResult(
        sum(result.error for result in results),
        sum(result.loss for result in results),
        whole.result.rays,
        sum(result.samples for result in results),
        sum(result.own_loss for result in results),
    )
    assert_same_result(added, whole.result)
    assert results[0].samples < whole.result.samples
    for one in each:
        assert_same_state(one.state, whole.state)


def sum_of(tensors: list[Tensor]) -> Tensor:
    return torch.stack(tensors).sum(0)
