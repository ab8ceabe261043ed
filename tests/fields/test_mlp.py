"""NeRF's networks, against a plain forward pass over their weights."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from sharpfield.config import ActivationName, MlpConfig
from sharpfield.fields.mlp import (
    ACTIVATIONS,
    MlpField,
    MlpSamples,
    NerfNetwork,
    encoded_width,
    positional_encoding,
)

SMALL = MlpConfig(
    depth=7, width=12, fine_depth=3, fine_width=10, position_octaves=3, direction_octaves=2
)
RAYS, SAMPLES = 3, 5


def make_network(config: MlpConfig = SMALL, depth: int = 7, width: int = 12) -> NerfNetwork:
    torch.manual_seed(0)
    return NerfNetwork(config, depth, width).double()


def seen_points() -> tuple[Tensor, Tensor]:
    random = torch.Generator().manual_seed(1)
    points = torch.randn(RAYS, SAMPLES, 3, generator=random, dtype=torch.float64)
    directions = torch.randn(RAYS, 3, generator=random, dtype=torch.float64)
    return points, F.normalize(directions, dim=1)


def affine(network: NerfNetwork, name: str, inputs: np.ndarray) -> np.ndarray:
    state = network.state_dict()
    return state[f"{name}.weight"].numpy() @ inputs + state[f"{name}.bias"].numpy()


def encoded(values: np.ndarray, octaves: int) -> np.ndarray:
    """The encoding of one point, number by number."""
    numbers = list(values)
    for octave in range(octaves):
        numbers += [math.sin(2**octave * value) for value in values]
        numbers += [math.cos(2**octave * value) for value in values]
    return np.array(numbers)


def plain_pass(
    network: NerfNetwork, point: np.ndarray, direction: np.ndarray
) -> tuple[float, np.ndarray, np.ndarray]:
    """Raw density, raw colour and last hidden layer of one point (method of the NeRF paper)."""
    config = network.config
    hidden = position = encoded(point, config.position_octaves)
    for layer in range(len(network.layers)):
        if layer == 5:
            hidden = np.concatenate([position, hidden])
        hidden = np.maximum(0, affine(network, f"layers.{layer}", hidden))
    if not config.view_directions:
        raw = affine(network, "head", hidden)
        return raw[3], raw[:3], hidden
    bottleneck = affine(network, "bottleneck", hidden)
    with_direction = np.concatenate([bottleneck, encoded(direction, config.direction_octaves)])
    seen = np.maximum(0, affine(network, "view_layer", with_direction))
    density = affine(network, "density_head", hidden)[0]
    return density, affine(network, "colour_head", seen), hidden


def assert_is_plain_pass(network: NerfNetwork) -> None:
    points, directions = seen_points()
    config = network.config
    with torch.no_grad():
        seen = network(points, directions)
    for ray in range(RAYS):
        for sample in range(SAMPLES):
            density, colour, hidden = plain_pass(
                network, points[ray, sample].numpy(), directions[ray].numpy()
            )
            at = ray * SAMPLES + sample
            activated = ACTIVATIONS[config.density_activation](torch.tensor(density))
            torch.testing.assert_close(seen.density[at], activated.double())
            torch.testing.assert_close(
                seen.colour[at], ACTIVATIONS[config.colour_activation](torch.from_numpy(colour))
            )
            torch.testing.assert_close(seen.feature[at], torch.from_numpy(hidden))


class TestParameters:
    def test_the_stock_networks_have_the_published_size(self) -> None:
        field = MlpField(MlpConfig(), two=True)
        assert field.fine is not None and field.feature_channels == 256
        for network in (field.coarse, field.fine):
            assert sum(p.numel() for p in network.parameters()) == 595_844

    def test_each_network_has_its_own_size(self) -> None:
        field = MlpField(SMALL, two=True)
        assert field.fine is not None and field.feature_channels == 10
        assert len(field.coarse.layers) == 7 and field.coarse.width == 12
        assert len(field.fine.layers) == 3 and field.fine.width == 10

    def test_without_fine_samples_there_is_one_network(self) -> None:
        field = MlpField(SMALL, two=False)
        assert field.fine is None and field.feature_channels == 12
        assert {name.split(".")[0] for name, _ in field.named_parameters()} == {"coarse"}

    def test_every_parameter_counts(self) -> None:
        network = make_network(replace(SMALL, density_activation="softplus"))
        seen = network(*seen_points())
        (seen.density.sum() + seen.colour.sum() + seen.feature.sum()).backward()
        unused = [n for n, p in network.named_parameters() if p.grad is None or not p.grad.any()]
        assert unused == []


class TestEncoding:
    @pytest.mark.parametrize("octaves", [0, 1, 4, 10])
    def test_closed_form(self, octaves: int) -> None:
        values = torch.randn(6, 3, generator=torch.Generator().manual_seed(2)).double()
        ours = positional_encoding(values, octaves)
        assert ours.shape == (6, encoded_width(octaves)) == (6, 3 * (1 + 2 * octaves))
        theirs = np.stack([encoded(row, octaves) for row in values.numpy()])
        np.testing.assert_allclose(ours.numpy(), theirs, atol=1e-10)

    def test_the_stock_widths(self) -> None:
        assert encoded_width(10) == 63 and encoded_width(4) == 27

    def test_no_octaves_leave_the_values_bare(self) -> None:
        values = torch.randn(2, 5, 3)
        assert torch.equal(positional_encoding(values, 0), values)


class TestForward:
    @pytest.mark.parametrize("depth", [1, 2, 5, 6, 8])
    def test_any_depth_is_the_plain_pass(self, depth: int) -> None:
        assert_is_plain_pass(make_network(depth=depth))

    @pytest.mark.parametrize("position", [0, 2])
    @pytest.mark.parametrize("direction", [0, 1])
    def test_any_octaves_are_the_plain_pass(self, position: int, direction: int) -> None:
        octaves = replace(SMALL, position_octaves=position, direction_octaves=direction)
        assert_is_plain_pass(make_network(octaves))

    @pytest.mark.parametrize("depth", [5, 7])
    def test_without_view_directions(self, depth: int) -> None:
        network = make_network(replace(SMALL, view_directions=False), depth)
        assert_is_plain_pass(network)
        points, directions = seen_points()
        seen, turned = network(points, directions), network(points, -directions.flip(0))
        assert torch.equal(seen.colour, turned.colour)
        assert torch.equal(seen.density, turned.density)

    def test_directions_change_the_colour_alone(self) -> None:
        network = make_network()
        points, directions = seen_points()
        seen, turned = network(points, directions), network(points, -directions.flip(0))
        assert (seen.colour != turned.colour).any(dim=1).all()
        assert torch.equal(seen.density, turned.density)
        assert torch.equal(seen.feature, turned.feature)

    @pytest.mark.parametrize("depth", [5, 6])
    def test_the_input_joins_again_before_the_sixth_layer(self, depth: int) -> None:
        network = make_network(depth=depth)
        joined = [
            layer.in_features for layer in network.layers if isinstance(layer, torch.nn.Linear)
        ]
        bare, again = encoded_width(3), 12 + encoded_width(3)
        assert joined == [bare, 12, 12, 12, 12, again][:depth]
        with torch.no_grad():
            network.layers[0].weight.zero_()  # type: ignore[operator]
        points, directions = seen_points()
        differs = (network(points, directions).feature.std(dim=0) > 1e-6).any()
        assert bool(differs) == (depth > 5)

    def test_features_are_the_last_hidden_layer(self) -> None:
        """Non-negative, and all that the density sees."""
        network = make_network(replace(SMALL, density_activation="none"))
        seen = network(*seen_points())
        assert seen.feature.shape == (RAYS * SAMPLES, 12)
        assert (seen.feature >= 0).all() and (seen.feature > 0).any()
        torch.testing.assert_close(network.density_head(seen.feature)[:, 0], seen.density)


def noisy(activation: ActivationName, noise: Tensor | None) -> MlpSamples:
    network = make_network(replace(SMALL, density_activation=activation))
    return network(*seen_points(), noise)


class TestActivations:
    def test_values(self) -> None:
        raw = torch.tensor([-800.0, -1.5, 0.0, 0.3, 2.0], dtype=torch.float64)
        sigmoid = 1 / (1 + torch.exp(-raw))
        expected: dict[ActivationName, Tensor] = {
            "none": raw,
            "relu": torch.tensor([0.0, 0.0, 0.0, 0.3, 2.0], dtype=torch.float64),
            "sigmoid": sigmoid,
            "sigmoid1": 1.002 * sigmoid - 0.001,
            "exp": torch.exp(raw),
            "softplus": torch.log1p(torch.exp(raw - 1)),
        }
        assert expected.keys() == ACTIVATIONS.keys()
        for name, values in expected.items():
            torch.testing.assert_close(ACTIVATIONS[name](raw), values)

    @pytest.mark.parametrize("name", list(ACTIVATIONS))
    def test_both_outputs_have_their_own(self, name: ActivationName) -> None:
        assert_is_plain_pass(make_network(replace(SMALL, colour_activation=name), depth=2))
        assert_is_plain_pass(make_network(replace(SMALL, density_activation=name), depth=2))

    def test_stock_outputs_are_physical(self) -> None:
        seen = make_network()(*seen_points())
        assert (seen.density >= 0).all()
        assert (seen.colour > 0).all() and (seen.colour < 1).all()

    def test_noise_adds_to_the_raw_density(self) -> None:
        noise = torch.randn(RAYS, SAMPLES, generator=torch.Generator().manual_seed(3)).double()
        raw = noisy("none", None).density
        assert ((raw > 0) != (raw + noise.flatten() > 0)).any()
        torch.testing.assert_close(noisy("none", noise).density, raw + noise.flatten())
        torch.testing.assert_close(noisy("relu", noise).density, F.relu(raw + noise.flatten()))
        assert torch.equal(noisy("relu", noise).colour, noisy("relu", None).colour)
