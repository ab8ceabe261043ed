"""The Mask CNN: gates, gradients, and what it is taught."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from tests.blur.models import (
    CAMERA,
    FIRST,
    FIRST_LEARNING,
    HARD,
    HARD_LEARNING,
    MOTIONS,
    PHASES,
    RAYS,
    SMEARED,
    SOFT,
    SOFT_LEARNING,
    VIEWS,
    dynamic,
    force_size,
    kernel_of,
    mask_network,
    own_loss,
    random_colours,
    random_pixels,
    stir,
)
from torch import Tensor

from sharpfield.blur.dynamic import DynamicBlur
from sharpfield.blur.kernel import Kernel, Phase, Pixels
from sharpfield.blur.mask import ViewSizes
from sharpfield.blur.motions import RigidMotions
from sharpfield.blur.nested import rank_by_spread
from sharpfield.blur.tone import gamma_curve
from sharpfield.geometry.rays import pixel_centres
from sharpfield.ops.nested_rays import bilinear, open_gates

LEARNING = (FIRST_LEARNING, SOFT_LEARNING, HARD_LEARNING)
JUDGING = replace(HARD, judge_photos=True)


def photo_loss(kernel: Kernel) -> Tensor:
    """How far the blended random colours are from grey."""
    return (kernel.blend(random_colours(len(kernel.pixel))) - 0.5).square().mean()


def mask_gradients(model: DynamicBlur) -> dict[str, float]:
    return {
        name: 0.0 if parameter.grad is None else float(parameter.grad.abs().sum())
        for name, parameter in model.mask.named_parameters()
    }


def wavering(size: float) -> DynamicBlur:
    """A model whose CNN answers about ``size``, with every layer at work."""
    model = dynamic()
    force_size(model, size)
    torch.nn.init.normal_(mask_network(model).head.weight, std=1e-3)
    return model


class TestGradients:
    @pytest.mark.parametrize("size", [1.0, 3.0, RAYS])
    @pytest.mark.parametrize("phase", [SOFT_LEARNING, HARD_LEARNING])
    def test_the_photo_loss_alone_reaches_every_layer(self, phase: Phase, size: float) -> None:
        """After hardening too, and from a mask that has closed or opened everything."""
        model = wavering(size)
        photo_loss(kernel_of(model, random_pixels(), phase)).backward()
        gradients = mask_gradients(model)
        assert all(gradient > 0 for gradient in gradients.values()), gradients

    @pytest.mark.parametrize("size", [1.0, 3.0, RAYS])
    @pytest.mark.parametrize("phase", LEARNING)
    def test_the_own_loss_alone_reaches_every_layer(self, phase: Phase, size: float) -> None:
        model = wavering(size)
        pixels = random_pixels()
        kernel = kernel_of(model, pixels, phase)
        own_loss(model, kernel, pixels, random_colours(len(kernel.pixel))).backward()
        gradients = mask_gradients(model)
        assert all(gradient > 0 for gradient in gradients.values()), gradients

    def test_the_start_is_no_dead_end(self) -> None:
        model = dynamic()
        photo_loss(kernel_of(model, random_pixels(), HARD_LEARNING)).backward()
        assert mask_gradients(model)["head.weight"] > 0

    @pytest.mark.parametrize(("size", "flat"), [(-1e4, False), (1e4, True)])
    def test_a_saturated_mask_is_still_called_back(self, size: float, flat: bool) -> None:
        """However far the size ran away, its own loss pulls it as hard as ever."""
        model = dynamic()
        force_size(model, size)
        pixels = random_pixels()
        kernel = kernel_of(model, pixels, HARD_LEARNING)
        colours = random_colours(len(kernel.pixel))
        if flat:
            colours = 0.3 + 0.05 * colours  # enough for the photo to count as blurred
        own_loss(model, kernel, pixels, colours).backward()
        bias = mask_network(model).head.bias
        assert bias is not None and bias.grad is not None
        pull = -float(bias.grad)
        assert pull < -0.1 if flat else pull > 0.1

    def test_a_ray_that_is_missing_weighs_more_than_one_too_many(self) -> None:
        """Of pixels that look alike, two in five need all rays, the others one: the mask opens."""
        model = dynamic()
        force_size(model, (1 + RAYS) / 2)
        pixels = random_pixels()
        kernel = kernel_of(model, pixels, HARD_LEARNING)
        colours = random_colours(len(kernel.pixel))
        colours[kernel.pixel % 5 > 1] = 0.5
        own_loss(model, kernel, pixels, colours).backward()
        bias = mask_network(model).head.bias
        assert bias is not None and bias.grad is not None and bias.grad < 0

    @pytest.mark.parametrize("phase", [SOFT, HARD])
    def test_other_steps_leave_the_mask_alone(self, phase: Phase) -> None:
        model = wavering(3.0)
        photo_loss(kernel_of(model, random_pixels(), phase)).backward()
        assert set(mask_gradients(model).values()) == {0.0}

    @pytest.mark.parametrize("phase", [SOFT, HARD, HARD_LEARNING])
    def test_motions_and_weights_go_on_learning(self, phase: Phase) -> None:
        model = wavering(4.0)
        kernel = kernel_of(model, random_pixels(), phase)
        (photo_loss(kernel) + kernel.poses.square().mean()).backward()
        for name, parameter in model.motions.named_parameters():
            assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name


class TestNoNaN:
    @pytest.mark.parametrize("size", [-1e4, 0.0, 1e4])
    @pytest.mark.parametrize("phase", PHASES)
    def test_any_size(self, phase: Phase, size: float) -> None:
        model = dynamic()
        force_size(model, size)
        pixels = random_pixels()
        kernel = kernel_of(model, pixels, phase)
        colours = random_colours(len(kernel.pixel))
        loss = photo_loss(kernel) + own_loss(model, kernel, pixels, colours)
        assert kernel.weights.isfinite().all() and loss.isfinite()
        if not loss.requires_grad:
            return
        loss.backward()
        for name, parameter in model.named_parameters():
            assert parameter.grad is None or parameter.grad.isfinite().all(), name

    @pytest.mark.parametrize("temperature", [1.0, 0.2, 0.0])
    def test_gates_of_any_size(self, temperature: float) -> None:
        size = torch.tensor([-1e4, -1.0, 0.0, 0.5, 1.5, 3.0, 1e4], requires_grad=True)
        gates = open_gates(size, RAYS, temperature)
        assert (gates >= 0).all() and (gates <= 1).all() and (gates.diff(dim=1) <= 0).all()
        assert (gates[:, 0] == 1).all() and (gates[-1] == 1).all() and (gates[0, 1:] == 0).all()
        gates.square().sum().backward()
        assert size.grad is not None and size.grad.isfinite().all()

    @pytest.mark.parametrize("logit", [-1e4, -200.0, 0.0, 200.0, 1e4])
    @pytest.mark.parametrize("size", [1.0, RAYS])
    def test_any_weight_of_the_origin(self, logit: float, size: float) -> None:
        """The origin may weigh next to nothing, or all, and be the only open ray."""
        model = dynamic()
        force_size(model, size)
        assert isinstance(model.motions, RigidMotions)
        with torch.no_grad():
            model.motions.weight_head.bias[0] = logit
        kernel = kernel_of(model, random_pixels(), HARD)
        loss = photo_loss(kernel) + kernel.poses.square().mean()
        assert kernel.weights.isfinite().all() and kernel.poses.isfinite().all()
        sums = torch.zeros(kernel.pixels).index_add(0, kernel.pixel, kernel.weights)
        torch.testing.assert_close(sums, torch.ones(kernel.pixels))
        loss.backward()
        for name, parameter in model.motions.named_parameters():
            assert parameter.grad is not None and parameter.grad.isfinite().all(), name


class TestGates:
    @pytest.mark.parametrize("size", [1, 2, 4, RAYS])
    def test_a_hard_kernel_of_size_n_is_the_first_n_motions(self, size: int) -> None:
        model = dynamic(ray_spacing=0)
        stir(model)
        model.sizes.fill_(size)
        pixels = random_pixels()
        kernel = kernel_of(model, pixels, HARD)
        assert (torch.bincount(kernel.pixel) == size).all()
        ranks = model.ranks(model.motion_poses())
        chosen = (ranks[0] < size).nonzero()[:, 0]
        assert torch.equal(kernel.motion.view(-1, size), chosen.expand(len(pixels), size))
        weights = model.sized_weights(model.base_weights(), ranks)[pixels.view][:, size - 1, chosen]
        torch.testing.assert_close(kernel.weights.view(-1, size), weights)

    @pytest.mark.parametrize(("first", "size"), [(1, 1), (3, 3), (RAYS, RAYS), (0, RAYS)])
    def test_before_the_mask_decides_every_pixel_has_the_first_size(
        self, first: int, size: int
    ) -> None:
        model = dynamic(first_size=first, mask_exploration=0.0)
        stir(model)
        for phase in (FIRST, FIRST_LEARNING):
            kernel = kernel_of(model, random_pixels(), phase)
            assert (torch.bincount(kernel.pixel) == size).all()
            assert (model.costs(phase) == size).all()

    def test_closed_rays_are_not_rendered(self) -> None:
        model = dynamic(first_size=RAYS)
        stir(model)
        pixels = random_pixels()
        rays = []
        for phase in (HARD, SOFT):
            for size in (1.0, 2.3, 4.8, RAYS + 3.0):
                model.sizes.fill_(size)
                rays.append(len(kernel_of(model, pixels, phase).pixel))
        assert rays == sorted(rays[:4]) + sorted(rays[4:])
        assert rays[0] == len(pixels) and rays[3] == rays[7] == len(pixels) * RAYS
        assert rays[4] < len(pixels) * RAYS, "soft gates that are all but closed cost nothing"

    def test_soft_gates_let_sharp_pixels_off_and_give_the_others_the_first_size(self) -> None:
        model = dynamic(first_size=3)
        stir(model)
        pixels = random_pixels()
        for size, rays in ((1.0, 1), (2.0, 3), (RAYS, 3)):
            model.sizes.fill_(size)
            almost_hard = replace(SOFT, temperature=0.1)
            kernel = kernel_of(model, pixels, almost_hard)
            assert (torch.bincount(kernel.pixel) == rays).all()
            assert (model.costs(almost_hard) == rays).all()
            assert len(kernel_of(model, pixels, SOFT)) <= 3 * len(pixels)

    def test_soft_gates_become_the_hard_ones(self) -> None:
        size = torch.linspace(-1, RAYS + 1, 40)
        gates = [open_gates(size, RAYS, t) for t in (1.0, 0.3, 0.01, 0.0)]
        errors = [float((gate - gates[-1]).abs().mean()) for gate in gates]
        assert errors == sorted(errors, reverse=True)
        assert errors[0] > 0.02 and errors[2] < 0.005
        assert set(gates[-1].unique().tolist()) == {0.0, 1.0}

    @pytest.mark.parametrize("phase", LEARNING)
    def test_explored_pixels_have_all_rays(self, phase: Phase) -> None:
        model = dynamic(mask_exploration=0.25)
        force_size(model, 1.0)
        pixels = random_pixels()
        kernel = kernel_of(model, pixels, phase)
        counts = torch.bincount(kernel.pixel)
        assert kernel.exploration is not None
        explored = len(kernel.exploration)
        assert explored == len(pixels) // 4
        assert (counts[:explored] == RAYS).all() and (counts[explored:] < RAYS).all()
        chosen = kernel.pixel < explored
        expected = model.base_weights()[pixels.view[:explored]]
        torch.testing.assert_close(kernel.weights[chosen].view(-1, RAYS), expected)

    def test_no_exploration_where_nothing_is_learnt(self) -> None:
        model = dynamic(mask_exploration=0.25)
        force_size(model, 1.0)
        kernel = kernel_of(model, random_pixels(), HARD)
        assert kernel.exploration is None and len(kernel.pixel) == 80
        kernel = kernel_of(model, random_pixels(), JUDGING)
        assert kernel.exploration is not None and len(kernel.exploration) == 0
        assert len(kernel.pixel) == 80

    def test_a_step_that_learns_renews_the_maps_of_its_views_only(self) -> None:
        model = dynamic()
        force_size(model, 4.0)
        model.sizes.fill_(1.0)
        pixels = random_pixels()
        kernel_of(model, Pixels(pixels.view % 2 + 1, pixels.xy), HARD_LEARNING)
        torch.testing.assert_close(model.sizes[1:3], torch.full_like(model.sizes[1:3], 4.0))
        assert (model.sizes[[0, 3, 4]] == 1.0).all()


class TestPhotoGate:
    """Photos that are sharp already have one ray per pixel, whatever the CNN says."""

    def closed(self, exploration: float = 0.25) -> tuple[DynamicBlur, Pixels, Tensor]:
        """A model that wants all rays but of two photos; pixels, and which of them show those.

        All rays count alike, so that random colours make a difference everywhere.
        """
        model = dynamic(first_size=RAYS, mask_exploration=exploration, even_weights=True)
        stir(model)
        force_size(model, RAYS + 2.0)
        model.sizes.fill_(RAYS + 2.0)
        model.photo_gate.open.copy_(torch.arange(VIEWS) >= 2)
        pixels = random_pixels()
        return model, pixels, pixels.view < 2

    @pytest.mark.parametrize("phase", [SOFT, HARD])
    def test_closed_photos_cost_one_ray(self, phase: Phase) -> None:
        model, pixels, sharp = self.closed()
        counts = torch.bincount(kernel_of(model, pixels, phase).pixel)
        assert (counts[sharp] == 1).all() and (counts[~sharp] == RAYS).all()
        assert model.costs(phase).tolist() == [1.0, 1.0, *[RAYS] * (VIEWS - 2)]
        for view in range(VIEWS):
            assert (model.masks(view).sum(0) == (1 if view < 2 else RAYS)).all()

    def test_none_is_closed_before_the_mask_decides(self) -> None:
        model, pixels, _ = self.closed()
        assert (torch.bincount(kernel_of(model, pixels, FIRST).pixel) == RAYS).all()
        assert (model.costs(FIRST) == RAYS).all()

    @pytest.mark.parametrize("phase", LEARNING)
    def test_what_is_explored_of_them_has_all_rays_and_should_have_one(self, phase: Phase) -> None:
        model, pixels, sharp = self.closed(0.5)
        kernel = kernel_of(model, pixels, phase)
        assert kernel.exploration is not None
        explored = len(kernel.exploration)
        assert (torch.bincount(kernel.pixel)[:explored] == RAYS).all()
        model.photo_gate.follow = lambda *_: None  # type: ignore[method-assign]
        sizes = kernel.exploration.sizes
        (taught,) = torch.autograd.grad(
            own_loss(model, kernel, pixels, random_colours(len(kernel))), sizes
        )
        assert sharp[:explored].any() and (taught[sharp[:explored]] > 0).all()
        assert (taught[~sharp[:explored]] < taught[sharp[:explored]].min()).all()

    @pytest.mark.parametrize("phase", [*LEARNING, JUDGING])
    def test_every_pixel_that_has_all_its_rays_tells_of_its_photo(self, phase: Phase) -> None:
        """Not only those that are explored, nor what pixels that lack some show."""
        model, pixels, _ = self.closed(0.1)
        kernel = kernel_of(model, pixels, phase)
        told = torch.bincount(kernel.pixel) == RAYS
        colours = torch.full((len(kernel), 3), 0.4)
        last = pixels.view == VIEWS - 1
        colours[last[kernel.pixel]] = random_colours(len(kernel))[last[kernel.pixel]]
        own_loss(model, kernel, pixels, colours)
        changes, count = model.photo_gate.changes.unbind(1)
        assert torch.equal(count, torch.bincount(pixels.view[told], minlength=VIEWS).float())
        seen = count > 0
        assert seen[VIEWS - 1] and changes[VIEWS - 1] > 1e-3
        assert changes[: VIEWS - 1].max() < 1e-9
        assert model.photo_gate.open.tolist() == [not s for s in seen[:-1].tolist()] + [True]

    def test_what_the_kernel_shows_and_the_origin_does_not_is_blurred(self) -> None:
        model, pixels, _ = self.closed(1.0)
        kernel = kernel_of(model, pixels, HARD_LEARNING)
        colours = random_colours(len(kernel))
        faint = (pixels.view < 2)[kernel.pixel]
        colours[faint] = 0.4 + 1e-3 * colours[faint]  # far less than others change
        blurred = gamma_curve(kernel.blend(colours).detach())
        unmoved = gamma_curve(colours[kernel.motion == 0])
        photo = torch.where(pixels.view[:, None] == 0, blurred, unmoved)
        model.own_loss(kernel, pixels, photo, colours, gamma_curve)
        assert model.photo_gate.open[:2].tolist() == [True, False]

    def test_a_photo_that_turns_out_blurred_opens_again(self) -> None:
        model, pixels, _ = self.closed(1.0)
        for _ in range(20):
            kernel = kernel_of(model, pixels, HARD_LEARNING)
            own_loss(model, kernel, pixels, random_colours(len(kernel)))
        assert model.photo_gate.open.all()


class TestMap:
    def test_a_photo_of_one_kind_has_one_size_up_to_its_border(self) -> None:
        network = mask_network(dynamic())
        torch.nn.init.normal_(network.head.weight, generator=torch.Generator().manual_seed(3))
        network.evidence.fill_(0.5)
        views = torch.arange(VIEWS)
        embedding = torch.randn(VIEWS, 8, generator=torch.Generator().manual_seed(4))
        maps = network(views, embedding, torch.full((VIEWS, 3, 3), 2.0))
        torch.testing.assert_close(maps, maps[:, :1, :1].expand_as(maps))

    @pytest.mark.parametrize("spacing", [0.0, 0.5])
    def test_map_and_kernel_rays_agree(self, spacing: float) -> None:
        model = dynamic(ray_spacing=spacing)
        stir(model)
        centres = pixel_centres(CAMERA)
        for view in (0, 3):
            pixels = Pixels(torch.full((len(centres),), view), centres)
            kernel = kernel_of(model, pixels, HARD)
            rendered = torch.zeros(len(centres), RAYS)
            rendered[kernel.pixel, kernel.motion] = 1.0
            mask = model.masks(view)
            assert mask.shape == (RAYS, CAMERA.height, CAMERA.width)
            size = bilinear(model.sizes, pixels.view, centres, CAMERA)
            decided = ((size - 0.5) - (size - 0.5).round()).abs() > 1e-4
            assert decided.float().mean() > 0.95 and 1.5 < rendered.sum(1).mean() < RAYS - 0.5
            assert torch.equal(mask.flatten(1).sum(0)[decided], rendered.sum(1)[decided])
            if spacing == 0:
                assert torch.equal(mask.flatten(1).t()[decided], rendered[decided])

    def test_bilinear_reads_the_right_place(self) -> None:
        maps = torch.zeros(2, 4, 6)
        maps[1] = torch.arange(6.0) + 10 * torch.arange(4.0)[:, None]
        x, y = torch.tensor([2.0, 6.0, 23.9, 0.1]), torch.tensor([2.0, 8.0, 15.9, 0.1])
        read = bilinear(maps, torch.tensor([1, 1, 1, 1]), torch.stack([x, y], 1), CAMERA)
        torch.testing.assert_close(read, torch.tensor([0.0, 16.0, 35.0, 0.0]))
        assert bilinear(maps, torch.tensor([0]), torch.tensor([[9.0, 9.0]]), CAMERA) == 0


class TestLessons:
    """What the mask is told when it has seen the colours of all rays."""

    def wanted(
        self,
        colours: Tensor,
        tolerance: float = 0.02,
        sharp: float = 0.0,
        phase: Phase = HARD_LEARNING,
        stirred: bool = False,
    ) -> Tensor:
        model = dynamic(mask_exploration=1.0, mask_tolerance=tolerance, sharp_tolerance=sharp)
        if stirred:
            stir(model)
        pixels = random_pixels(20)
        kernel = kernel_of(model, pixels, phase)
        assert kernel.exploration is not None
        return model._wanted_sizes(kernel.exploration, pixels, colours, gamma_curve)

    def test_flat_colour_wants_the_origin_only(self) -> None:
        assert (self.wanted(torch.full((20 * RAYS, 3), 0.4), stirred=True) == 1).all()

    def test_varying_colour_wants_many(self) -> None:
        wanted = self.wanted(random_colours(20 * RAYS), 1e-3, stirred=True)
        assert wanted.float().mean() > RAYS - 2 and wanted.max() <= RAYS

    def test_colours_are_compared_as_the_tone_curve_shows_them(self) -> None:
        model, pixels = dynamic(mask_exploration=1.0, mask_tolerance=1e-3), random_pixels(20)
        kernel = kernel_of(model, pixels, HARD_LEARNING)
        assert kernel.exploration is not None
        colours = random_colours(20 * RAYS)
        for tone, least, most in ((lambda light: light, RAYS - 2, RAYS), (torch.zeros_like, 1, 1)):
            wanted = model._wanted_sizes(kernel.exploration, pixels, colours, tone).float()
            assert least <= wanted.mean() <= most

    def test_a_wider_tolerance_wants_less(self) -> None:
        colours = random_colours(20 * RAYS)
        widths = (1e-3, 0.1, 0.2, 2.0)
        sizes = [self.wanted(colours, width, stirred=True).float().mean() for width in widths]
        assert sizes == sorted(sizes, reverse=True)
        assert sizes[0] > sizes[1] > sizes[2] and sizes[3] == 1

    @pytest.mark.parametrize("bright", [1, 3, RAYS - 1])
    def test_a_kernel_reaches_to_the_last_ray_that_matters(self, bright: int) -> None:
        colours = torch.full((20 * RAYS, 3), 0.5)
        rank = rank_by_spread(MOTIONS)
        colours.view(20, RAYS, 3)[:, (rank == bright).nonzero()[0]] = 1.0
        wanted = self.wanted(colours, 0.005)
        assert (wanted > bright).all() and (wanted <= RAYS).all()

    def test_pixels_are_judged_alone_when_gates_are_hard(self) -> None:
        colours = random_colours(20 * RAYS)
        exact, lenient = (self.wanted(colours, sharp=sharp) for sharp in (0.0, 0.2))
        let_off = lenient < exact
        assert let_off.any() and (lenient > 1).any()
        assert (lenient[let_off] == 1).all() and (self.wanted(colours, sharp=2.0) == 1).all()
        for phase in (FIRST_LEARNING, SOFT_LEARNING):
            assert torch.equal(self.wanted(colours, sharp=2.0, phase=phase), exact)


class TestLearning:
    def test_without_explored_pixels_there_is_no_lesson(self) -> None:
        model = dynamic()
        stir(model)
        pixels = random_pixels()
        kernel = kernel_of(model, pixels, HARD)
        assert own_loss(model, kernel, pixels, random_colours(len(kernel.pixel))) == 0

    @pytest.mark.parametrize("start", [1.0, RAYS])
    def test_the_mask_learns_which_views_are_smeared(self, start: float) -> None:
        """From a closed mask as from an open one: closed rays open again where they matter."""
        model = wavering(start)
        optimiser = torch.optim.Adam(model.mask.parameters(), lr=2e-2)
        pixels = random_pixels()
        smeared = pixels.view >= SMEARED
        for _ in range(80):
            kernel = kernel_of(model, pixels, HARD_LEARNING)
            colours = random_colours(len(kernel.pixel))
            colours[~smeared[kernel.pixel]] = 0.4
            optimiser.zero_grad()
            own_loss(model, kernel, pixels, colours).backward()
            optimiser.step()
        counts = torch.bincount(kernel_of(model, pixels, HARD).pixel).float()
        assert counts[~smeared].mean() < 1.5
        assert counts[smeared].mean() > 4


class TestAblations:
    """What the benchmark takes away to see what it is worth."""

    def test_without_the_network_a_view_has_one_size_and_learns_it(self) -> None:
        model = dynamic(mask="view")
        pixels = random_pixels()
        kernel = kernel_of(model, pixels, HARD_LEARNING)
        own_loss(model, kernel, pixels, random_colours(len(kernel.pixel))).backward()
        assert isinstance(model.mask, ViewSizes)
        learned = model.mask.share.grad
        assert learned is not None
        assert set() < set(torch.nonzero(learned).flatten().tolist()) <= set(pixels.view.tolist())
        with torch.no_grad():
            model.mask.share.copy_(torch.linspace(0, 1, VIEWS))
        kernel_of(model, pixels, HARD_LEARNING)
        maps = [model.masks(view).sum(0) for view in pixels.view.unique().tolist()]
        sizes = [float(size[0, 0]) for size in maps]
        assert all((size == size[0, 0]).all() for size in maps)
        assert sizes == sorted(sizes) and sizes[0] < sizes[-1]

    def test_without_renormalisation_closed_rays_darken_the_pixel(self) -> None:
        pixels = random_pixels()
        for renormalise in (True, False):
            model = dynamic(renormalise=renormalise)
            force_size(model, 3.0)
            kernel = kernel_of(model, pixels, HARD)
            white = kernel.blend(torch.ones(len(kernel.pixel), 3))
            expected = 1.0 if renormalise else 3.0 / RAYS
            torch.testing.assert_close(white, torch.full_like(white, expected), rtol=1e-3, atol=0)
