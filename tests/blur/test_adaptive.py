"""The adaptive weight proposal on ragged kernels."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
import torch.nn.functional as F
from tests.blur.models import stir
from torch import Tensor

from sharpfield.blur.adaptive import (
    AdaptiveWeights,
    integral_across_channels,
    integral_along_samples,
)
from sharpfield.blur.kernel import Kernel
from sharpfield.config import AdaptiveConfig, FidelityName
from sharpfield.fields.mlp import positional_encoding

MOTIONS, SAMPLES, FEATURES, CODE = 4, 7, 10, 5
SLOTS = MOTIONS + 1
CONFIG = AdaptiveConfig(sample_depth=2, sample_width=12, motion_width=8)
FIDELITIES: tuple[FidelityName, ...] = ("correct", "original")

FULL = [list(range(SLOTS))] * 6
RAGGED = [[0], [0, 2], [1, 2, 3, 4], [0, 1, 2, 3, 4], [3], [0, 4]]


@dataclass
class Batch:
    """Kernels and what their rays met."""

    features: Tensor
    lengths: Tensor
    directions: Tensor
    code: Tensor
    kernel: Kernel

    def weights(self, model: AdaptiveWeights) -> Tensor:
        return model(self.features, self.lengths, self.directions, self.code, self.kernel)

    def chosen(self, pixels: list[int]) -> Batch:
        """A batch of these pixels only, in this order."""
        rays = torch.cat([(self.kernel.pixel == pixel).nonzero()[:, 0] for pixel in pixels])
        kernel = make_kernel([self.kernel.motion[self.kernel.pixel == p].tolist() for p in pixels])
        return Batch(
            self.features[rays],
            self.lengths[rays],
            self.directions[pixels],
            self.code[pixels],
            kernel,
        )


def make_kernel(motions: list[list[int]]) -> Kernel:
    pixel = [index for index, of_pixel in enumerate(motions) for _ in of_pixel]
    motion = torch.tensor([motion for of_pixel in motions for motion in of_pixel])
    rays = len(motion)
    poses, weights = torch.zeros(rays, 3, 4), torch.ones(rays)
    return Kernel(torch.tensor(pixel), motion, poses, weights, len(motions))


def batch(motions: list[list[int]]) -> Batch:
    random = torch.Generator().manual_seed(31)
    kernel, rays = make_kernel(motions), sum(map(len, motions))
    return Batch(
        torch.randn(rays, SAMPLES, FEATURES, generator=random).relu(),
        torch.rand(rays, SAMPLES, generator=random),
        F.normalize(torch.randn(len(motions), 3, generator=random), dim=1),
        torch.randn(len(motions), CODE, generator=random),
        kernel,
    )


def model(fidelity: FidelityName = "correct", config: AdaptiveConfig = CONFIG) -> AdaptiveWeights:
    torch.manual_seed(0)
    made = AdaptiveWeights(MOTIONS, FEATURES, CODE, config, fidelity)
    stir(made)
    return made


@pytest.mark.parametrize("motions", [FULL, RAGGED])
@pytest.mark.parametrize("fidelity", FIDELITIES)
class TestBoth:
    def test_weights_are_an_average(self, fidelity: FidelityName, motions: list[list[int]]) -> None:
        given = batch(motions)
        weights = given.weights(model(fidelity))
        assert (weights > 0).all() and weights.shape == given.kernel.pixel.shape
        sums = torch.zeros(len(motions)).index_add(0, given.kernel.pixel, weights)
        torch.testing.assert_close(sums, torch.ones(len(motions)))
        assert weights.std() > 0.01

    def test_every_parameter_learns_and_so_does_the_field(
        self, fidelity: FidelityName, motions: list[list[int]]
    ) -> None:
        given, made = batch(motions), model(fidelity)
        for tensor in (given.features, given.lengths, given.code):
            tensor.requires_grad_()
        target = torch.rand(len(given.kernel.pixel), generator=torch.Generator().manual_seed(2))
        (given.weights(made) * target).sum().backward()
        for name, parameter in made.named_parameters():
            assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name
        for tensor in (given.features, given.lengths, given.code):
            assert tensor.grad is not None and tensor.grad.abs().sum() > 0

    @pytest.mark.parametrize("value", [0.0, 1.0, 1e3])
    def test_constant_features_and_an_endless_last_sample(
        self, fidelity: FidelityName, motions: list[list[int]], value: float
    ) -> None:
        given, made = batch(motions), model(fidelity)
        given.features.fill_(value)
        given.lengths[:, -1] = torch.inf
        weights = given.weights(made)
        weights.square().sum().backward()
        assert weights.isfinite().all()
        assert all(p.grad is not None and p.grad.isfinite().all() for p in made.parameters())

    @pytest.mark.parametrize("logit", [-1e4, 1e4])
    def test_extreme_logits(
        self, fidelity: FidelityName, motions: list[list[int]], logit: float
    ) -> None:
        given, made = batch(motions), model(fidelity)
        made.head.bias.data.copy_(logit * torch.arange(1, SLOTS + 1))
        weights = given.weights(made)
        sums = torch.zeros(len(motions)).index_add(0, given.kernel.pixel, weights)
        torch.testing.assert_close(sums, torch.ones(len(motions)))
        weights.square().sum().backward()
        assert all(p.grad is not None and p.grad.isfinite().all() for p in made.parameters())


def by_hand(made: AdaptiveWeights, given: Batch, pixel: int) -> Tensor:
    """The weights of one pixel, computed with the rays that it has and nothing else."""
    mine = given.kernel.pixel == pixel
    samples = made.sample_layers(given.features[mine])
    parts = [integral_along_samples(samples, given.lengths[mine])]
    encoded = positional_encoding(given.directions[pixel], made.octaves)
    parts += [row.expand(len(samples), -1) for row in (given.code[pixel], encoded)]
    rays = made.ray_layers(torch.cat(parts, dim=1))
    all_present = torch.ones(1, len(rays), dtype=torch.bool)
    change = made.attention(rays[None], made.narrow(samples)[None], all_present)[0]
    rays = F.leaky_relu(rays + made.norm(change), 0.2)
    weights = made.head(rays.mean(0)).sigmoid()[given.kernel.motion[mine]]
    return weights / weights.sum()


class TestCorrect:
    def test_absent_rays_do_not_matter(self) -> None:
        given, made = batch(RAGGED), model()
        weights = given.weights(made)
        for pixel in range(len(RAGGED)):
            mine = given.kernel.pixel == pixel
            torch.testing.assert_close(weights[mine], by_hand(made, given, pixel))

    @pytest.mark.parametrize("pixels", [[5, 3, 1, 0, 4, 2], [2, 3], [3], [0]])
    def test_a_pixel_does_not_depend_on_the_rest_of_the_batch(self, pixels: list[int]) -> None:
        given, made = batch(RAGGED), model()
        whole = given.weights(made)
        part = given.chosen(pixels)
        expected = torch.cat([whole[given.kernel.pixel == pixel] for pixel in pixels])
        torch.testing.assert_close(part.weights(made), expected)

    def test_gradients_of_parts_add_up_to_those_of_the_whole(self) -> None:
        given, made = batch(RAGGED), model()
        given.weights(made).square().sum().backward()
        whole = [parameter.grad for parameter in made.parameters()]
        made.zero_grad(set_to_none=True)
        for part in ([0, 1, 2], [3], [4, 5]):
            given.chosen(part).weights(made).square().sum().backward()
        for before, parameter in zip(whole, made.parameters(), strict=True):
            torch.testing.assert_close(parameter.grad, before, rtol=1e-4, atol=1e-6)

    def test_a_pixel_looks_at_all_its_rays(self) -> None:
        given, made = batch(FULL), model()
        before = given.weights(made)
        given.features[SLOTS + 2] += 1.0
        changed = (given.weights(made) - before).abs().view(-1, SLOTS).sum(1) > 1e-6
        assert changed.tolist() == [False, True, False, False, False, False]


def test_original_weights_depend_on_the_batch() -> None:
    """The published normalisation, kept on purpose."""
    given, made = batch(FULL), model("original")
    whole = given.weights(made).view(-1, SLOTS)
    part = given.chosen([1, 2]).weights(made).view(-1, SLOTS)
    assert (part - whole[1:3]).abs().max() > 1e-3


def test_original_weights_do_not_change_from_batch_to_batch() -> None:
    """No statistics are carried along."""
    given, made = batch(FULL), model("original")
    assert torch.equal(given.weights(made), given.weights(made.eval()))
    assert not list(made.buffers())


class TestIntegral:
    def make(self) -> tuple[Tensor, Tensor]:
        random = torch.Generator().manual_seed(33)
        features = 2 * torch.randn(3, SAMPLES, 6, generator=random).relu()
        return features, torch.rand(3, SAMPLES, generator=random)

    def test_along_samples_is_compositing(self) -> None:
        features, lengths = self.make()
        expected = torch.zeros(3, 6)
        for ray in range(3):
            for channel in range(6):
                left = 1.0
                for sample in range(SAMPLES - 1):
                    value = float(features[ray, sample, channel])
                    alpha = 1 - 2.718281828 ** -(value * float(lengths[ray, sample]))
                    expected[ray, channel] += left * alpha * value
                    left *= 1 - alpha
        torch.testing.assert_close(integral_along_samples(features, lengths), expected)

    def test_across_channels_is_the_published_product(self) -> None:
        features, lengths = self.make()
        expected = torch.zeros(3, 6)
        alpha = 1 - torch.exp(-features * lengths[..., None])
        alpha[:, -1] = 0.0
        for ray in range(3):
            for sample in range(SAMPLES):
                left = 1.0
                for channel in range(6):
                    if sample > 0:
                        left *= 1 - float(alpha[ray, sample - 1, channel]) + 1e-10
                    share = left * alpha[ray, sample, channel]
                    expected[ray, channel] += share * features[ray, sample, channel]
        torch.testing.assert_close(integral_across_channels(features, lengths), expected)

    def test_only_the_published_one_depends_on_the_order_of_channels(self) -> None:
        features, lengths = self.make()
        order = torch.tensor([3, 1, 5, 0, 4, 2])
        along = integral_along_samples(features, lengths)
        across = integral_across_channels(features, lengths)
        torch.testing.assert_close(
            integral_along_samples(features[..., order], lengths), along[:, order]
        )
        shuffled = integral_across_channels(features[..., order], lengths)
        assert (shuffled - across[:, order]).abs().max() > 0.01

    def test_what_is_behind_an_opaque_sample_is_not_seen(self) -> None:
        features, lengths = self.make()
        features[:, 1], lengths[:, 1] = 3.0, 1e3
        before = integral_along_samples(features, lengths)
        features[:, 2:] += 5.0
        torch.testing.assert_close(integral_along_samples(features, lengths), before)


@pytest.mark.parametrize("fidelity", FIDELITIES)
def test_the_published_size_without_its_idle_parts(fidelity: FidelityName) -> None:
    """42,117 parameters with 4 motions, of which 2,112 never learn."""
    made = AdaptiveWeights(4, 256, 64, AdaptiveConfig(), fidelity)
    assert sum(parameter.numel() for parameter in made.parameters()) == 42_117 - 2_112


@pytest.mark.parametrize(
    "config",
    [
        AdaptiveConfig(sample_depth=1, sample_width=3, motion_depth=0, motion_width=5),
        AdaptiveConfig(sample_width=6, motion_depth=2, motion_width=1, direction_octaves=0),
    ],
)
def test_sizes_follow_the_settings(config: AdaptiveConfig) -> None:
    made, given = model(config=config), batch(RAGGED)
    layers = [m for m in made.sample_layers if isinstance(m, torch.nn.Linear)]
    assert [layer.out_features for layer in layers] == [config.sample_width] * config.sample_depth
    assert len(made.ray_layers) == 2 * (1 + config.motion_depth)
    weights = given.weights(made)
    assert weights.isfinite().all() and made.head.in_features == config.motion_width
