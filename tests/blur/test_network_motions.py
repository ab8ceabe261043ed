"""DP-NeRF's motions: the corrected ones, and those with the published faults."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from tests.blur.models import (
    MOTIONS,
    NETWORK,
    VIEWS,
    config,
    given_poses,
    network_motions,
    path_of,
    pixels_moved,
    stir,
)
from torch import Tensor

from sharpfield.blur.network_motions import NetworkMotions, last_layer
from sharpfield.config import FidelityName, RigidNetworkConfig
from sharpfield.geometry.se3 import compose, exponential

FIDELITIES: tuple[FidelityName, ...] = ("correct", "original")


def world_twists(motions: NetworkMotions) -> Tensor:
    """What the heads of published motions mean."""
    code = motions.code()
    parts = [motions.rotation_head(code), motions.translation_head(code)]
    return NETWORK.window * torch.cat([part.unflatten(1, (-1, 3)) for part in parts], dim=2)


class TestCorrect:
    @pytest.mark.parametrize("start", [0.5, 1.0, 3.0])
    @pytest.mark.parametrize("network", [NETWORK, RigidNetworkConfig()])
    def test_starts_near_the_identity_but_not_at_it(
        self, network: RigidNetworkConfig, start: float
    ) -> None:
        blur = config(start_pixels=start, motions=16, embedding=64)
        starts = [network_motions(blur, network, seed=seed) for seed in range(10)]
        moved = torch.stack([pixels_moved(start.kernels(given_poses()).poses) for start in starts])
        assert moved.min() > 0 and moved.max() < 8 * start
        assert 0.6 * start < moved.square().mean().sqrt() < 1.5 * start

    def test_starts_with_equal_weights(self) -> None:
        motions = network_motions()
        weights = motions.weights(motions.code())
        torch.testing.assert_close(weights, torch.full((VIEWS, MOTIONS + 1), 1 / (MOTIONS + 1)))

    @pytest.mark.parametrize("stirred", [False, True])
    def test_the_weighted_mean_twist_is_zero(self, stirred: bool) -> None:
        motions = network_motions()
        if stirred:
            stir(motions)
        twists, weights = path_of(motions), motions.weights(motions.code())[:, 1:]
        mean = (weights[..., None] * twists).sum(1)
        torch.testing.assert_close(mean, torch.zeros(VIEWS, 6), rtol=0, atol=1e-6)
        assert twists.abs().amax(dim=(1, 2)).min() > 1e-4

    def test_the_start_does_not_depend_on_the_window(self) -> None:
        wide = replace(NETWORK, window=3 * NETWORK.window)
        torch.testing.assert_close(
            path_of(network_motions(network=wide)), path_of(network_motions())
        )

    def test_motions_act_in_the_frame_of_the_camera(self) -> None:
        motions = network_motions()
        stir(motions)
        given = given_poses()
        moved = compose(given[:, None], exponential(path_of(motions)))
        torch.testing.assert_close(motions.kernels(given).poses[:, 1:], moved)


class TestOriginal:
    def test_motions_act_about_the_origin_of_the_world(self) -> None:
        """The published warp moves a ray's origin and its end point as points of the world."""
        motions = network_motions(fidelity="original")
        stir(motions)
        given = given_poses()
        motion = exponential(world_twists(motions))
        poses = motions.kernels(given).poses[:, 1:]
        direction = torch.tensor([0.2, -0.1, -1.0])
        start = given[:, None, :, 3, None]
        end = (given[:, :, :3] @ direction)[:, None, :, None] + start
        warped_start = motion[..., :3] @ start + motion[..., 3:]
        warped_end = motion[..., :3] @ end + motion[..., 3:]
        torch.testing.assert_close(poses[..., 3:], warped_start, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(
            poses[..., :3] @ direction, (warped_end - warped_start)[..., 0], rtol=1e-4, atol=1e-5
        )

    def test_twists_are_still_those_of_the_camera(self) -> None:
        motions = network_motions(fidelity="original")
        stir(motions)
        given = given_poses()
        expected = compose(exponential(world_twists(motions)), given[:, None])
        moved = compose(given[:, None], exponential(path_of(motions)))
        torch.testing.assert_close(moved, expected, rtol=1e-4, atol=1e-5)

    def test_starts_where_torch_puts_the_biases_alike_in_all_views(self) -> None:
        twists = world_twists(network_motions(fidelity="original"))
        assert (twists.std(0) < 1e-5).all()
        rotation, translation = twists[0, :, :3], twists[0, :, 3:]
        for part, width in (
            (rotation, NETWORK.rotation_width),
            (translation, NETWORK.translation_width),
        ):
            bound = NETWORK.window / width**0.5
            assert 0.4 * bound < part.square().mean().sqrt() < 0.75 * bound
            assert part.abs().max() < 1.01 * bound

    def test_nothing_holds_the_mean(self) -> None:
        twists = path_of(network_motions(fidelity="original"))
        assert twists.mean(1).abs().max() > 1e-3


@pytest.mark.parametrize("fidelity", FIDELITIES)
class TestBoth:
    def test_twists_scale_with_the_window(self, fidelity: FidelityName) -> None:
        wide = network_motions(network=replace(NETWORK, window=0.3), fidelity=fidelity)
        narrow = network_motions(network=replace(NETWORK, window=0.1), fidelity=fidelity)
        stir(narrow)
        wide.load_state_dict(narrow.state_dict())
        torch.testing.assert_close(path_of(wide), 3 * path_of(narrow))

    @pytest.mark.parametrize("logit", [-1e4, -200.0, 0.0, 200.0])
    def test_weights_are_an_average_whatever_the_logits(
        self, fidelity: FidelityName, logit: float
    ) -> None:
        motions = network_motions(fidelity=fidelity)
        stir(motions)
        bias = torch.full((MOTIONS + 1,), logit)
        bias[0] -= 50.0
        last_layer(motions.weight_head).bias.data.copy_(bias)
        weights = motions.weights(motions.code())
        assert (weights > 0).all()
        torch.testing.assert_close(weights.sum(1), torch.ones(VIEWS))
        weights[:, 0].sum().backward()
        assert all(p.grad is None or p.grad.isfinite().all() for p in motions.parameters())

    def test_weights_are_shares_of_sigmoids(self, fidelity: FidelityName) -> None:
        motions = network_motions(fidelity=fidelity)
        stir(motions)
        sigmoid = motions.weight_head(motions.code()).sigmoid()
        expected = sigmoid / sigmoid.sum(1, keepdim=True)
        torch.testing.assert_close(motions.weights(motions.code()), expected, rtol=0, atol=2e-4)

    def test_every_parameter_learns(self, fidelity: FidelityName) -> None:
        motions = network_motions(fidelity=fidelity)
        stir(motions)
        poses, weights = motions.kernels(given_poses())
        loss = poses.square().mean() + weights.square().mean()
        (loss + motions.code().mean()).backward()
        for name, parameter in motions.named_parameters():
            assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name

    def test_the_published_size(self, fidelity: FidelityName) -> None:
        blur = config(motions=4, embedding=64)
        motions = network_motions(blur, RigidNetworkConfig(), fidelity)
        count = sum(parameter.numel() for parameter in motions.parameters())
        assert count - motions.embedding.numel() == 23_837

    def test_depths_and_widths_follow_the_settings(self, fidelity: FidelityName) -> None:
        network = RigidNetworkConfig(
            encoder_depth=1,
            encoder_width=5,
            rotation_depth=0,
            translation_depth=3,
            translation_width=7,
            weight_depth=2,
            weight_width=3,
        )
        motions = network_motions(network=network, fidelity=fidelity)
        shapes = {name: tuple(p.shape) for name, p in motions.named_parameters() if p.ndim == 2}
        assert shapes == {
            "embedding": (VIEWS, 8),
            "encoder.0.weight": (5, 8),
            "rotation_head.0.weight": (3 * MOTIONS, 5),
            "translation_head.0.weight": (7, 5),
            "translation_head.2.weight": (7, 7),
            "translation_head.4.weight": (7, 7),
            "translation_head.6.weight": (3 * MOTIONS, 7),
            "weight_head.0.weight": (3, 5),
            "weight_head.2.weight": (3, 3),
            "weight_head.4.weight": (MOTIONS + 1, 3),
        }
        assert motions.code().shape == (VIEWS, motions.code_width) == (VIEWS, 5)
        assert path_of(motions).shape == (VIEWS, MOTIONS, 6)
        assert motions.kernels(given_poses()).poses.shape == (VIEWS, MOTIONS + 1, 3, 4)
