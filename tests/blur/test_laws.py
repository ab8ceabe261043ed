"""What holds for every blur model."""

from __future__ import annotations

import pytest
import torch
from tests.blur.models import (
    CAMERA,
    FIRST,
    HARD,
    HARD_LEARNING,
    PHASES,
    RAYS,
    SOFT,
    WARM,
    correct_poses,
    dynamic,
    dynamic_lens,
    dynamic_network,
    force_size,
    kernel_of,
    lens,
    none,
    random_colours,
    random_pixels,
    rigid,
    rigid_lens,
    rigid_network,
    sparse,
    stir,
    trajectory,
    without_origin,
)

from sharpfield.blur.kernel import Kernel, Phase, Pixels
from sharpfield.blur.none import NoBlur

RIGID_MODELS = [none, rigid, rigid_network, lens, dynamic, dynamic_lens, dynamic_network]
"""The same motions for all pixels of a view."""
MODELS = [*RIGID_MODELS, sparse]


def assert_same_kernel(ours: Kernel, theirs: Kernel) -> None:
    assert torch.equal(ours.pixel, theirs.pixel) and torch.equal(ours.motion, theirs.motion)
    assert ours.pixels == theirs.pixels
    torch.testing.assert_close(ours.poses, theirs.poses)
    torch.testing.assert_close(ours.weights, theirs.weights)


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("build", [*MODELS, trajectory])
class TestEveryModel:
    def make(self, build, phase: Phase) -> tuple[Pixels, Kernel]:
        model = build()
        stir(model)
        pixels = random_pixels()
        return pixels, kernel_of(model, pixels, phase)

    def test_constant_colour_in_same_colour_out(self, build, phase: Phase) -> None:
        pixels, kernel = self.make(build, phase)
        colour = torch.tensor([0.2, 0.7, 1.0])
        blended = kernel.blend(colour.expand(len(kernel.pixel), 3))
        torch.testing.assert_close(blended, colour.expand(len(pixels), 3))

    def test_weights_are_an_average(self, build, phase: Phase) -> None:
        pixels, kernel = self.make(build, phase)
        assert (kernel.weights >= 0).all()
        sums = torch.zeros(len(pixels)).index_add(0, kernel.pixel, kernel.weights)
        torch.testing.assert_close(sums, torch.ones(len(pixels)))

    def test_rays_are_packed_pixel_after_pixel(self, build, phase: Phase) -> None:
        pixels, kernel = self.make(build, phase)
        assert (kernel.pixel.diff() >= 0).all()
        assert torch.equal(kernel.pixel.unique(), torch.arange(len(pixels)))

    def test_the_origin_is_open(self, build, phase: Phase) -> None:
        pixels, kernel = self.make(build, phase)
        origin = kernel.motion == 0
        if build is trajectory and phase.kernel_open:  # its cameras are all on the path
            assert not origin.any()
            return
        assert torch.equal(kernel.pixel[origin], torch.arange(len(pixels)))
        assert (kernel.weights[origin] > 0).all()

    def test_no_ray_twice(self, build, phase: Phase) -> None:
        _, kernel = self.make(build, phase)
        assert len((kernel.pixel * RAYS + kernel.motion).unique()) == len(kernel.pixel)


@pytest.mark.parametrize("build", RIGID_MODELS)
def test_motion_zero_is_the_given_pose(build) -> None:
    model = build()
    stir(model)
    poses = model.motion_poses()
    torch.testing.assert_close(poses[:, 0], model.poses)


@pytest.mark.parametrize("build", MODELS)
def test_every_motion_has_a_share(build) -> None:
    model = build()
    stir(model)
    views, motions = model.motion_poses().shape[:2]
    weights = model.base_weights()
    assert weights.shape == (views, motions)
    torch.testing.assert_close(weights.sum(1), torch.ones(views))


@pytest.mark.parametrize("build", [rigid, rigid_network, dynamic, dynamic_network])
def test_kernel_rays_carry_the_poses_and_weights_of_their_motions(build) -> None:
    model = build(first_size=RAYS)
    stir(model)
    pixels = random_pixels()
    kernel = kernel_of(model, pixels, FIRST)
    assert len(kernel.pixel) == len(pixels) * RAYS
    view = pixels.view[kernel.pixel]
    torch.testing.assert_close(kernel.poses, model.motion_poses()[view, kernel.motion])
    torch.testing.assert_close(kernel.weights, model.base_weights()[view, kernel.motion])


@pytest.mark.parametrize("build", [sparse, rigid, rigid_network, dynamic, dynamic_network])
def test_warm_up_is_plain_nerf(build) -> None:
    model = build()
    stir(model)
    pixels = random_pixels()
    assert_same_kernel(kernel_of(model, pixels, WARM), kernel_of(none(), pixels, FIRST))


def test_without_the_origin_the_motions_share_its_weight() -> None:
    model, whole = without_origin(), rigid()
    for each in (model, whole):
        stir(each)
    pixels = random_pixels()
    kernel = kernel_of(model, pixels, FIRST)
    assert (torch.bincount(kernel.pixel) == RAYS - 1).all() and kernel.motion.min() == 1
    assert (model.costs(FIRST) == RAYS - 1).all() and (model.costs(WARM) == 1).all()
    assert (model.masks(2)[0] == 0).all() and (model.masks(2)[1:] == 1).all()
    theirs = whole.base_weights()[:, 1:]
    shared = theirs / theirs.sum(1, keepdim=True)
    torch.testing.assert_close(kernel.weights.view(-1, RAYS - 1), shared[pixels.view])
    torch.testing.assert_close(model.base_weights()[:, 1:], shared)
    assert (model.base_weights()[:, 0] == 0).all()


with_and_without_corrections = pytest.mark.parametrize("corrected", [False, True])


@with_and_without_corrections
@pytest.mark.parametrize("phase", [FIRST, SOFT, HARD])
@pytest.mark.parametrize("order", ["spread", "size"])
@pytest.mark.parametrize(
    ("build", "build_rigid"), [(dynamic, rigid), (dynamic_lens, rigid_lens)], ids=["path", "lens"]
)
def test_all_gates_open_is_rigid(
    build, build_rigid, order: str, phase: Phase, corrected: bool
) -> None:
    ours, theirs = build(first_size=RAYS, order=order), build_rigid(seed=1)
    if corrected:
        correct_poses(ours)
        correct_poses(theirs)
    stir(ours)
    theirs.motions.load_state_dict(ours.motions.state_dict())
    if corrected:
        theirs.correction.load_state_dict(ours.correction.state_dict())
    ours.sizes.fill_(RAYS + 100.0)
    pixels = random_pixels()
    assert_same_kernel(kernel_of(ours, pixels, phase), kernel_of(theirs, pixels, phase))


@with_and_without_corrections
@pytest.mark.parametrize("size", [1.0, 0.0, -100.0])
@pytest.mark.parametrize("order", ["spread", "size"])
@pytest.mark.parametrize("build", [dynamic, dynamic_lens])
def test_only_the_origin_open_is_none(build, order: str, size: float, corrected: bool) -> None:
    """At the poses that the photos have been found to have."""
    ours = build(order=order)
    if corrected:
        correct_poses(ours)
    stir(ours)
    theirs = NoBlur(ours.centres().detach(), CAMERA.height, CAMERA.width)
    assert torch.allclose(theirs.poses, ours.poses) != corrected
    ours.sizes.fill_(size)
    pixels = random_pixels()
    assert_same_kernel(kernel_of(ours, pixels, HARD), kernel_of(theirs, pixels, HARD))


@pytest.mark.parametrize("phase", [FIRST, SOFT, HARD])
@pytest.mark.parametrize("build", [*RIGID_MODELS, trajectory])
def test_a_pixel_does_not_depend_on_the_rest_of_the_batch(build, phase: Phase) -> None:
    model = build()
    stir(model)
    pixels = random_pixels()
    shuffle = torch.randperm(len(pixels), generator=torch.Generator().manual_seed(1))
    whole = kernel_of(model, pixels, phase)
    colours = torch.zeros(len(pixels), RAYS, 3)
    colours[whole.pixel, whole.motion] = random_colours(len(whole.pixel))
    blended = whole.blend(colours[whole.pixel, whole.motion])
    for chosen in (shuffle, shuffle[:7], shuffle[:1]):
        part = kernel_of(model, Pixels(pixels.view[chosen], pixels.xy[chosen]), phase)
        for pixel, original in enumerate(chosen):
            mine, before = part.pixel == pixel, whole.pixel == original
            assert torch.equal(part.motion[mine], whole.motion[before])
            torch.testing.assert_close(
                part.weights[mine], whole.weights[before], rtol=1e-5, atol=1e-7
            )
            assert torch.equal(part.poses[mine], whole.poses[before])
        again = part.blend(colours[chosen][part.pixel, part.motion])
        torch.testing.assert_close(again, blended[chosen])


def test_learning_views_do_not_disturb_each_other() -> None:
    """The CNN sees a view alone, whichever other views are in the step."""
    model = dynamic(mask_exploration=0.0)
    stir(model)
    pixels = random_pixels()
    whole = kernel_of(model, pixels, HARD_LEARNING)
    sizes = model.sizes.clone()
    assert len(whole.pixel) < len(pixels) * RAYS
    for view in pixels.view.unique():
        chosen = pixels.view == view
        part = kernel_of(model, Pixels(pixels.view[chosen], pixels.xy[chosen]), HARD_LEARNING)
        torch.testing.assert_close(model.sizes[view], sizes[view], rtol=1e-4, atol=1e-4)
        assert torch.equal(part.motion, whole.motion[chosen[whole.pixel]])


@pytest.mark.parametrize("size", [RAYS, 1.0])
def test_masks_of_full_and_closed_kernels(size: float) -> None:
    model = dynamic()
    force_size(model, size)
    mask = model.masks(2)
    open_everywhere = 1.0 if size == RAYS else 0.0
    assert (mask[0] == 1).all() and (mask[1:] == open_everywhere).all()
    assert (rigid().masks(2) == 1).all() and (none().masks(2) == 1).all()
    assert rigid().masks(2).shape == mask.shape and none().masks(2).shape == mask[:1].shape


@pytest.mark.parametrize("build", MODELS)
def test_a_kernel_without_chance_is_the_same_in_training(build) -> None:
    """But for the jitter of sparse, which its own tests look at."""
    model = build(jitter=0.0) if build is sparse else build()
    stir(model)
    pixels, generator = random_pixels(), torch.Generator().manual_seed(5)
    ours = model.training_kernel(pixels, FIRST, generator)
    assert_same_kernel(ours, kernel_of(model, pixels, FIRST))
